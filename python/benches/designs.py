"""Other ways to await 64 answers, beside the one that the package has: what was tried for less than it costs.

threaded   a thread of Python drains the queue, and tells the loop of all that came by one `call_soon_threadsafe`
polled     the loop drains at each of its turns while requests are in flight, and watches no descriptor
joined     rows that tasks ask for in one turn of the loop are joined by numpy, and sent as one request
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Callable, List, Tuple

from cases import IN_FLIGHT, loop_of
from measure import Case
from networks import Network

import inferlay
from inferlay.aio import Awaited
from inferlay.completions import TURN_NS, Completions, Single


class Design:
    """A way to await answers of a model."""

    def __init__(self, loop: asyncio.AbstractEventLoop, network: Network, server: inferlay.Server) -> None:
        self.loop, self.network = loop, network
        self.model = server.model(f"{network.name}-batched")
        self.inputs = {network.input: network.rows(1)}
        (self.output,) = self.model.outputs
        self.completions = Completions()

    def case(self, name: str) -> Case:
        """The bench of this way."""

        def batches() -> int:
            return int(self.model.statistics["execution_count"])

        return Case(f"{self.network.name}:{name}/64", self.run, batches, IN_FLIGHT)

    def run(self, requests: int) -> None:
        """Asks by as many tasks as the others."""
        loop_of(self.loop, IN_FLIGHT, self.ask)(requests)

    async def ask(self) -> Any:
        """One answer: its array."""
        raise NotImplementedError


class Polled(Design):
    """The loop looks at each of its turns."""

    is_polling = False

    async def ask(self) -> Any:
        """Sends a request, and looks from now on."""
        receiver = Awaited(self.model._prepare(self.inputs, {}), self.loop.create_future())
        self.completions.submit(receiver)
        if not self.is_polling:
            self.is_polling = True
            self.loop.call_soon(self.poll)
        return (await receiver.future)[self.output]

    def poll(self) -> None:
        """Looks, and looks again at the next turn."""
        self.completions.drain()
        self.is_polling = bool(self.completions.table)
        if self.is_polling:
            self.loop.call_soon(self.poll)


class Handed(Single):
    """A request whose answer a thread hands over."""

    __slots__ = ("future", "done")

    def __init__(self, call: Any, future: Any, done: List[Tuple[Any, Any]]) -> None:
        super().__init__(call)
        self.future, self.done = future, done

    def finish(self, response: Any, error: Any) -> None:
        """Keeps the answer for the loop."""
        self.done.append((self.future, response))


class Threaded(Design):
    """A thread drains."""

    def __init__(self, *where: Any) -> None:
        super().__init__(*where)
        self.done: List[Tuple[Any, Any]] = []
        self.is_over = False

    def run(self, requests: int) -> None:
        """The thread is there as long as requests are."""
        self.is_over = False
        thread = threading.Thread(target=self.drain)
        thread.start()
        super().run(requests)
        self.is_over = True
        thread.join()

    async def ask(self) -> Any:
        """Sends a request."""
        receiver = Handed(self.model._prepare(self.inputs, {}), self.loop.create_future(), self.done)
        self.completions.submit(receiver)
        return (await receiver.future)[self.output]

    def drain(self) -> None:
        """Tells the loop once of all that came."""
        while not self.is_over or self.completions.table:
            self.completions.drain(TURN_NS // 10)
            if self.done:
                done, count = self.done, len(self.done)
                answers, done[:count] = done[:count], []
                self.loop.call_soon_threadsafe(self.tell, answers)

    def tell(self, answers: List[Tuple[Any, Any]]) -> None:
        """Wakes the tasks."""
        for future, response in answers:
            future.set_result(response)


class Rows(Single):
    """A request of the rows of several tasks."""

    __slots__ = ("futures", "output")

    def __init__(self, call: Any, futures: List[Any], output: str) -> None:
        super().__init__(call)
        self.futures, self.output = futures, output

    def finish(self, response: Any, error: Any) -> None:
        """Gives each task its row."""
        array = response[self.output]
        for index, future in enumerate(self.futures):
            future.set_result(array[index : index + 1])


class Joined(Design):
    """Rows of one turn of the loop become one request."""

    def __init__(self, *where: Any) -> None:
        super().__init__(*where)
        self.waiting: List[Tuple[Any, Any]] = []

    def run(self, requests: int) -> None:
        """Watches the queue of its own meanwhile."""
        self.loop.add_reader(self.completions.fd(), self.completions.drain)
        super().run(requests)
        self.loop.remove_reader(self.completions.fd())

    async def ask(self) -> Any:
        """Leaves a row to who sends those of this turn."""
        future = self.loop.create_future()
        if not self.waiting:
            self.loop.call_soon(self.send)
        self.waiting.append((self.inputs[self.network.input], future))
        return await future

    def send(self) -> None:
        """Sends them in batches as large as the model's."""
        import numpy

        waiting, self.waiting = self.waiting, []
        size = self.network.batch_max
        for start in range(0, len(waiting), size):
            rows, futures = zip(*waiting[start : start + size])
            call = self.model._prepare({self.network.input: numpy.concatenate(rows)}, {})
            self.completions.submit(Rows(call, list(futures), self.output))


DESIGNS: List[Tuple[str, Callable[..., Design]]] = [("threaded", Threaded), ("polled", Polled), ("joined", Joined)]


def designs_of(network: Network, server: inferlay.Server, loop: asyncio.AbstractEventLoop) -> List[Case]:
    """All of them on a network."""
    return [make(loop, network, server).case(name) for name, make in DESIGNS]
