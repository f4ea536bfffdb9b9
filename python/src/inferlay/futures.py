"""Answers for threads: futures, lists of requests, and responses one after the other.

One thread, `inferlay-futures`, serves all futures of the process; who waits for a list or for a stream drains a queue
of its own. All of these are threads of Python.
"""

from __future__ import annotations

import concurrent.futures
import logging
import os
import select
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Deque, Iterable, Iterator, List, Mapping, Optional, Union

from . import engine
from .completions import EVENTS_MAX, TURN_NS, Completions, Receiver, Single, keep_orphans, sweep
from .errors import Error
from .response import Response

if TYPE_CHECKING:
    from .calls import Call
    from .model import Model


logger = logging.getLogger("inferlay")


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
        self.future._receiver = None
        try:
            if response is not None:
                self.future.set_result(response)
            else:
                self.future.set_exception(error)
        except concurrent.futures.InvalidStateError:
            pass


class Service:
    """The queue of all futures, and the thread that drains it."""

    def __init__(self) -> None:
        self.completions = Completions()
        self._draining = threading.Lock()
        self._waker = os.pipe()
        self._thread = threading.Thread(target=self._run, name="inferlay-futures", daemon=True)
        self._thread.start()
        self._pid = os.getpid()
        engine.before_end.append(self.completions.cancel)
        engine.at_end.insert(0, self.close)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self.completions.fd(), select.POLLIN)
        poll.register(self._waker[0], select.POLLIN)
        while all(fd != self._waker[0] for fd, _ in poll.poll()):
            while not self._drained():
                pass
            sweep()

    def _drained(self) -> bool:
        """Whether all were told; what is called back may raise even SystemExit, which must not end this thread."""
        try:
            self.drain()
        except Exception:
            raise
        except BaseException:
            logger.exception("calling back for a future")
            return False
        return True

    def drain(self) -> None:
        """Tells all futures that were answered."""
        with self._draining:
            while self.completions.drain() == EVENTS_MAX:
                pass

    def close(self) -> None:
        """Tells who still waits, and ends the thread; that of the parent is not a forked child's to end."""
        if self._pid != os.getpid():
            return
        os.write(self._waker[1], b"x")
        self._thread.join(1)
        while not self._drained():
            pass
        if self.completions.table:
            engine.keep_for_ever(self.completions.table)


_service: Optional[Service] = None
_making = threading.Lock()


def service() -> Service:
    """The one of this process."""
    global _service
    with _making:
        if _service is None:
            _service = Service()
        return _service


def submit(model: "Model", inputs: Any, asking: Mapping[str, Any]) -> Future:
    """Sends a request; the future is answered on the thread that serves them all."""
    completions = (_service or service()).completions
    future = Future()
    completions.submit(Promised(model.prepare(inputs, asking), future))
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
    completions = _take()
    results: List[Any] = []
    try:
        for index, inputs in enumerate(requests):
            results.append(None)
            completions.submit(Listed(model.prepare(inputs, asking), results, index))
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
    receiver = Queued(model.prepare(inputs, asking))
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
