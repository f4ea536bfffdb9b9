"""Loads, unloads and polls that are under way: waited for by a thread, awaited by a task, or told of to a function.

Operation -> the library -> event DONE -> the thread `inferlay-notices` -> a function, or the loop of a task
"""

from __future__ import annotations

import asyncio
import ctypes
import time
from typing import Any, Callable, Generator, NoReturn, Optional

from ._library import functions
from .completions import TURN_NS
from .engine import NANOSECONDS, nanoseconds
from .errors import Error, InvalidArgument, Timeout, check, take
from .notices import notices, tokens


class Operation:
    """A load, an unload or a poll that is under way, or over. It goes on when nothing refers to it any more.

    A task awaits it: ``await operation``; when that task is cancelled the operation goes on.

    >>> operation = server.unload("echo", wait=False)
    >>> operation.wait(timeout=60.0)
    >>> operation
    <inferlay.Operation, done>
    """

    __slots__ = ("_handle", "__weakref__")

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def __del__(self, free: Any = functions.operation_free) -> None:
        if getattr(self, "_handle", 0):
            free(self._handle)

    def __reduce__(self) -> NoReturn:
        raise TypeError("an operation of a server cannot be pickled or copied")

    @property
    def is_done(self) -> bool:
        """Whether it is over.

        >>> server.unload("echo").is_done
        True
        """
        return bool(functions.operation_is_done(self._handle))

    def wait(self, timeout: Optional[float] = None) -> None:
        """Waits until it is over, for so many seconds at most, or as long as it takes.

        Raises what it failed with; what served before serves still. :class:`Cancelled`: a later operation on the same
        model came before its end. :class:`Unavailable`: the server stopped before. :class:`Timeout`: it is under way
        still.

        >>> server.unload("echo", wait=False).wait()
        """
        until = None if timeout is None else time.monotonic() + nanoseconds(timeout) / NANOSECONDS
        # In turns that let signals through.
        while True:
            left_ns = TURN_NS if until is None else max(0, int((until - time.monotonic()) * NANOSECONDS))
            status = functions.operation_wait(self._handle, min(left_ns, TURN_NS))
            if not status:
                return
            error = take(status)
            if not isinstance(error, Timeout):
                raise error
            if self.is_done:
                # That may have been its own failure, or it ended just now: a look tells.
                check(functions.operation_wait(self._handle, 0))
                return
            if left_ns == 0:
                raise error

    def on_done(self, function: Callable[[Optional[Error]], object]) -> None:
        """Has a function called when it is over, with what it failed with or ``None``, on a thread of this package.

        >>> import queue
        >>> told = queue.Queue()
        >>> server.unload("ecco", wait=False).on_done(told.put)
        >>> told.get()
        NotFound("model 'ecco' not found; known: echo, texts")
        """
        if not callable(function):
            raise InvalidArgument(f"found {type(function).__name__}, expected a function")
        queue = notices()
        token = next(tokens)
        queue.ends[token] = function
        status = functions.operation_on_done_queue(self._handle, queue.handle, token)
        if status:
            del queue.ends[token]
            raise take(status)

    def __await__(self) -> Generator[Any, None, None]:
        return self._ended().__await__()

    async def _ended(self) -> None:
        loop = asyncio.get_running_loop()
        future: "asyncio.Future[None]" = loop.create_future()

        def tell(error: Optional[Error]) -> None:
            try:
                loop.call_soon_threadsafe(settle, future, error)
            except RuntimeError:
                pass  # The loop is closed, and nobody waits.

        self.on_done(tell)
        await future

    def __repr__(self) -> str:
        if not self.is_done:
            return "<inferlay.Operation, under way>"
        status = functions.operation_wait(self._handle, 0)
        return f"<inferlay.Operation, failed: {take(status)}>" if status else "<inferlay.Operation, done>"


def settle(future: "asyncio.Future[None]", error: Optional[Error]) -> None:
    """Wakes a task, unless it was cancelled."""
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def begun(function: Callable[..., Any], *arguments: Any) -> Operation:
    """What a function of the library begins."""
    place = ctypes.c_void_p()
    check(function(*arguments, ctypes.byref(place)))
    return Operation(place.value or 0)


def waited(operation: Operation, wait: bool) -> Operation:
    """An operation, at its end if that is waited for."""
    if wait:
        operation.wait()
    return operation
