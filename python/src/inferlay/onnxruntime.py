"""Where the library of ONNX Runtime lies that ``pip install onnxruntime`` brings, without importing it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Optional


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
