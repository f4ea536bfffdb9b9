"""What is done to repositories without a server: keys, seals, and a look at what is wrong."""

from __future__ import annotations

import ctypes
import json
from typing import Iterable, List, NamedTuple, Optional, Tuple, Union

from . import _ffi, live
from ._library import functions
from .checks import choice, encode, path
from .engine import taken_text
from .errors import check
from .options import Options, Path, Paths
from .repositories import Repositories

SUMS = {"sha256": _ffi.SUM_SHA256, "blake3": _ffi.SUM_BLAKE3}


class Sealed(NamedTuple):
    """What was sealed: how many files a manifest lists, and their bytes.

    >>> Sealed(files=3, bytes=4096)
    Sealed(files=3, bytes=4096)
    """

    files: int
    bytes: int


class Finding(NamedTuple):
    """What is wrong with a repository: ``severity`` is ``error``, ``warning`` or ``note``.

    ``model``, ``file``, ``line`` and ``column`` say where, as far as it is about one.

    >>> Finding("error", "m", "m/config.yaml", 2, 1, "unknown key 'max_bacth_size'").line
    2
    """

    severity: str
    model: Optional[str]
    file: Optional[str]
    line: Optional[int]
    column: Optional[int]
    message: str


def seal(folder: Path, *, algorithm: str = "sha256", key: Optional[str] = None) -> Sealed:
    """Seals the folder of one model: from then on it is loaded only as it is now.

    Writes ``inferlay.manifest``, with the sum of each file by ``algorithm`` (``sha256`` or ``blake3``), and with a
    secret ``key`` of :func:`signing_key` its signature. Raises :class:`NotFound` and :class:`Unavailable` when a folder
    or file cannot be read or written, and :class:`Unsupported` when the library was built without seals.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "config.yaml").write_text("backend: 'null'")
    ...     inferlay.seal(folder)
    Sealed(files=1, bytes=15)
    """
    sums = choice("algorithm", algorithm, SUMS)
    place = ctypes.c_void_p()
    secret = None if key is None else encode("key", key)
    check(functions.seal(encode("folder", path("folder", folder)), sums, secret, ctypes.byref(place)))
    return Sealed(**json.loads(taken_text(place)))


def signing_key() -> Tuple[str, str]:
    """Makes a key of Ed25519: its secret half, for :func:`seal`, and its public one, for ``trusted_keys``.

    Both are 64 hexadecimal digits. Keep the secret one where only whoever makes models can read it.

    >>> secret, public = inferlay.signing_key()
    >>> len(secret), len(public)
    (64, 64)
    """
    secret, public = ctypes.c_void_p(), ctypes.c_void_p()
    check(functions.signing_key_new(ctypes.byref(secret), ctypes.byref(public)))
    return taken_text(secret), taken_text(public)


def lint(
    repository: Repositories,
    *,
    backends: Optional[Paths] = None,
    config_name: Optional[str] = None,
    trusted_keys: Union[str, Iterable[str], None] = None,
    require: Optional[str] = None,
) -> List[Finding]:
    """Finds what is wrong with repositories, without loading any model; the keywords are those of :class:`Server`.

    Errors of configs, files that are missing, what is not as it was sealed. Raises :class:`NotFound` for a folder that
    is not there.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pathlib.Path(folder, "m").mkdir()
    ...     _ = pathlib.Path(folder, "m", "config.yaml").write_text("backend: 'null'\\nmax_bacth_size: 8")
    ...     [(found.severity, found.line, found.message) for found in inferlay.lint(folder)]
    [('error', 2, "unknown key 'max_bacth_size'; did you mean 'max_batch_size'?")]
    """
    said = Options()
    live.add_repositories(said, repository)
    said.add_backend_directories(backends)
    said.set_config_name(config_name)
    said.set_trust(trusted_keys, require)
    place = ctypes.c_void_p()
    check(functions.options_lint(said.handle, ctypes.byref(place)))
    return [Finding(**found) for found in json.loads(taken_text(place))]
