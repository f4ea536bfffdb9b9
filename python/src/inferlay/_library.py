"""The shared library: found, opened once, and asked for its version.

It is looked for where the environment variable ``INFERLAY_LIBRARY`` says, else in this package, where a wheel puts it
with the backends beside it. Each function is called in one of two ways, see ``tools/generate_ffi.py``: those that may
wait let go of the interpreter lock.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Iterator

from . import _ffi

VARIABLE = "INFERLAY_LIBRARY"
NAMES = ("libinferlay.so", "libinferlay.dylib")
FOLDER = "_lib"


def candidates() -> Iterator[Path]:
    """Where the library may be, in the order of preference."""
    said = os.environ.get(VARIABLE)
    if said:
        yield Path(said)
        return
    here = Path(__file__).resolve().parent
    for name in NAMES:
        yield here / FOLDER / name


def find() -> Path:
    """The path of the library."""
    tried = list(candidates())
    for path in tried:
        if path.is_file():
            return path
    places = ", ".join(str(path) for path in tried)
    hint = f"set {VARIABLE} to the path of libinferlay.so, or install a wheel that brings it"
    raise ImportError(f"inferlay: found no shared library at {places}; {hint}")


def refuse_subinterpreter() -> None:
    """The threads that serve this package are those of the main interpreter."""
    module = sys.modules.get("_interpreters") or sys.modules.get("_xxsubinterpreters")
    if module is None:
        try:
            import _interpreters as module  # type: ignore[import-not-found,no-redef,unused-ignore]
        except ImportError:
            try:
                import _xxsubinterpreters as module  # type: ignore[import-not-found,no-redef,unused-ignore]
            except ImportError:
                return
    current = module.get_current()  # type: ignore[union-attr,unused-ignore]
    number = current[0] if isinstance(current, tuple) else current
    if int(number) != 0:
        raise ImportError("inferlay: it works in the main interpreter only, and this is a sub-interpreter")


def load(path: Path) -> _ffi.Functions:
    """The functions of the library at this path."""
    try:
        released = ctypes.CDLL(str(path))
        held = ctypes.PyDLL(str(path), handle=released._handle)
        version = released.inferlay_api_version
    except (OSError, AttributeError) as error:
        raise ImportError(f"inferlay: {path}: {error}") from error
    version.restype = ctypes.c_uint32
    found = version()
    if found != _ffi.API_VERSION:
        raise ImportError(f"inferlay: {path}: found API version {found}, expected {_ffi.API_VERSION}")
    try:
        return _ffi.Functions(held, released)
    except AttributeError as error:
        raise ImportError(f"inferlay: {path}: it lacks a function of API version {found}: {error}") from error


refuse_subinterpreter()
PATH = find()
functions = load(PATH)
