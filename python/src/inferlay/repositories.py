"""Repositories: folders of models that are searched as one, and the names that their models are served under."""

from __future__ import annotations

import ctypes
from typing import Any, List, Mapping, NamedTuple, Optional, Sequence, Union

from . import _ffi
from .checks import encode, iterator, mapping, path
from .options import Path, Paths, address_of, paths


class Repository(NamedTuple):
    """A repository that is more than one folder, or whose models are served under other names.

    ``prefix`` and a ``/`` are put before the names of all its models, so that two repositories may hold the same name;
    ``served_as`` maps names of models' folders to those that they are served under.

    >>> inferlay.Repository(["fast_disk/models", "large_disk/models"], prefix="shapes")
    Repository(folders=['fast_disk/models', 'large_disk/models'], prefix='shapes', served_as={})
    """

    folders: Paths
    prefix: str = ""
    served_as: Mapping[str, str] = {}


Repositories = Union[Path, Repository, Sequence[Union[Path, Repository]]]
EXPECTED = "a path, a Repository, or a list of these"


class Described:
    """A repository as the library reads it, as long as this lives."""

    __slots__ = ("raw", "_kept")

    def __init__(self, said: Repository) -> None:
        folders = texts([encode("repository", folder) for folder in paths("repository", said.folders)])
        names = mapping("served_as", said.served_as, "names of folders to names")
        own = texts([encode("served_as", name) for name in names])
        served = texts([encode("served_as", name) for name in names.values()])
        prefix = encode("prefix", said.prefix)
        self._kept: Any = (folders, own, served, prefix)
        self.raw = _ffi.Repository(
            ctypes.sizeof(_ffi.Repository),
            ctypes.addressof(folders),
            len(folders),
            address_of(prefix) if prefix else None,
            ctypes.addressof(own),
            ctypes.addressof(served),
            len(own),
        )


def texts(found: List[bytes]) -> Any:
    """Texts as the library reads a list of them."""
    return (ctypes.c_char_p * len(found))(*found)


def listed(what: str, found: Optional[Repositories]) -> List[Union[str, Repository]]:
    """One repository or several.

    >>> listed("repository", "models"), listed("repository", None)
    (['models'], [])
    """
    if found is None:
        return []
    if isinstance(found, Repository):
        return [found]
    if isinstance(found, str) or hasattr(found, "__fspath__"):
        return [path(what, found, EXPECTED)]
    each = iterator(what, found, EXPECTED)
    return [one if isinstance(one, Repository) else path(what, one, EXPECTED) for one in each]
