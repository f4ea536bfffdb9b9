"""The library of ONNX Runtime that ``pip install onnxruntime`` brings: where it lies, without importing it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Optional

# What names the library where the user wants another one.
VARIABLES = ("INFERLAY_ONNXRUNTIME", "ORT_DYLIB_PATH")
# What the backend ends with that lacks an operator, and how to get the other one.
HINT = "the backend `onnxruntime` may"
COMMAND = "pip install 'inferlay[onnxruntime]'"


def library() -> Optional[str]:
    """The path of the library, if the package is installed."""
    try:
        found = importlib.util.find_spec("onnxruntime")
    except (ImportError, ValueError):
        return None
    for folder in (found.submodule_search_locations or []) if found else []:
        for path in sorted(Path(folder, "capi").glob("libonnxruntime.so*")):
            return str(path)
    return None


def advised(message: str) -> str:
    """A message that names the extra to install, where another backend may do what this one cannot.

    >>> advised("two plus two is four")
    'two plus two is four'
    """
    if HINT not in message or library() is not None:
        return message
    return message.replace(HINT, f"{HINT}: {COMMAND}")
