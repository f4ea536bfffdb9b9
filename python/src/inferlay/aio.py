"""asyncio: one completion queue for each loop, whose file descriptor the loop watches.

A task that awaits an answer costs one call of the library to submit, and its share of one call for all events that are
there when the loop looks. A task that is cancelled cancels its request. All of this runs on the thread of the loop.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, AsyncIterator, Deque, Mapping, Optional

from . import engine
from .completions import Completions, Receiver, Single, sweep
from .errors import Error
from .response import Response

if TYPE_CHECKING:
    from .calls import Call
    from .model import Model


class Watched:
    """The completion queue of a loop, to which it does not refer, so that it goes with it."""

    __slots__ = ("completions", "__weakref__")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        forget_closed()
        self.completions = Completions()
        loop.add_reader(self.completions.fd(), self.completions.drain)

    def __del__(self) -> None:
        completions = getattr(self, "completions", None)
        if completions is not None:
            completions.abandon()


_watched: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Watched]" = weakref.WeakKeyDictionary()


_changing = threading.Lock()


def forget_closed() -> None:
    """Leaves what loops that were closed still had in flight to the others."""
    with _changing:
        closed = [_watched.pop(loop) for loop in list(_watched) if loop.is_closed()]
    # Outside of the lock, as this is where they end.
    del closed
    sweep()


def keep_in_flight() -> None:
    """Keeps the memory of requests that the engine did not let go before the interpreter ends."""
    for loop, watched in list(_watched.items()):
        # One that runs, on a thread that ends with the process, drains itself.
        while not loop.is_running() and watched.completions.drain():
            pass
        if watched.completions.table:
            engine.keep_for_ever(watched.completions.table)


engine.at_end.append(keep_in_flight)


def completions_of(loop: asyncio.AbstractEventLoop) -> Completions:
    """The queue of a loop, made when it is first needed."""
    watched = _watched.get(loop)
    if watched is None:
        watched = Watched(loop)
        with _changing:
            _watched[loop] = watched
    return watched.completions


class Awaited(Single):
    """A request whose answer a task awaits."""

    __slots__ = ("future",)

    def __init__(self, call: "Call", future: "asyncio.Future[Response]") -> None:
        super().__init__(call)
        self.future = future

    def respond(self, response: Optional[Response], error: Optional[Error], is_final: bool) -> None:
        """Wakes the task at once where there is one response, as nearly always."""
        if is_final and response is not None and error is None and self._held is None:
            self.finish(response, None)
        else:
            super().respond(response, error, is_final)

    def finish(self, response: Optional[Response], error: Optional[Error]) -> None:
        """Wakes the task, unless it was cancelled or its loop is closed."""
        if self.future.done():
            return
        try:
            if response is not None:
                self.future.set_result(response)
            elif error is not None:
                self.future.set_exception(error)
        except RuntimeError:
            pass


async def infer(model: "Model", inputs: Any, asking: Mapping[str, Any]) -> Response:
    """Sends a request and awaits the answer."""
    loop = asyncio.get_running_loop()
    completions = completions_of(loop)
    receiver = Awaited(model._prepare(inputs, asking), loop.create_future())
    completions.submit(receiver)
    try:
        return await receiver.future
    except (asyncio.CancelledError, GeneratorExit):
        # The latter where a task is dropped, or its coroutine closed.
        receiver.cancel()
        raise


class Streamed(Receiver):
    """A request with any number of responses, which a task takes one after the other."""

    __slots__ = ("responses", "error", "is_final", "_loop", "_waiter")

    def __init__(self, call: "Call", loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(call)
        self.responses: Deque[Response] = deque()
        self.error: Optional[Error] = None
        self.is_final = False
        self._loop = loop
        self._waiter: Optional["asyncio.Future[None]"] = None

    def respond(self, response: Optional[Response], error: Optional[Error], is_final: bool) -> None:
        """Keeps what came, and wakes the task."""
        if response is not None:
            self.responses.append(response)
        self.error = self.error or error
        self.is_final = self.is_final or is_final
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            try:
                waiter.set_result(None)
            except RuntimeError:
                pass

    async def more(self) -> bool:
        """Waits until there is a response, or the end has come."""
        while not self.responses and not self.is_final:
            self._waiter = self._loop.create_future()
            await self._waiter
        return bool(self.responses)


async def stream(model: "Model", inputs: Any, asking: Mapping[str, Any]) -> AsyncIterator[Response]:
    """Sends a request and yields its responses; who stops early cancels it."""
    loop = asyncio.get_running_loop()
    completions = completions_of(loop)
    receiver = Streamed(model._prepare(inputs, asking), loop)
    completions.submit(receiver)
    try:
        while await receiver.more():
            yield receiver.responses.popleft()
        if receiver.error is not None:
            raise receiver.error
    finally:
        if not receiver.is_final:
            receiver.cancel()
