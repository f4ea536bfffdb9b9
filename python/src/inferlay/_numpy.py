"""numpy and ml_dtypes, where they are there: this package needs neither."""

from __future__ import annotations

import importlib
from typing import Any


def optional(name: str) -> Any:
    """A module, or ``None`` where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


numpy: Any = optional("numpy")
ml_dtypes: Any = optional("ml_dtypes") if numpy is not None else None
