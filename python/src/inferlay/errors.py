"""What goes wrong: one exception class per status code, all of them under :class:`Error`.

Where Python has a class for the same thing, ours is that too, so that ``except TimeoutError`` and ``except KeyError``
do what one expects. A function that is a model raises them to those who asked, as some of the examples do.
"""

from __future__ import annotations

from typing import Dict, Optional, Type

from . import _ffi
from ._library import functions
from .onnxruntime import advised


class Error(Exception):
    """Whatever the engine refuses or fails at.

    ``code`` is one of the numbers of the C interface; ``message`` names the place, what was found, what was expected.

    >>> try:
    ...     model.infer({"y": [1.0, 2.0]})
    ... except inferlay.Error as error:
    ...     print(error.code == inferlay.NotFound.code, error.message)
    True model 'echo': no input 'y'; it has 'x'
    """

    code: int = _ffi.CODE_UNKNOWN

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = str(message)

    def __str__(self) -> str:
        # That of KeyError would put it in quotes.
        return self.message


class Unknown(Error):
    """Nothing better is known, such as of what a function raises that is a model.

    >>> def divide(x):
    ...     raise ArithmeticError("no divisor")
    >>> server.register("divide", divide, inputs=ports, outputs=ports)([1.0, 2.0])
    Traceback (most recent call last):
    inferlay.errors.Unknown: ArithmeticError: no divisor
    """


class Internal(Error):
    """The library or a backend broke a promise of its own.

    >>> def broken(x):
    ...     raise inferlay.Internal("the weights are gone")
    >>> server.register("broken", broken, inputs=ports, outputs=ports)([1.0, 2.0])
    Traceback (most recent call last):
    inferlay.errors.Internal: the weights are gone
    """

    code = _ffi.CODE_INTERNAL


class NotFound(Error, KeyError):
    """No model, version, input, output or file has this name; the message lists those that there are.

    >>> try:
    ...     server.model("ecco")
    ... except KeyError as error:
    ...     print(error)
    model 'ecco' not found; known: echo, texts
    """

    code = _ffi.CODE_NOT_FOUND


class InvalidArgument(Error, ValueError):
    """A value is wrong; the message says which, what was found and what was expected.

    >>> try:
    ...     model.infer([1.0, 2.0, 3.0])
    ... except ValueError as error:
    ...     print(error)
    model 'echo' version 1: input 'x': found shape [3], expected [2]
    """

    code = _ffi.CODE_INVALID_ARG


class Unavailable(Error):
    """The model or the server does not serve now.

    >>> server.remove("echo")
    >>> model.infer([1.0, 2.0])
    Traceback (most recent call last):
    inferlay.errors.Unavailable: model 'echo' has no version that serves
    """

    code = _ffi.CODE_UNAVAILABLE


class Unsupported(Error, NotImplementedError):
    """Neither the library nor the backend can do this.

    >>> server.infer("texts", ["one"]).tensor("x").__dlpack__()
    Traceback (most recent call last):
    inferlay.errors.Unsupported: tensor: DLPack has no BYTES
    """

    code = _ffi.CODE_UNSUPPORTED


class AlreadyExists(Error):
    """The name is taken.

    >>> server.register("echo", print, inputs=ports, outputs=ports)
    Traceback (most recent call last):
    inferlay.errors.AlreadyExists: model 'echo' is there already
    """

    code = _ffi.CODE_ALREADY_EXISTS


class Cancelled(Error):
    """The request was cancelled.

    >>> def leave(x):
    ...     raise inferlay.Cancelled("its owner left")
    >>> server.register("leave", leave, inputs=ports, outputs=ports)([1.0, 2.0])
    Traceback (most recent call last):
    inferlay.errors.Cancelled: its owner left
    """

    code = _ffi.CODE_CANCELLED


class Timeout(Error, TimeoutError):
    """The deadline passed.

    >>> import threading
    >>> opened = threading.Event()
    >>> slow = server.register("slow", lambda x: opened.wait() and x, inputs=ports, outputs=ports)
    >>> slow.infer([1.0, 2.0], timeout=0.01)
    Traceback (most recent call last):
    inferlay.errors.Timeout: the deadline passed
    >>> opened.set()
    """

    code = _ffi.CODE_TIMEOUT


class ResourceExhausted(Error):
    """A bound was reached: queue length, memory, number of instances.

    >>> def grow(x):
    ...     raise inferlay.ResourceExhausted("no memory left")
    >>> server.register("grow", grow, inputs=ports, outputs=ports)([1.0, 2.0])
    Traceback (most recent call last):
    inferlay.errors.ResourceExhausted: no memory left
    """

    code = _ffi.CODE_RESOURCE_EXHAUSTED


class FailedPrecondition(Error, RuntimeError):
    """The call is right but not now or not here, such as any call in the child of a fork.

    >>> def early(x):
    ...     raise inferlay.FailedPrecondition("the weights are not there yet")
    >>> server.register("early", early, inputs=ports, outputs=ports)([1.0, 2.0])
    Traceback (most recent call last):
    inferlay.errors.FailedPrecondition: the weights are not there yet
    """

    code = _ffi.CODE_FAILED_PRECONDITION


class Panic(Error, RuntimeError):
    """Code of a backend or of the library panicked; it was contained.

    >>> def fall(x):
    ...     raise inferlay.Panic("index out of bounds")
    >>> server.register("fall", fall, inputs=ports, outputs=ports)([1.0, 2.0])
    Traceback (most recent call last):
    inferlay.errors.Panic: index out of bounds
    """

    code = _ffi.CODE_PANIC


class InstanceLost(Error):
    """Raised by a function that is a model: its device, process or connection is gone, and it will answer nothing more.

    It is not called again. Whoever asks is told :class:`Unavailable`; the model is not ready, until it is registered or
    loaded anew. Not for what the next request may be spared.

    >>> def gone(x):
    ...     raise inferlay.InstanceLost("the device fell off the bus")
    >>> server.register("gone", gone, inputs=ports, outputs=ports)([1.0, 2.0])
    Traceback (most recent call last):
    inferlay.errors.Unavailable: model 'gone' version 1: an instance is lost: the device fell off the bus
    """

    code = _ffi.CODE_INSTANCE_LOST


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
        InstanceLost,
    )
}


def take(status: int) -> Error:
    """The exception for a status, which is freed."""
    code: int = functions.status_code(status)
    text: bytes = functions.status_message(status)
    functions.status_free(status)
    return CLASSES.get(code, Unknown)(advised(text.decode("utf-8", "replace")))


def line_of(error: BaseException) -> str:
    """What an exception of others says, in one line.

    >>> line_of(ValueError("no such thing\\nsee elsewhere"))
    'no such thing'
    """
    return str(error).partition("\n")[0]


def check(status: Optional[int]) -> None:
    """Raises what a status tells of; ``None`` is success."""
    if status:
        raise take(status)
