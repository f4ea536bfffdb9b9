"""Memory: what requests and servers take, they give back."""

from __future__ import annotations

import asyncio
import ctypes
import gc
from pathlib import Path
from typing import Any, Callable, List

import pytest
from conftest import echo, port

import inferlay
from inferlay import aio

numpy = pytest.importorskip("numpy")

pytestmark = pytest.mark.once

GROWTH_MAX = 5 * 2**20
REQUESTS = 100_000
CYCLES = 300

ROW = numpy.ones((1, 2), numpy.float32)
# Large enough that what stays of one in a hundred, in one of the ways, is above the limit.
WIDE = numpy.ones((1, 32768), numpy.float32)
TEXTS = numpy.array([["one", "two"]], object)
PORTS = {"x": ("FP32", [2])}


def resident() -> int:
    """Bytes in memory, without what was freed and is only kept for later."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def growth(turns: int, turn: Callable[[], None]) -> int:
    """How much memory grows over turns, of which the first fifth is to warm up."""
    for _ in range(turns // 5):
        turn()
    before = resident()
    for _ in range(turns):
        turn()
    return resident() - before


def many(model: inferlay.Model, value: Any) -> None:
    model.infer_many([value] * 100)


def futures(model: inferlay.Model, value: Any) -> None:
    found = [model.submit(value) for _ in range(100)]
    for future in found[::4]:
        future.cancel()
    for future in found:
        if not future.cancelled():
            future.exception()


def waiting(model: inferlay.Model, value: Any) -> None:
    into = numpy.empty(value.shape, numpy.float32) if value.dtype != object else None
    for number in range(100):
        # Some requests are of the kind that is not used again.
        special = {"id": str(number), "out": {"x": into}} if into is not None and number % 4 == 0 else {}
        response = model.infer(value, **special)
        if not special and value.dtype != object:
            numpy.from_dlpack(response.tensor("x"))
            response.tensor("x").__dlpack__()


def refused(model: inferlay.Model, value: Any) -> None:
    for _ in range(50):
        for wrong in (value[0], numpy.ones((1, 2), numpy.complex64)):
            with pytest.raises(inferlay.InvalidArgument):
                model.infer(wrong)


def loop(model: inferlay.Model, value: Any) -> None:
    async def main() -> None:
        tasks = [asyncio.ensure_future(model.infer_async(value)) for _ in range(99)]
        await asyncio.sleep(0)
        for task in tasks[::4]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async for _ in model.stream_async(value):
            pass

    asyncio.run(main())
    aio.forget_closed()


WAYS = [many, futures, waiting, refused, loop]


@pytest.fixture
def models() -> Any:
    """Models that echo, of rows, wide rows and texts, and one that is a function."""
    made = {"rows": (2, "FP32"), "wide": (32768, "FP32"), "texts": (2, "BYTES")}
    files: Any = {name: echo(port("x", kind, [size]), max_batch_size=32) for name, (size, kind) in made.items()}
    with inferlay.Server(models=files, progress=False) as server:
        same = server.register("same", lambda x: x, inputs=PORTS, outputs=PORTS, max_batch_size=32)
        yield [(server.model("rows"), ROW), (server.model("wide"), WIDE), (server.model("texts"), TEXTS), (same, ROW)]


def test_requests_leave_nothing_behind(models: Any) -> None:
    def turn() -> None:
        for way in WAYS:
            for model, value in models:
                way(model, value)

    requests_per_turn = 100 * len(WAYS) * len(models)
    assert growth(REQUESTS // requests_per_turn, turn) < GROWTH_MAX


def test_servers_leave_nothing_behind() -> None:
    files = {"rows": echo(port("x", "FP32", [2]), max_batch_size=32)}
    alive: List[Any] = []

    def turn() -> None:
        with inferlay.Server(models=files, progress=False) as server:
            same = server.register("same", lambda x: x, inputs=PORTS, outputs=PORTS, max_batch_size=32)
            for model in (server.model("rows"), same):
                model.submit(ROW).result()
                alive[:] = [model.infer(ROW)]
        asyncio.run(ask())

    async def ask() -> None:
        with inferlay.Server(models=files, progress=False) as server:
            await server.infer_async("rows", ROW)

    assert growth(CYCLES // 2, turn) < GROWTH_MAX


def test_servers_of_onnx_models_leave_nothing_behind(onnxruntime_backend: str, repository_root: Path) -> None:
    path = repository_root / "examples" / "models" / "digits" / "1" / "model.onnx"
    image = numpy.ones((1, 1, 8, 8), numpy.float32)

    def turn() -> None:
        with inferlay.load(path, backends=onnxruntime_backend, progress=False) as model:
            model(image)

    assert growth(CYCLES, turn) < GROWTH_MAX
