"""Answers for threads: futures, lists of requests, and responses one after the other.

One thread, `inferlay-futures`, serves all futures of the process; who waits for a list or for a stream drains a queue
of its own. All of these are threads of Python.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Deque, Iterable, Iterator, List, Mapping, Optional, Union

from . import engine
from .checks import iterator
from .completions import EVENTS_MAX, TURN_NS, Completions, Receiver, Single, keep_orphans, sweep
from .errors import Error
from .response import Response
from .watcher import Only, Watcher

if TYPE_CHECKING:
    from .calls import Call
    from .model import Model


class Future(concurrent.futures.Future):  # type: ignore[type-arg]
    """An answer to come. ``cancel`` cancels the request, also while it waits in the engine."""

    _receiver: Optional[Receiver] = None

    def cancel(self) -> bool:
        """Cancels the request unless it was answered."""
        if not super().cancel():
            return False
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            self.set_running_or_notify_cancel()
            receiver.cancel()
        return True


class Promised(Single):
    """A request whose answer goes to a future."""

    __slots__ = ("future",)

    def __init__(self, call: "Call", future: Future) -> None:
        super().__init__(call)
        self.future = future
        future._receiver = self

    def finish(self, response: Optional[Response], error: Optional[Error]) -> None:
        """Answers the future, unless it was cancelled."""
        try:
            if response is not None:
                self.future.set_result(response)
            else:
                self.future.set_exception(error)
        except concurrent.futures.InvalidStateError:
            pass  # It was cancelled just before, and has told so.
        finally:
            # Only now: a cancel until here tells whoever waits.
            self.future._receiver = None


class Service:
    """The queue of all futures, and the thread that drains it."""

    def __init__(self) -> None:
        self.completions = Completions()
        self._draining = threading.Lock()
        self._watcher = Watcher("inferlay-futures", self.completions.fd(), self.drain)
        engine.before_end.append(self.completions.cancel)
        engine.at_end.insert(0, self.close)

    def drain(self) -> None:
        """Tells all futures that were answered."""
        with self._draining:
            while self.completions.drain() == EVENTS_MAX:
                pass
        sweep()

    def close(self) -> None:
        """Tells who still waits, and keeps what the engine did not let go."""
        if self._watcher.close() and self.completions.table:
            engine.keep_for_ever(self.completions.table)


service = Only(Service)


def submit(model: "Model", inputs: Any, asking: Mapping[str, Any]) -> Future:
    """Sends a request; the future is answered on the thread that serves them all."""
    completions = service().completions
    future = Future()
    completions.submit(Promised(model._prepare(inputs, asking), future))
    return future


class Listed(Single):
    """One of several requests whose answers are waited for together."""

    __slots__ = ("results", "index")

    def __init__(self, call: "Call", results: List[Any], index: int) -> None:
        super().__init__(call)
        self.results = results
        self.index = index

    def finish(self, response: Optional[Response], error: Optional[Error]) -> None:
        """Puts the answer into its place."""
        if self.results[self.index] is None:
            # Not by its truth: that of a response is whether it has outputs, which asks the library.
            self.results[self.index] = response if response is not None else error


_idle: List[Completions] = []


def _take() -> Completions:
    sweep()
    try:
        return _idle.pop()
    except IndexError:
        return Completions()


def infer_many(
    model: "Model", requests: Iterable[Any], asking: Mapping[str, Any], return_errors: bool
) -> List[Union[Response, Error]]:
    """Sends all requests, so that the engine may join them into batches, and waits for all answers."""
    given = iterator("requests", requests, "a list of the inputs of each")
    completions = _take()
    results: List[Any] = []
    try:
        for index, inputs in enumerate(given):
            results.append(None)
            completions.submit(Listed(model._prepare(inputs, asking), results, index))
        completions.wait()
    except BaseException:
        completions.abandon()
        raise
    _idle.append(completions)
    if not return_errors:
        for result in results:
            if isinstance(result, Error):
                raise result
    return results


class Queued(Receiver):
    """A request with any number of responses, which a thread takes one after the other."""

    __slots__ = ("responses", "error", "is_final")

    def __init__(self, call: "Call") -> None:
        super().__init__(call)
        self.responses: Deque[Response] = deque()
        self.error: Optional[Error] = None
        self.is_final = False

    def respond(self, response: Optional[Response], error: Optional[Error], is_final: bool) -> None:
        """Keeps what came."""
        if response is not None:
            self.responses.append(response)
        self.error = self.error or error
        self.is_final = self.is_final or is_final


def stream(model: "Model", inputs: Any, asking: Mapping[str, Any]) -> Iterator[Response]:
    """Sends a request and yields its responses; who stops early cancels it."""
    completions = _take()
    receiver = Queued(model._prepare(inputs, asking))
    completions.submit(receiver)
    try:
        while not receiver.is_final or receiver.responses:
            while receiver.responses:
                yield receiver.responses.popleft()
            if not receiver.is_final:
                completions.drain(TURN_NS)
        completions.wait()
    finally:
        # One that was left to others is theirs, even where they are done with it already.
        if not completions.abandon():
            _idle.append(completions)
    if receiver.error is not None:
        raise receiver.error


engine.at_end.append(keep_orphans)
