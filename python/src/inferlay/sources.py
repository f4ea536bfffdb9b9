"""Repositories that lie elsewhere."""

from __future__ import annotations

import os
from typing import Any, Mapping, NamedTuple, Union

Path = Union[str, "os.PathLike[str]"]


class Source(NamedTuple):
    """A repository that lies elsewhere: what it lists is brought into the folder ``cache``, and served from this copy.

    ``url`` is ``file:///folder``, such as a drive of the network; or, of a library that was built for object stores,
    ``s3://bucket/prefix``, ``gs://``, ``az://``, or ``https://`` where WebDAV is spoken. ``options`` are those of the
    store, such as ``aws_region``; with ``from_environment`` the variables ``AWS_*``, ``AZURE_*`` and ``GOOGLE_*`` are
    options, too. A download that was interrupted goes on where it ended; a copy is seen only when it is whole.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model = pathlib.Path(folder, "drive", "echo")
    ...     (model / "1").mkdir(parents=True)
    ...     _ = (model / "config.yaml").write_text("{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}")
    ...     source = inferlay.Source(f"file://{folder}/drive", pathlib.Path(folder, "cache"))
    ...     with inferlay.Server(sources=source, progress=False) as server:
    ...         server.infer("echo", [1.0, 2.0]).tensor("x").tolist()
    [1.0, 2.0]
    """

    url: str
    cache: Path
    options: Mapping[str, Any] = {}
    from_environment: bool = False
