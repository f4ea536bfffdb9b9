"""asyncio: thousands in flight, cancellation, deadlines, and loops that come and go."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any, List

import pytest
from conftest import Gate

import inferlay
from inferlay import aio, completions

numpy = pytest.importorskip("numpy")


def row(number: float) -> Any:
    return numpy.full((1, 2), number, numpy.float32)


def test_thousands_are_in_flight_and_each_is_answered_once(server: inferlay.Server) -> None:
    model = server.model("rows")

    async def ask(number: int) -> float:
        response = await model.infer_async({"x": row(number)})
        return float(response["x"][0, 0])

    async def main() -> List[float]:
        return await asyncio.gather(*[ask(number) for number in range(5000)])

    assert asyncio.run(main()) == list(range(5000))
    assert asyncio.run(server_ask(server)) == [[7, 7]]


async def server_ask(server: inferlay.Server) -> Any:
    return (await server.infer_async("rows", {"x": row(7)}))["x"].tolist()


def test_what_is_wrong_is_raised_in_the_task(server: inferlay.Server) -> None:
    async def main() -> None:
        with pytest.raises(inferlay.InvalidArgument):
            await server.model("rows").infer_async({"x": row(1)[0]})
        with pytest.raises(inferlay.NotFound):
            await server.infer_async("none", {"x": row(1)})

    asyncio.run(main())


def test_a_task_that_is_cancelled_cancels_its_request(gate: Gate) -> None:
    model = gate.model

    async def main() -> None:
        running = asyncio.ensure_future(model.infer_async([1, 2]))
        await asyncio.sleep(0)
        assert gate.begun.wait(60)
        waiting = [asyncio.ensure_future(model.infer_async([3, 4])) for _ in range(10)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in found)
        gate.opened.set()
        assert (await running)["x"].tolist() == [1, 2]
        assert (await model.infer_async([5, 6]))["x"].tolist() == [5, 6]

    asyncio.run(main())
    assert gate.executed == [[1, 2], [5, 6]]


def test_a_coroutine_that_is_closed_cancels_its_request(gate: Gate) -> None:
    model = gate.model

    async def main() -> None:
        running = asyncio.ensure_future(model.infer_async([1, 2]))
        await asyncio.sleep(0)
        assert gate.begun.wait(60)
        waiting = model.infer_async([3, 4])
        waiting.send(None)
        waiting.close()
        gate.opened.set()
        await running
        await model.infer_async([5, 6])

    asyncio.run(main())
    assert gate.executed == [[1, 2], [5, 6]]


def test_wait_for_and_timeout_end_a_request(gate: Gate) -> None:
    model = gate.model

    async def main() -> None:
        running = asyncio.ensure_future(model.infer_async([1, 2]))
        await asyncio.sleep(0)
        assert gate.begun.wait(60)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(model.infer_async([1, 2]), 0.01)
        with pytest.raises(inferlay.Timeout):
            await model.infer_async([1, 2], timeout=0.01)
        gate.opened.set()
        await running

    asyncio.run(main())


def test_a_loop_that_ends_leaves_what_is_in_flight_to_others(gate: Gate) -> None:
    model = gate.model
    value = numpy.array([1, 2], numpy.float32)
    kept = weakref.ref(value)

    async def main(given: Any) -> None:
        asyncio.ensure_future(model.infer_async(given))
        await asyncio.sleep(0)
        assert gate.begun.wait(60)

    asyncio.run(main(value))
    del value
    gc.collect()
    # The model is still at it: its memory must not have gone.
    assert kept() is not None
    gate.opened.set()
    for _ in range(10_000):
        assert model.infer([3, 4])["x"].tolist() == [3, 4]
        aio.forget_closed()
        if kept() is None:
            break
    assert kept() is None and not completions._orphans


def test_loops_go_and_their_queues_with_them(server: inferlay.Server) -> None:
    for number in range(20):
        assert asyncio.run(server_ask(server)) == [[7, 7]], number
    aio.forget_closed()
    assert not aio._watched


def test_a_stream_is_iterated(server: inferlay.Server) -> None:
    async def main() -> List[Any]:
        found = [response["x"].tolist() async for response in server.model("rows").stream_async({"x": row(1)})]
        with pytest.raises(inferlay.InvalidArgument):
            async for _ in server.model("rows").stream_async({"x": row(1)[0]}):
                pass
        return found

    assert asyncio.run(main()) == [[[1, 1]]]


def test_a_stream_raises_the_error_that_it_ends_with(gate: Gate) -> None:
    async def main() -> None:
        running = asyncio.ensure_future(gate.model.infer_async([1, 2]))
        await asyncio.sleep(0)
        assert gate.begun.wait(60)
        with pytest.raises(inferlay.Timeout):
            async for _ in gate.model.stream_async([1, 2], timeout=0.01):
                pass
        gate.opened.set()
        await running

    asyncio.run(main())
