"""What a process has one of, and the threads of Python that watch the completion queues of these.

    only() -> made by who asks first -> file descriptor readable -> thread of the watcher -> take

Invariants: 1. a thread is that of the process which started it: the child of a fork neither has nor ends it. 2. what is
taken is told of although something that was told raised what ends programs, such as ``SystemExit``.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from typing import Callable, Generic, Optional, TypeVar

logger = logging.getLogger("inferlay")

Thing = TypeVar("Thing")


class Only(Generic[Thing]):
    """The one thing of its kind in a process, made when it is first asked for.

    >>> words = Only(list)
    >>> words() is words()
    True
    """

    __slots__ = ("_make", "_made", "_making")

    def __init__(self, make: Callable[[], Thing]) -> None:
        self._make = make
        self._made: Optional[Thing] = None
        self._making = threading.Lock()

    def __call__(self) -> Thing:
        """The thing."""
        made = self._made
        if made is None:
            with self._making:
                made = self._made
                if made is None:
                    made = self._made = self._make()
        return made


class Watcher:
    """A thread that takes what there is whenever a file descriptor is readable."""

    __slots__ = ("thread", "_fd", "_take", "_waker", "_pid")

    def __init__(self, name: str, fd: int, take: Callable[[], object]) -> None:
        self._fd = fd
        self._take = take
        self._waker = os.pipe()
        self._pid = os.getpid()
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.register(self._waker[0], select.POLLIN)
        while all(fd != self._waker[0] for fd, _ in poll.poll()):
            self._take_all()

    def _take_all(self) -> None:
        while True:
            try:
                self._take()
                return
            except Exception:
                raise
            except BaseException:
                logger.exception("telling of what came on the thread %s", self.thread.name)

    def close(self) -> bool:
        """Ends the thread and takes what is left; ``False`` in the child of a fork, whose thread it is not."""
        if self._pid != os.getpid():
            return False
        os.write(self._waker[1], b"x")
        self.thread.join(1)
        if not self.thread.is_alive():
            # Else it is in a function that was told and does not come back, with what is taken locked.
            self._take_all()
        return True
