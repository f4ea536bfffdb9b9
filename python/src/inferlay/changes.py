"""Changes of models' states, as they come: to a function, to a thread, or to a task.

    the library -> event CHANGE -> the thread `inferlay-notices` -> Subscription -> a function
                                                                 -> Changes -> who iterates

Invariant: what is subscribed ends when it is closed, when nothing refers to it, and when its server stops. A function
that is told must not wait for a thread that closes a server or a subscription: those wait for it, for a second.
"""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections import deque
from typing import Any, Callable, Deque, List, NoReturn, Optional, Tuple

from ._library import functions
from .engine import NANOSECONDS, Engine, nanoseconds
from .errors import InvalidArgument, Timeout, check
from .notices import Change, notices, tokens
from .operations import settle

# Two threads that close one subscription free it once.
_closing = threading.Lock()


class Subscription:
    """Keeps a function told of changes until it is closed, see :meth:`Server.subscribe`.

    >>> with server.subscribe(print) as subscription:
    ...     subscription
    <inferlay.Subscription>
    """

    __slots__ = ("_handle", "_token", "_function", "__weakref__")

    def __init__(self, owner: Engine, function: Callable[[Change], object]) -> None:
        if not callable(function):
            raise InvalidArgument(f"found {type(function).__name__}, expected a function")
        self._function = function
        self._token = next(tokens)
        self._handle = 0
        queue, place = notices(), ctypes.c_void_p()
        queue.listeners[self._token] = self
        check(functions.server_subscribe_queue(owner.handle, queue.handle, self._token, ctypes.byref(place)))
        self._handle = place.value or 0
        owner.subscriptions.add(self)
        if owner.is_closed:
            # Nobody would tell it of the end any more.
            self.close()

    def tell(self, change: Change) -> None:
        """Tells of a change.

        >>> server.subscribe(print).tell(inferlay.Change("echo", 1, "READY", ""))
        Change(model='echo', version=1, state='READY', reason='')
        """
        self._function(change)

    def close(self) -> None:
        """Ends it; a call that is under way on another thread is not waited for. Closing again does nothing.

        >>> subscription = server.subscribe(print)
        >>> subscription.close()
        """
        with _closing:
            handle, self._handle = self._handle, 0
        functions.subscription_free(handle or None)
        notices().listeners.pop(self._token, None)

    def __del__(self, free: Any = functions.subscription_free) -> None:
        if getattr(self, "_handle", 0):
            free(self._handle)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a subscription to a server cannot be pickled or copied")

    def __enter__(self) -> "Subscription":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<inferlay.{type(self).__name__}{'' if self._handle else ', closed'}>"


class Changes(Subscription):
    """Changes of the states of a server's models, one after the other, see :meth:`Server.changes`.

    For threads (``for change in changes``) and for tasks (``async for change in changes``); both end when it is closed
    or the server stops, after what came before.

    >>> with server.changes() as changes:
    ...     server.remove("echo")
    ...     for change in changes:
    ...         print(change.model, change.state)
    ...         if change.state == "UNAVAILABLE":
    ...             break
    echo UNLOADING
    echo UNAVAILABLE
    """

    __slots__ = ("_found", "_bell", "_waiters", "_is_over", "_owner")

    def __init__(self, owner: Engine) -> None:
        # Who iterates waits for a server, which does not go meanwhile. It refers to this one weakly.
        self._owner = owner
        self._found: Deque[Change] = deque()
        self._bell = threading.Condition()
        self._waiters: List[Tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]] = []
        self._is_over = False
        super().__init__(owner, self._found.append)

    def tell(self, change: Change) -> None:
        """Keeps a change for who asks next.

        >>> changes = server.changes()
        >>> changes.tell(inferlay.Change("echo", 1, "READY", ""))
        >>> next(changes).state
        'READY'
        """
        with self._bell:
            self._found.append(change)
            self._wake()

    def take(self, timeout: Optional[float] = None) -> Change:
        """Waits for the next change, for so many seconds at most, or as long as it takes.

        Raises :class:`Timeout` when none came, and :class:`StopIteration` at the end.

        >>> changes = server.changes()
        >>> server.remove("echo")
        >>> changes.take(timeout=60.0).state
        'UNLOADING'
        """
        wait_s = None if timeout is None else nanoseconds(timeout) / NANOSECONDS
        with self._bell:
            if not self._bell.wait_for(lambda: self._found or self._is_over, wait_s):
                raise Timeout(f"no change came in {timeout} seconds")
            if not self._found:
                raise StopIteration
            return self._found.popleft()

    def close(self) -> None:
        """Ends it, after what came before. Closing again does nothing.

        >>> changes = server.changes()
        >>> changes.close()
        >>> list(changes)
        []
        """
        notices().catch_up()
        super().close()
        with self._bell:
            self._is_over = True
            self._wake()

    def __iter__(self) -> "Changes":
        return self

    def __next__(self) -> Change:
        return self.take()

    def __aiter__(self) -> "Changes":
        return self

    async def __anext__(self) -> Change:
        loop = asyncio.get_running_loop()
        while True:
            with self._bell:
                if self._found:
                    return self._found.popleft()
                if self._is_over:
                    raise StopAsyncIteration
                future: "asyncio.Future[None]" = loop.create_future()
                self._waiters.append((loop, future))
            try:
                await future
            finally:
                # Of a task that was cancelled nothing stays behind.
                with self._bell:
                    self._waiters = [waiter for waiter in self._waiters if waiter[1] is not future]

    def __enter__(self) -> "Changes":
        return self

    def _wake(self) -> None:
        self._bell.notify_all()
        waiters, self._waiters = self._waiters, []
        for loop, future in waiters:
            try:
                loop.call_soon_threadsafe(settle, future, None)
            except RuntimeError:
                pass  # The loop is closed, and nobody waits.
