"""One response where one is expected, whatever a decoupled model sends."""

from __future__ import annotations

from typing import Any, List, Optional, Tuple

import pytest

import inferlay
from inferlay.completions import Completions, Single
from inferlay.futures import Listed

ONE: Any = "a response"
FAILED = inferlay.Internal("failed")


class Finished(Single):
    """One that writes down how it is finished."""

    def __init__(self) -> None:
        self._held = None
        self.is_cancelled = False
        self.found: List[Any] = []

    def finish(self, response: Any, error: Optional[inferlay.Error]) -> None:
        self.found.append(response or type(error))

    def cancel(self) -> None:
        self.is_cancelled = True


@pytest.mark.parametrize(
    ("events", "found", "is_cancelled"),
    [
        ([(ONE, None, True)], [ONE], False),
        ([(None, FAILED, True)], [inferlay.Internal], False),
        ([(ONE, None, False), (None, None, True)], [ONE], False),
        ([(ONE, None, False), (None, FAILED, True)], [inferlay.Internal], False),
        ([(None, None, True)], [inferlay.Unsupported], False),
        ([(ONE, None, False), (ONE, None, True)], [inferlay.Unsupported], True),
        ([(ONE, None, False), (ONE, None, False)], [inferlay.Unsupported], True),
    ],
    ids=["one", "error", "one, then the end", "one, then an error", "none", "two", "many"],
)
def test_exactly_one_response_is_an_answer(
    events: List[Tuple[Any, Optional[inferlay.Error], bool]], found: Any, is_cancelled: bool
) -> None:
    receiver = Finished()
    for event in events:
        receiver.respond(*event)
    assert receiver.found == found and receiver.is_cancelled is is_cancelled


class Interrupted(Finished):
    """One that an interrupt comes to while it is told."""

    def __init__(self, call: Any) -> None:
        Single.__init__(self, call)
        self.found = []

    def finish(self, response: Any, error: Optional[inferlay.Error]) -> None:
        raise KeyboardInterrupt


def test_an_interrupt_loses_no_event_but_its_own(server: inferlay.Server) -> None:
    model, completions, results = server.model("pair"), Completions(), []  # type: ignore[var-annotated]
    completions.submit(Interrupted(model._prepare([1, 2], {})))
    for index in range(10):
        results.append(None)
        completions.submit(Listed(model._prepare([1, 2], {}), results, index))
    with pytest.raises(KeyboardInterrupt):
        while completions.table:
            completions.drain(1_000_000)
    completions.wait()
    assert all(result["x"].tolist() == [1, 2] for result in results)
