"""asyncio with random cancellation: every request is answered exactly once, and let go exactly once.

The cut among the ordinary tests is of a fixed number of requests, by random numbers that are always the same; with
`INFERLAY_SOAK=1` rounds go on for ten minutes, each by numbers of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from typing import Any, Dict, Iterator, List, Optional, Type

import pytest
from conftest import SOAK, echo, port

import inferlay
from inferlay import aio

numpy = pytest.importorskip("numpy")

pytestmark = pytest.mark.once

SOAK_S = 600.0
ROUNDS = 40
REQUESTS = 2000

SEEN: List[Any] = []


def counted(kind: Type[Any]) -> Type[Any]:
    """A receiver that counts what it is told."""

    class Counted(kind):  # type: ignore[misc]
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.finals = self.responses_count = self.releases = 0
            SEEN.append(self)

        def respond(self, response: Any, error: Any, is_final: bool) -> None:
            self.finals += is_final
            self.responses_count += response is not None
            assert (response is None) != (error is None) or is_final
            super().respond(response, error, is_final)

        def release(self) -> None:
            self.releases += 1
            super().release()

    return Counted


@pytest.fixture
def models(monkeypatch: Any) -> Iterator[List[inferlay.Model]]:
    """A fast model, a slow one, and one that is a function; receivers are counted."""
    for name in ("Awaited", "Streamed"):
        monkeypatch.setattr(aio, name, counted(getattr(aio, name)))
    x, ports = port("x", "FP32", [2]), {"x": ("FP32", [2])}
    files = {
        "fast": echo(x, max_batch_size=16, dynamic_batching={}),
        "slow": echo(x, max_batch_size=4, dynamic_batching={}, parameters={"delay_us": 500}),
    }
    with inferlay.Server(models=files, progress=False) as server:
        server.register("same", lambda x: x, inputs=ports, outputs=ports, max_batch_size=16, instances=2)
        yield [server.model(name) for name in ("fast", "slow", "same")]
    SEEN.clear()


class Round:
    """Requests that are on their way together."""

    def __init__(self, models: List[inferlay.Model], seed: int) -> None:
        self.models = models
        self.random = random.Random(seed)
        self.ends: Dict[str, int] = Counter()

    async def run(self) -> None:
        """Asks all, and waits until all are let go."""
        await asyncio.gather(*[self.ask(number) for number in range(REQUESTS)])
        completions = aio.completions_of(asyncio.get_running_loop())
        while completions.table:
            await asyncio.sleep(0)

    async def ask(self, number: int) -> None:
        """One request, which ends in one of the ways there are."""
        model = self.random.choice(self.models)
        way = self.random.choice([self.plain, self.timed, self.cancelled, self.waited_for, self.streamed])
        value = numpy.full((1, 2), number, numpy.float32)
        await self.turns()
        try:
            found = await way(model, value)
            assert found is None or found["x"].tolist() == value.tolist()
            self.ends["answered"] += 1
        except inferlay.Timeout:
            self.ends["expired"] += 1
        except (asyncio.CancelledError, asyncio.TimeoutError):
            self.ends["cancelled"] += 1

    async def turns(self) -> None:
        """Lets the loop go round, a random number of times."""
        for _ in range(self.random.randrange(20)):
            await asyncio.sleep(0)

    async def plain(self, model: inferlay.Model, value: Any) -> Any:
        """An answer is awaited."""
        return await model.infer_async(value)

    async def timed(self, model: inferlay.Model, value: Any) -> Any:
        """There is a deadline, which may have passed."""
        return await model.infer_async(value, timeout=self.random.random() * 0.02)

    async def cancelled(self, model: inferlay.Model, value: Any) -> Any:
        """The task is cancelled, before or after its answer."""
        task = asyncio.ensure_future(model.infer_async(value))
        await self.turns()
        task.cancel()
        return await task

    async def waited_for(self, model: inferlay.Model, value: Any) -> Any:
        """It is cancelled by a time."""
        return await asyncio.wait_for(model.infer_async(value), self.random.random() * 0.02)

    async def streamed(self, model: inferlay.Model, value: Any) -> Optional[Any]:
        """The responses are iterated; some stop before the end."""
        found = None
        async for response in model.stream_async(value, timeout=self.random.random() * 0.02):
            found = response
            if self.random.random() < 0.5:
                break
        return found


def test_every_request_is_answered_exactly_once_whatever_is_cancelled(models: List[inferlay.Model]) -> None:
    ends: Dict[str, int] = Counter()
    asked = 0
    until = time.monotonic() + SOAK_S
    for seed in itertools.count() if SOAK else range(ROUNDS):
        one = Round(models, seed)
        asyncio.run(one.run())
        assert sum(one.ends.values()) == REQUESTS
        wrong = [(type(each).__name__, vars(each)) for each in SEEN if each.finals != 1 or each.releases != 1]
        assert not wrong, (seed, wrong[:3])
        for end, count in one.ends.items():
            ends[end] += count
        asked += len(SEEN)
        SEEN.clear()
        if SOAK and time.monotonic() > until:
            break
    assert set(ends) == {"answered", "expired", "cancelled"}, ends
    told = [model.statistics for model in models]
    counts = [one["inference_stats"][end]["count"] for one in told for end in ("success", "fail")]
    counts += [one[f"{end}_count"] for one in told for end in ("refused", "expired", "cancelled")]
    assert sum(counts) == asked, told
    for model in models:
        assert model.statistics["queue_len"] == 0 and model.infer([[1, 2]])["x"].tolist() == [[1, 2]]
