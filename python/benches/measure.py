"""Cases that take turns, and what is made of their turns.

Every round each case has one turn, another case first in each round, so that what else the machine does falls on all of
them. Figures are medians over the rounds; a ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import gc
import statistics
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional


class Case(NamedTuple):
    """A way to ask, ``step`` times at once. ``batches`` tells how many executions there were so far."""

    name: str
    run: Callable[[int], None]
    batches: Optional[Callable[[], int]] = None
    step: int = 1


class Turn(NamedTuple):
    """What a turn took, for one request: seconds of wall time and of processor time of all threads, and its batch."""

    wall_s: float
    cpu_s: float
    batch: Optional[float]


def turn(case: Case, requests: int) -> Turn:
    """One turn of a case."""
    before = case.batches() if case.batches else 0
    cpu, wall = time.process_time(), time.perf_counter()
    case.run(requests)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    after = case.batches() if case.batches else 0
    return Turn(wall / requests, cpu / requests, requests / (after - before) if after > before else None)


def length(case: Case, turn_s: float) -> int:
    """How many requests a case makes in a turn: whole steps, one at least."""
    case.run(case.step)
    steps = 1
    while True:
        took = turn(case, steps * case.step).wall_s * steps * case.step
        if took > turn_s / 4:
            return max(1, round(steps * turn_s / took)) * case.step
        steps *= 4


def measure(cases: List[Case], rounds: int, turn_s: float, requests: Optional[int]) -> Dict[str, List[Turn]]:
    """The turns of each case."""
    counts = {case.name: requests or length(case, turn_s) for case in cases}
    turns: Dict[str, List[Turn]] = {case.name: [] for case in cases}
    for number in range(rounds):
        first = number % len(cases)
        for case in cases[first:] + cases[:first]:
            case.run(max(1, counts[case.name] // 20))
            gc.collect()
            turns[case.name].append(turn(case, counts[case.name]))
    return turns


def figures(turns: List[Turn]) -> Dict[str, Any]:
    """The medians of a case."""
    batches = [one.batch for one in turns if one.batch is not None]
    return {
        "req_per_s": 1 / statistics.median(one.wall_s for one in turns),
        "us_per_req": 1e6 * statistics.median(one.wall_s for one in turns),
        "cpu_us_per_req": 1e6 * statistics.median(one.cpu_s for one in turns),
        "mean_batch": statistics.median(batches) if batches else None,
    }


def ratio(turns: Dict[str, List[Turn]], case: str, other: str, of: str) -> float:
    """How many times as long a case takes as another, by the wall or by the processor."""
    pairs = zip(turns[case], turns[other])
    return float(statistics.median(getattr(one, of) / getattr(two, of) for one, two in pairs))


def above(turns: Dict[str, List[Turn]], case: str, other: str, of: str) -> float:
    """By how many microseconds a request of a case takes longer than one of another."""
    pairs = zip(turns[case], turns[other])
    return float(1e6 * statistics.median(getattr(one, of) - getattr(two, of) for one, two in pairs))
