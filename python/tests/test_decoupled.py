"""Models that send several responses: the example in C, built where there is a compiler."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path
from typing import Any, Iterator, List

import pytest

import inferlay

numpy = pytest.importorskip("numpy")

SIGNAL = numpy.array([[1, 3, 5, 7, 9, 11, 13, 15]], numpy.float32)
CONFIG = {
    "backend": "moving_average",
    "max_batch_size": 8,
    "parameters": {"window": {"string_value": "5"}, "answers": {"string_value": "later"}},
    "model_transaction_policy": {"decoupled": True},
}


@pytest.fixture(scope="module")
def smooth(tmp_path_factory: pytest.TempPathFactory, repository_root: Path) -> Iterator[inferlay.Model]:
    """A model that sends several responses to who asks for `progress`."""
    if shutil.which("cc") is None:
        pytest.skip("there is no compiler")
    folder = tmp_path_factory.mktemp("backends")
    made = folder / "libinferlay_backend_moving_average.so"
    source = repository_root / "examples" / "backend_c" / "moving_average.c"
    flags = ["-std=gnu99", "-O1", "-shared", "-fPIC", "-pthread", "-I", str(repository_root / "include")]
    subprocess.run(["cc", *flags, str(source), "-o", str(made)], check=True)
    with inferlay.Server(models={"smooth": {"config.yaml": CONFIG}}, backends=folder, progress=False) as server:
        yield server.model("smooth")


def ask(model: inferlay.Model, **asking: Any) -> List[Any]:
    return [response["average"].tolist() for response in model.stream(SIGNAL, **asking)]


def test_one_response_is_an_answer_and_a_stream(smooth: inferlay.Model) -> None:
    expected = smooth(SIGNAL)["average"].tolist()
    assert ask(smooth) == [expected]
    assert smooth.submit(SIGNAL).result()["average"].tolist() == expected
    assert asyncio.run(smooth.infer_async(SIGNAL))["average"].tolist() == expected


PROGRESS = {"parameters": {"progress": True}}


def test_several_responses_come_in_order(smooth: inferlay.Model) -> None:
    async def main() -> List[Any]:
        return [response["average"].tolist() async for response in smooth.stream_async(SIGNAL, **PROGRESS)]

    found = ask(smooth, **PROGRESS)
    assert len(found) > 1 and found[-1] == ask(smooth)[-1]
    assert asyncio.run(main()) == found


def test_who_expects_one_response_is_told_of_several(smooth: inferlay.Model) -> None:
    with pytest.raises(inferlay.Unsupported):
        smooth.infer(SIGNAL, **PROGRESS)
    with pytest.raises(inferlay.Unsupported, match="`stream`"):
        smooth.submit(SIGNAL, **PROGRESS).result()
    with pytest.raises(inferlay.Unsupported, match="`stream`"):
        smooth.infer_many([SIGNAL], **PROGRESS)
    with pytest.raises(inferlay.Unsupported, match="`stream`"):
        asyncio.run(smooth.infer_async(SIGNAL, **PROGRESS))
    assert len(ask(smooth)) == 1


def test_a_stream_that_is_left_early_cancels_its_request(smooth: inferlay.Model) -> None:
    async def main() -> None:
        async for _ in smooth.stream_async(SIGNAL, **PROGRESS):
            break

    for _ in range(10):
        stream = smooth.stream(SIGNAL, **PROGRESS)
        next(stream)
        stream.close()  # type: ignore[attr-defined]
        asyncio.run(main())
    assert len(ask(smooth)) == 1
