"""The ways to ask a network: bare calls of the runtime, the engine, and floors without either.

All of them compute on one thread for each call of the runtime.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, List

import onnxruntime
from measure import Case
from networks import Network

import inferlay

IN_FLIGHT = 64
BATCH = 32


def session(network: Network) -> onnxruntime.InferenceSession:
    """The runtime by itself."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(network.file), options, providers=["CPUExecutionProvider"])


def loop_of(loop: asyncio.AbstractEventLoop, tasks: int, ask: Callable[[], Any]) -> Callable[[int], None]:
    """Asks by so many tasks, each of which awaits its answer before it asks again."""

    async def caller(requests: int) -> None:
        for _ in range(requests):
            await ask()

    async def callers(requests: int) -> None:
        await asyncio.gather(*(caller(requests // tasks + (task < requests % tasks)) for task in range(tasks)))

    return lambda requests: loop.run_until_complete(callers(requests))


class Signalled:
    """A queue that always has its answers: a descriptor that is readable for ever, and those who wait."""

    def __init__(self, loop: asyncio.AbstractEventLoop, answer: Callable[[int], Any]) -> None:
        self._loop, self._answer = loop, answer
        self._waiting: List["asyncio.Future[Any]"] = []
        self._reader, writer = os.pipe()
        os.write(writer, b"x")

    def _drain(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        answer = self._answer(len(waiting))
        for future in waiting:
            future.set_result(answer)

    async def ask(self) -> Any:
        """Waits for what is there already."""
        future = self._loop.create_future()
        self._waiting.append(future)
        return await future

    def run(self, requests: int) -> None:
        """Asks by as many tasks as the engine is asked by."""
        self._loop.add_reader(self._reader, self._drain)
        loop_of(self._loop, IN_FLIGHT, self.ask)(requests)
        self._loop.remove_reader(self._reader)


def repeat(call: Callable[[], Any]) -> Callable[[int], None]:
    """One call after the other."""

    def run(requests: int) -> None:
        for _ in range(requests):
            call()

    return run


def of_runtime(network: Network, loop: asyncio.AbstractEventLoop) -> List[Case]:
    """The runtime by itself: alone, in a batch, by threads, and inside of the floor of asyncio."""
    bare, row, batch = session(network), network.rows(1), network.rows(BATCH)
    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))

    def alone(_: Any = None) -> Any:
        return bare.run(None, {network.input: row})[0]

    def batched(requests: int) -> None:
        for _ in range(0, requests, BATCH):
            bare.run(None, {network.input: batch})

    def pooled(requests: int) -> None:
        for _ in pool.map(alone, range(requests)):
            pass

    def gathered(rows: int) -> None:
        for start in range(0, rows, network.batch_max):
            bare.run(None, {network.input: batch[: min(network.batch_max, rows - start)]})

    return [
        Case("session/1", repeat(alone)),
        # What a row costs in a batch, to show how much there is to gain.
        Case(f"session/{BATCH}", batched, None, BATCH),
        Case("pool/64", pooled, None, IN_FLIGHT),
        Case("floor-net/64", Signalled(loop, gathered).run, None, IN_FLIGHT),
    ]


def of_engine(network: Network, server: inferlay.Server, loop: asyncio.AbstractEventLoop) -> List[Case]:
    """The engine, each request of one row and answered in full: with the array of its output in hand."""
    name, row = network.input, network.rows(1)
    one, many = server.model(f"{network.name}-alone"), server.model(f"{network.name}-batched")
    (output,) = one.outputs

    async def ask_one() -> Any:
        return (await one.infer_async({name: row}))[output]

    async def ask_many() -> Any:
        return (await many.infer_async({name: row}))[output]

    def listed(requests: int) -> None:
        for start in range(0, requests, IN_FLIGHT):
            for response in many.infer_many([{name: row}] * min(IN_FLIGHT, requests - start)):
                response[output]

    def batches() -> int:
        return int(one.statistics["execution_count"]) + int(many.statistics["execution_count"])

    return [
        Case("infer/1", repeat(lambda: one.infer({name: row})[output]), batches),
        Case("async/1", loop_of(loop, 1, ask_one), batches),
        Case("async/64", loop_of(loop, IN_FLIGHT, ask_many), batches, IN_FLIGHT),
        Case("many/64", listed, batches, IN_FLIGHT),
    ]


def cases_of(network: Network, server: inferlay.Server, loop: asyncio.AbstractEventLoop) -> List[Case]:
    """All ways to ask a network."""
    ways = of_runtime(network, loop) + of_engine(network, server, loop)
    return [case._replace(name=f"{network.name}:{case.name}") for case in ways]


def floor(loop: asyncio.AbstractEventLoop) -> Case:
    """What asyncio itself costs: no engine, no network."""
    return Case("floor/64", Signalled(loop, lambda rows: None).run, None, IN_FLIGHT)
