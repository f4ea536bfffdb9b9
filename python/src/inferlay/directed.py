"""Several versions of a model at once: labels, shares of the traffic, and a shadow.

What is said here counts from the next request on, and until a config says something else than it did before.
"""

from __future__ import annotations

import ctypes
from typing import Any, Dict, Mapping, Optional

from ._library import functions
from .checks import encode, mapping, whole
from .errors import check
from .readings import Readings


class Directed(Readings):
    """The part of :class:`Server` that directs requests to versions."""

    __slots__ = ()

    def set_label(self, model: str, label: str, version: int) -> None:
        """Puts a label, such as ``stable`` or ``canary``, at a version; one that was at another version moves.

        Models that were asked for by the label follow, see :meth:`Server.model`. Raises :class:`NotFound` for a model
        or version that is not there, :class:`Unavailable` for a version that does not serve, and
        :class:`InvalidArgument` for a label that is not of 1 to 64 letters, digits, ``_``, ``-`` and ``.``, with one
        letter at least. The config's key is ``version_labels``.

        >>> server.set_label("echo", "stable", 1)
        >>> server.infer("echo", [1.0, 2.0], label="stable").version
        1
        """
        number = whole("version", version, 64)
        check(functions.server_set_label(self._engine.handle, encode("model", model), encode("label", label), number))

    def remove_label(self, model: str, label: str) -> None:
        """Takes a label away. Raises :class:`NotFound` for one that is not there, with those that are.

        >>> server.set_label("echo", "stable", 1)
        >>> server.remove_label("echo", "stable")
        >>> server.labels("echo")
        {}
        """
        check(functions.server_remove_label(self._engine.handle, encode("model", model), encode("label", label)))

    def labels(self, model: str) -> Dict[str, int]:
        """The labels of a model, and the versions that they are at.

        >>> server.set_label("echo", "stable", 1)
        >>> server.labels("echo")
        {'stable': 1}
        """
        return self._engine.json(functions.server_labels, encode("model", model))  # type: ignore[no-any-return]

    def set_traffic(self, model: str, weights: Optional[Mapping[int, int]]) -> None:
        """Splits the requests that name neither version nor label between versions, by weights; ``None`` ends that.

        Over every run of as many requests as the weights come to, each version gets exactly its weight; requests of the
        same sequence go to the same version. The share of a version that does not serve goes to the others. Raises
        :class:`NotFound` for a model or version that is not there, and :class:`InvalidArgument` for weights that are
        all 0 or come to more than 10000. The config's key is ``traffic``.

        >>> sounds = server.load("sounds", files={**echo, "1/a": b"", "2/a": b""}, versions=[1, 2])
        >>> server.set_traffic("sounds", {1: 3, 2: 1})
        >>> sorted(sounds([1.0, 2.0]).version for _ in range(4))
        [1, 1, 1, 2]
        """
        said = {} if weights is None else mapping("weights", weights, "versions to weights")
        versions = [whole("weights: version", version, 64) for version in said]
        shares = [whole(f"weights: version {version}", weight, 32) for version, weight in said.items()]
        if weights is not None and not shares:
            shares, versions = [0], [0]  # Which the library refuses; none would end the split.
        check(
            functions.server_set_traffic(
                self._engine.handle,
                encode("model", model),
                (ctypes.c_uint64 * len(versions))(*versions),
                (ctypes.c_uint32 * len(shares))(*shares),
                len(shares),
            )
        )

    def traffic(self, model: str) -> Dict[int, int]:
        """The versions between which traffic is split, with their weights; empty without a split.

        >>> server.set_traffic("echo", {1: 1})
        >>> server.traffic("echo")
        {1: 1}
        """
        return {share["version"]: share["weight"] for share in self._directions(model)["traffic"]}

    def set_shadow(self, model: str, version: Optional[int]) -> None:
        """Makes a version the shadow of the others, which gets a copy of what they answer; ``None`` ends that.

        Its answers are dropped, its statistics kept. Whoever asks never waits for it and never hears of it; a shadow
        that is behind is left out until it has caught up, which ``shadow_dropped_count`` of its statistics counts.
        Raises :class:`NotFound` for a model or version that is not there. The config's key is ``shadow``.

        >>> sounds = server.load("sounds", files={**echo, "1/a": b"", "2/a": b""}, versions=[1, 2])
        >>> server.set_shadow("sounds", 2)
        >>> sounds([1.0, 2.0]).version
        1
        """
        number = 0 if version is None else whole("version", version, 64)
        check(functions.server_set_shadow(self._engine.handle, encode("model", model), number))

    def shadow(self, model: str) -> Optional[int]:
        """The version that shadows the others, or ``None``.

        >>> server.set_shadow("echo", 1)
        >>> server.shadow("echo")
        1
        """
        return self._directions(model)["shadow"]  # type: ignore[no-any-return]

    def _directions(self, model: str) -> Dict[str, Any]:
        return self._engine.json(functions.server_traffic, encode("model", model))  # type: ignore[no-any-return]
