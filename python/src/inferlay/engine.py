"""A server of the library, as long as anything refers to it, and what happens to all of them when the process ends.

Nothing that an :class:`Engine` refers to refers back to it: it goes with the last server, model or request of Python.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import weakref
from typing import Any, Callable, List, Protocol

from . import _ffi
from ._library import functions
from .errors import Error, FailedPrecondition, InvalidArgument, check

NANOSECONDS = 1_000_000_000
FOREVER = 2**64 - 1
# How long the end of the interpreter waits for what runs.
DRAIN_AT_EXIT_S = 5.0

engines: "weakref.WeakSet[Engine]" = weakref.WeakSet()


class Closable(Protocol):
    """What ends with a server."""

    def close(self) -> None:
        """Ends it."""


class Engine:
    """The handle of a server."""

    __slots__ = ("handle", "changes", "is_closed", "subscriptions", "__weakref__")

    def __init__(self, options: int) -> None:
        handle = ctypes.c_void_p()
        check(functions.server_new(_ffi.API_VERSION, options, ctypes.byref(handle)))
        self.handle: int = handle.value or 0
        # How many times the state of any model has changed, where the library counts it: to look costs no call.
        counter = functions.server_change_counter(self.handle)
        self.changes: Any = ctypes.c_uint64.from_address(counter) if counter else ctypes.c_uint64(0)
        self.is_closed = False
        # Who is told of changes, as long as somebody refers to it.
        self.subscriptions: "weakref.WeakSet[Closable]" = weakref.WeakSet()
        engines.add(self)

    def stop(self, drain_s: float) -> None:
        """Answers what is on its way, for so long at most, and refuses what is new."""
        until = after(drain_s)
        if not self.is_closed:
            self.is_closed = True
            try:
                check(functions.server_stop(self.handle, until))
            finally:
                for subscription in list(self.subscriptions):
                    subscription.close()

    def text(self, function: Callable[..., Any], *arguments: Any) -> str:
        """A text that the library hands out about this server."""
        place = ctypes.c_void_p()
        check(function(self.handle, *arguments, ctypes.byref(place)))
        return taken_text(place)

    def json(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The same, as what it says."""
        return json.loads(self.text(function, *arguments))

    def __del__(self, free: Callable[..., Any] = functions.server_free) -> None:
        # What is left when the interpreter ends, the process takes with it; in the child of a fork it is not ours.
        if not _ended and hasattr(self, "handle"):
            free(self.handle)


def taken_text(place: ctypes.c_void_p) -> str:
    """A text of the library, which is freed."""
    try:
        return ctypes.string_at(place.value or 0).decode()
    finally:
        functions.text_free(place)


def after(seconds: float) -> int:
    """The time on the clock of the library so many seconds from now."""
    return min(FOREVER, int(functions.clock_now()) + nanoseconds(seconds))


def nanoseconds(seconds: float) -> int:
    """Seconds as the library counts them; the longest there is for infinity.

    >>> nanoseconds(0.25)
    250000000
    """
    try:
        is_time = seconds >= 0
    except TypeError:
        is_time = False
    if not is_time:
        raise InvalidArgument(f"found {seconds!r} seconds, expected 0 or more")
    return min(FOREVER, int(seconds * NANOSECONDS)) if seconds < 1e9 else FOREVER


# What cancels requests that nobody can wait for any more, before the servers stop: only what runs is waited for.
before_end: List[Callable[[], None]] = []
# What ends after the servers have stopped, in order.
at_end: List[Callable[[], object]] = []
_ended: List[bool] = []


def _end() -> None:
    """Stops every server before the interpreter takes the memory of requests away: all of them, also when somebody is
    impatient and interrupts it."""
    raised: List[BaseException] = []
    try:
        for cancel in before_end:
            guarded(cancel, raised)
        for engine in list(engines):
            guarded(lambda one=engine: stop(one), raised)  # type: ignore[misc]
    except FailedPrecondition:
        return  # The child of a fork.
    for end in at_end:
        guarded(end, raised)
    _ended.append(True)
    if raised:
        raise raised[0]


def guarded(step: Callable[[], object], raised: List[BaseException]) -> None:
    """Does one of several steps, all of which are done whatever becomes of one."""
    try:
        step()
    except FailedPrecondition:
        raise
    except BaseException as error:
        raised.append(error)


def stop(engine: Engine) -> None:
    """Stops a server. What a backend that does not return may still look at is kept afterwards."""
    try:
        engine.stop(DRAIN_AT_EXIT_S)
    except FailedPrecondition:
        raise
    except Error:
        pass


def keep_for_ever(thing: Any) -> None:
    """Keeps an object even when the interpreter has gone: native code may still look at its memory."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


atexit.register(_end)
