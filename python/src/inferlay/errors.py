"""What goes wrong: one exception class per status code, all of them under :class:`Error`.

Where Python has a class for the same thing, ours is that too, so that ``except TimeoutError`` and ``except KeyError``
do what one expects.
"""

from __future__ import annotations

from typing import Dict, Optional, Type

from . import _ffi
from ._library import functions
from .onnxruntime import advised


class Error(Exception):
    """Whatever the engine refuses or fails at.

    ``code`` is one of the numbers of the C interface; ``message`` names the place, what was found, what was expected.
    """

    code: int = _ffi.CODE_UNKNOWN

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = str(message)

    def __str__(self) -> str:
        # That of KeyError would put it in quotes.
        return self.message


class Unknown(Error):
    """Nothing better is known."""


class Internal(Error):
    """The library or a backend broke a promise of its own."""

    code = _ffi.CODE_INTERNAL


class NotFound(Error, KeyError):
    """No model, version, input, output or file has this name; the message lists those that there are."""

    code = _ffi.CODE_NOT_FOUND


class InvalidArgument(Error, ValueError):
    """A value is wrong; the message says which, what was found and what was expected."""

    code = _ffi.CODE_INVALID_ARG


class Unavailable(Error):
    """The model or the server does not serve now."""

    code = _ffi.CODE_UNAVAILABLE


class Unsupported(Error, NotImplementedError):
    """Neither the library nor the backend can do this."""

    code = _ffi.CODE_UNSUPPORTED


class AlreadyExists(Error):
    """The name is taken."""

    code = _ffi.CODE_ALREADY_EXISTS


class Cancelled(Error):
    """The request was cancelled."""

    code = _ffi.CODE_CANCELLED


class Timeout(Error, TimeoutError):
    """The deadline passed."""

    code = _ffi.CODE_TIMEOUT


class ResourceExhausted(Error):
    """A bound was reached: queue length, memory, number of instances."""

    code = _ffi.CODE_RESOURCE_EXHAUSTED


class FailedPrecondition(Error, RuntimeError):
    """The call is right but not now or not here, such as any call in the child of a fork."""

    code = _ffi.CODE_FAILED_PRECONDITION


class Panic(Error, RuntimeError):
    """Code of a backend or of the library panicked; it was contained."""

    code = _ffi.CODE_PANIC


CLASSES: Dict[int, Type[Error]] = {
    kind.code: kind
    for kind in (
        Unknown,
        Internal,
        NotFound,
        InvalidArgument,
        Unavailable,
        Unsupported,
        AlreadyExists,
        Cancelled,
        Timeout,
        ResourceExhausted,
        FailedPrecondition,
        Panic,
    )
}


def take(status: int) -> Error:
    """The exception for a status, which is freed."""
    code: int = functions.status_code(status)
    text: bytes = functions.status_message(status)
    functions.status_free(status)
    return CLASSES.get(code, Unknown)(advised(text.decode("utf-8", "replace")))


def check(status: Optional[int]) -> None:
    """Raises what a status tells of; ``None`` is success."""
    if status:
        raise take(status)
