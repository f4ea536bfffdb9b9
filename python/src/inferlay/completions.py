"""Completion queues: who waits for which request, and one call of the library for many events.

    submit -> table[token] = receiver -> engine -> event with the token -> drain -> receiver

Invariants: 1. a receiver, and with it the memory of its request, stays in the table until the release event, whatever
becomes of the loop or the thread that waits. 2. one thread at a time drains. 3. nothing here is called by the engine.
"""

from __future__ import annotations

import ctypes
import struct
import threading
from collections import deque
from typing import Any, Deque, Dict, List, Optional, Tuple

from . import _ffi
from ._library import functions
from .calls import Call
from .engine import keep_for_ever
from .errors import Error, Timeout, Unsupported, check, take
from .response import Response
from .tensors import Memory

EVENT = struct.Struct("=QIIQQQQ")
assert EVENT.size == ctypes.sizeof(_ffi.Event)
EVENTS_MAX = 256
RESPONSE, RELEASE, FINAL = _ffi.EVENT_RESPONSE, _ffi.EVENT_RELEASE, _ffi.RESPONSE_FINAL


class Receiver:
    """Who is told of a request. Each function is called by the thread that drains."""

    __slots__ = ("call", "is_cancelled", "_lock")

    def __init__(self, call: Call) -> None:
        self.call: Optional[Call] = call
        self.is_cancelled = False
        self._lock = threading.Lock()

    def respond(self, response: Optional[Response], error: Optional[Error], is_final: bool) -> None:
        """Takes a response, an error, or the news that nothing more comes."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Asks the engine not to answer any more, unless it is done. Any thread."""
        with self._lock:
            if self.call is not None:
                self.is_cancelled = True
                check(functions.request_cancel(self.call.request))

    def release(self) -> None:
        """The engine has let the memory of the request go."""
        with self._lock:
            call, self.call = self.call, None
        if call is not None:
            call.give_back(self.is_cancelled)


class Single(Receiver):
    """Who expects one response, which a decoupled model need not send."""

    __slots__ = ("_held",)

    def __init__(self, call: Call) -> None:
        # All fields in one function: there is one of these for each request.
        self.call: Optional[Call] = call
        self.is_cancelled = False
        self._lock = threading.Lock()
        self._held: Optional[Response] = None

    def finish(self, response: Optional[Response], error: Optional[Error]) -> None:
        """Takes the response or the error. May come again, with an error that then is of no use."""
        raise NotImplementedError

    def respond(self, response: Optional[Response], error: Optional[Error], is_final: bool) -> None:
        """Finishes with the one response there is."""
        held = self._held
        if error is not None or (response is not None and is_final and held is None):
            self.finish(response, error)
        elif response is not None and held is not None:
            self.finish(None, Unsupported(f"the model sent several responses, {HINT}"))
            self.cancel()
        elif is_final:
            self.finish(held, None if held is not None else Unsupported(f"the model sent no response, {HINT}"))
        else:
            self._held = response


HINT = "expected one; a decoupled model is asked with `stream` or `stream_async`"


class Completions:
    """A completion queue and those who wait."""

    __slots__ = ("handle", "table", "_events", "_backlog", "_bytes", "_pointers", "_count", "_at", "__weakref__")

    def __init__(self, events_max: int = EVENTS_MAX) -> None:
        handle = ctypes.c_void_p()
        check(functions.queue_new(ctypes.byref(handle)))
        self.handle: int = handle.value or 0
        self.table: Dict[int, Receiver] = {}
        self._events = (_ffi.Event * events_max)()
        self._pointers = (ctypes.c_void_p * events_max)()
        start = ctypes.addressof(self._events)
        for index in range(events_max):
            self._events[index].struct_size = EVENT.size
            self._pointers[index] = start + index * EVENT.size
        self._bytes = memoryview(self._events).cast("B")
        self._backlog: Deque[Tuple[int, ...]] = deque()
        self._count = ctypes.c_size_t()
        self._at = (ctypes.addressof(self._pointers), events_max, ctypes.addressof(self._count))

    def fd(self) -> int:
        """What is readable while there are events."""
        return int(functions.queue_fd(self.handle))

    def submit(self, receiver: Receiver) -> None:
        """Sends a request. On failure nobody is told, and the call is the caller's again."""
        call = receiver.call
        assert call is not None
        # It is in the table as long as the engine knows it, so nothing else has this number meanwhile.
        token = id(receiver)
        self.table[token] = receiver
        status = functions.infer_queue(call.variant.engine.handle, call.request, self.handle, token)
        if status:
            del self.table[token]
            receiver.call = None
            error = take(status)
            call.give_back(False)
            raise error

    def drain(self, timeout_ns: int = 0) -> int:
        """Takes what is there, after a wait of so long at most, and tells who waits; how many events there were."""
        if self._backlog:
            return self._tell_all()
        pointers, events_max, count_at = self._at
        status = functions.queue_next_many(self.handle, timeout_ns, pointers, events_max, count_at)
        if status:
            error = take(status)
            if isinstance(error, Timeout):
                return 0
            raise error
        self._backlog.extend(EVENT.iter_unpack(self._bytes[: self._count.value * EVENT.size]))
        return self._tell_all()

    def _tell_all(self) -> int:
        """Tells of what was taken. An interrupt may come between any two steps: the rest is told of next time."""
        backlog = self._backlog
        count = len(backlog)
        while backlog:
            _, kind, flags, token, _, response, status = backlog.popleft()
            self._tell(kind, flags, token, response, status)
        return count

    def _tell(self, kind: int, flags: int, token: int, response: int, status: int) -> None:
        if kind == RESPONSE:
            error = take(status) if status else None
            answer = Response(Memory(response)) if response else None
            receiver = self.table.get(token)
            if receiver is not None:
                call = receiver.call
                if answer is not None and call is not None:
                    answer._memory.keep = call.out
                receiver.respond(answer, error, flags & FINAL != 0)
        elif kind == RELEASE:
            receiver = self.table.pop(token, None)
            if receiver is not None:
                receiver.release()

    def wait(self) -> None:
        """Drains until nobody waits, in turns that let signals through."""
        while self.table:
            self.drain(TURN_NS)

    def cancel(self) -> None:
        """Cancels what is on its way."""
        for receiver in list(self.table.values()):
            receiver.cancel()

    def abandon(self) -> bool:
        """Cancels what is on its way and leaves the rest to :func:`sweep`; whether there was any."""
        if not self.table:
            return False
        self.cancel()
        _orphans.append(self)
        return True

    def __del__(self, free: Any = functions.queue_free) -> None:
        if getattr(self, "handle", 0):
            free(self.handle)


TURN_NS = 100_000_000

# Queues that nobody waits at any more, and whose requests are still on their way.
_orphans: List[Completions] = []
_sweeping = threading.Lock()


def sweep() -> None:
    """Looks after requests that nobody waits for any more."""
    if _orphans and _sweeping.acquire(blocking=False):
        try:
            for orphan in list(_orphans):
                while orphan.table and orphan.drain():
                    pass
                if not orphan.table:
                    _orphans.remove(orphan)
        finally:
            _sweeping.release()


def keep_orphans() -> None:
    """What the engine did not let go in time stays where it is."""
    sweep()
    for orphan in _orphans:
        keep_for_ever(orphan.table)


__all__ = ["Completions", "Receiver", "keep_orphans", "sweep"]
