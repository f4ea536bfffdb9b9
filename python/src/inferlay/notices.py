"""What servers tell of by themselves: their log, which goes to :mod:`logging`, the progress of their start, changes of
their models' states, and the ends of operations.

    engine's threads -> one completion queue -> the thread `inferlay-notices` -> logging, a bar on stderr, a function

Invariant: code of Python runs on that thread, and on the one that starts a server, never on a thread of the engine.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import logging
import shutil
import sys
import threading
import time
import weakref
from typing import Any, Callable, Dict, NamedTuple, Optional, Protocol, TextIO, Union

from . import _ffi, engine, onnxruntime
from ._library import functions
from .errors import Error, InvalidArgument, check, take
from .watcher import Only, Watcher

logger = logging.getLogger("inferlay")
logger.addHandler(logging.NullHandler())

LEVELS = {
    _ffi.LOG_VERBOSE: logging.DEBUG,
    _ffi.LOG_INFO: logging.INFO,
    _ffi.LOG_WARNING: logging.WARNING,
    _ffi.LOG_ERROR: logging.ERROR,
}


class Progress(NamedTuple):
    """A model that was loaded, or failed to for ``reason``, while a server starts.

    >>> inferlay.Server(models={"echo": echo}, progress=print).close()
    Progress(model='echo', version=1, done=1, total=1, reason='')
    """

    model: str
    version: int
    done: int
    total: int
    reason: str


Report = Callable[[Progress], None]


class Change(NamedTuple):
    """A version of a model whose state is now UNKNOWN, LOADING, READY, UNAVAILABLE or UNLOADING, for ``reason``.

    >>> changes = server.changes()
    >>> server.remove("echo")
    >>> next(changes)
    Change(model='echo', version=1, state='UNLOADING', reason='')
    """

    model: str
    version: int
    state: str
    reason: str


class Listener(Protocol):
    """Who is told of changes."""

    def tell(self, change: Change) -> None:
        """Tells of one."""


# What events are told apart by, each used once: one may still come when whoever waited for it has gone.
tokens = itertools.count(1)


class Bar:
    """A line on a terminal that tells how far loading is, since when, and how fast it goes."""

    WIDTH = 20

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._begun_s = clock()
        self._is_drawn = False

    def __call__(self, progress: Progress) -> None:
        """Draws it."""
        line = drawn(progress, self._clock() - self._begun_s, self.WIDTH)
        # A line that goes on below is not drawn over the next time.
        self._stream.write("\r\x1b[K" + line[: shutil.get_terminal_size().columns - 1])
        self._stream.flush()
        self._is_drawn = True

    def close(self) -> None:
        """Ends the line."""
        if self._is_drawn:
            self._stream.write("\n")
            self._stream.flush()


def drawn(progress: Progress, elapsed_s: float, width: int) -> str:
    """The line of a bar so many characters wide.

    >>> drawn(Progress("digits", 1, 3, 4, ""), 6.0, 8)
    'loading models  75%|######--| 3/4 [00:06<00:02, 2.00 s/model] digits'
    """
    done, total = progress.done, max(1, progress.total)
    filled = width * done // total
    left_s = elapsed_s / max(1, done) * (total - done)
    times = f"{minutes(elapsed_s)}<{minutes(left_s)}, {rate(done, elapsed_s)}"
    state = "failed: " if progress.reason else ""
    bar = "#" * filled + "-" * (width - filled)
    return f"loading models {100 * done // total:3}%|{bar}| {done}/{progress.total} [{times}] {state}{progress.model}"


def minutes(seconds: float) -> str:
    """A time as clocks show it.

    >>> minutes(75.4), minutes(3600 * 30)
    ('01:15', '30:00:00')
    """
    rest, whole_s = divmod(int(seconds), 60)
    hours, rest = divmod(rest, 60)
    return f"{hours}:{rest:02}:{whole_s:02}" if hours else f"{rest:02}:{whole_s:02}"


def rate(done: int, elapsed_s: float) -> str:
    """How many in a second, or, where that is less than one, how many seconds for one.

    >>> rate(3, 2.0), rate(1, 2.0)
    ('1.50 models/s', '2.00 s/model')
    """
    if elapsed_s > done > 0:
        return f"{elapsed_s / done:.2f} s/model"
    return f"{done / elapsed_s:.2f} models/s" if elapsed_s > 0 else "? models/s"


def level_min() -> Optional[int]:
    """The least grave level that somebody listens to."""
    wanted = [number for number, level in LEVELS.items() if logger.isEnabledFor(level)]
    return min(wanted) if wanted else None


# How long what ends waits for a function that is being told.
CATCH_UP_S = 1.0


class Notices:
    """The queue and its thread, one in a process, started when a server first needs it."""

    def __init__(self) -> None:
        place = ctypes.c_void_p()
        check(functions.queue_new(ctypes.byref(place)))
        self.handle: int = place.value or 0
        self.reports: Dict[int, Report] = {}
        self.ends: Dict[int, Callable[[Optional[Error]], object]] = {}
        self.listeners: "weakref.WeakValueDictionary[int, Listener]" = weakref.WeakValueDictionary()
        self._taking = threading.RLock()
        self._event = _ffi.Event(ctypes.sizeof(_ffi.Event))
        self._watcher = Watcher("inferlay-notices", int(functions.queue_fd(self.handle)), self.take_all)
        engine.at_end.append(self._watcher.close)

    def catch_up(self) -> None:
        """Tells of all that is there, unless a function that is told just now does not come back."""
        if self._taking.acquire(timeout=CATCH_UP_S):
            try:
                self.take_all()
            finally:
                self._taking.release()

    def take_all(self) -> None:
        """Tells of all that is there."""
        with self._taking:
            while not self._failed():
                kind, flags, token = self._event.kind, self._event.flags, self._event.user_data or 0
                status = self._event.status
                if kind == _ffi.EVENT_DONE:
                    self._end(token, take(status) if status else None)
                    continue
                text: bytes = functions.status_message(status)
                functions.status_free(status)
                self._tell(kind, flags, token, text.decode("utf-8", "replace"))

    def _failed(self) -> bool:
        status = functions.queue_next(self.handle, 0, ctypes.byref(self._event))
        if status:
            functions.status_free(status)
        return bool(status)

    def _end(self, token: int, error: Optional[Error]) -> None:
        end = self.ends.pop(token, None)
        try:
            if end is not None:
                end(error)
        except Exception:
            logger.exception("telling of the end of an operation")

    def _tell(self, kind: int, flags: int, token: int, text: str) -> None:
        try:
            if kind == _ffi.EVENT_LOG:
                logger.log(LEVELS.get(flags, logging.ERROR), "%s", text)
            elif kind == _ffi.EVENT_CHANGE:
                listener = self.listeners.get(token)
                if listener is not None:
                    listener.tell(change(json.loads(text)))
            else:
                report = self.reports.get(token)
                if report is not None:
                    report(Progress(**json.loads(text)))
        except Exception:
            # What listens may fail; the next line is still told.
            logger.exception("telling of %r", text)


def change(said: Dict[str, Any]) -> Change:
    """A line of the index of models, as a change."""
    return Change(said["name"], said["version"], said["state"], onnxruntime.advised(said["reason"]))


notices = Only(Notices)


class Told:
    """The time of a server's start, during which it tells of its progress."""

    def __init__(self, options: int, progress: Union[bool, Report, None]) -> None:
        level = level_min()
        self._report = reporter(progress)
        self._token = id(self)
        if level is None and self._report is None:
            return
        queue = notices()
        if level is not None:
            check(functions.options_set_log_queue(options, queue.handle, None, level))
        if self._report is not None:
            queue.reports[self._token] = self._report
            check(functions.options_set_progress_queue(options, queue.handle, self._token))

    def __enter__(self) -> "Told":
        return self

    def __exit__(self, *_: Any) -> None:
        if self._report is not None:
            try:
                notices().take_all()
            finally:
                del notices().reports[self._token]
                if isinstance(self._report, Bar):
                    self._report.close()


def reporter(progress: Union[bool, Report, None]) -> Optional[Report]:
    """Who is told: a function, a bar, or nobody; ``None`` decides by whether stderr is a terminal."""
    if progress is None:
        progress = sys.stderr is not None and sys.stderr.isatty()
    if not isinstance(progress, bool) and not callable(progress):
        raise InvalidArgument(f"progress: found {type(progress).__name__}, expected True, False or a function")
    if progress is True and sys.stderr is not None:
        return Bar(sys.stderr)
    return progress if callable(progress) else None
