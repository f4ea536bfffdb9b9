"""Functions of Python as models."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
import weakref
from typing import Any, Dict, Iterator, List

import pytest
from conftest import TYPES

import inferlay
from inferlay import registry

numpy = pytest.importorskip("numpy")

PAIR = {"inputs": {"x": ("FP32", [2])}, "outputs": {"y": ("FP32", [2])}}


@pytest.fixture
def empty() -> Iterator[inferlay.Server]:
    with inferlay.Server(progress=False) as server:
        yield server


def double(x: Any) -> Any:
    return x * 2


def test_a_function_is_a_model(empty: inferlay.Server) -> None:
    model = empty.register("double", double, **PAIR)
    assert isinstance(model, inferlay.Model) and model.outputs["y"].shape == (2,)
    assert model([1, 2])["y"].tolist() == [2, 4]
    assert model.submit([1, 2]).result()["y"].tolist() == [2, 4]
    assert model.statistics["name"] == "double"
    with pytest.raises(inferlay.AlreadyExists):
        empty.register("double", double, **PAIR)


def test_a_decorator_leaves_the_function_as_it_is(empty: inferlay.Server) -> None:
    @empty.register("half", inputs={"x": (numpy.float64, [-1])}, outputs={"y": (numpy.float64, [-1])})
    def half(x: Any) -> Dict[str, Any]:
        return {"y": x / 2}

    assert half(numpy.ones(1))["y"].tolist() == [0.5]
    assert empty.infer("half", [1.0, 3.0])["y"].tolist() == [0.5, 1.5]


def test_requests_that_wait_become_one_batch(empty: inferlay.Server) -> None:
    sizes: List[int] = []
    begun, go_on = threading.Event(), threading.Event()

    @empty.register("double", max_batch_size=8, **PAIR)
    def batched(x: Any) -> Any:
        sizes.append(len(x))
        begun.set()
        go_on.wait()
        return x * 2

    model = empty.model("double")
    first = model.submit([[0, 0]])
    begun.wait()
    others = [model.submit([[number, 0]]) for number in range(1, 8)]
    go_on.set()
    assert [future.result()["y"][0, 0] for future in [first, *others]] == [2 * number for number in range(8)]
    assert sizes == [1, 7]


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_goes_through_a_function(empty: inferlay.Server, kind: inferlay.DataType) -> None:
    empty.register("same", lambda x: x, inputs={"x": (kind, [-1])}, outputs={"y": (kind, [-1])})
    value = numpy.array([b"a", b""], object) if kind is inferlay.DataType.BYTES else numpy.array([0, 1])
    value = value.astype(inferlay.dtypes.TO_NUMPY[kind])
    assert empty.infer("same", value)["y"].tolist() == value.tolist()


@pytest.mark.parametrize(
    ("function", "kind", "message"),
    [
        (lambda x: 1 / 0, inferlay.Unknown, "ZeroDivisionError: division by zero"),
        (lambda x: x.astype(numpy.float64), inferlay.InvalidArgument, "output 'y': found FP64, expected FP32"),
        (lambda x: x[:1], inferlay.Error, "shape"),
        (lambda x: {"z": x}, inferlay.InvalidArgument, "found output 'z', expected 'y'"),
        (lambda x: {}, inferlay.Internal, "'y'"),
        (lambda x: None, inferlay.InvalidArgument, "output 'y': found NoneType"),
        (lambda: None, inferlay.Unknown, "TypeError"),
    ],
    ids=["raises", "type", "shape", "name", "nothing", "none", "signature"],
)
def test_what_a_function_does_wrong_is_the_error_of_its_batch(
    empty: inferlay.Server, function: Any, kind: Any, message: str
) -> None:
    model = empty.register("wrong", function, **PAIR)
    for _ in range(2):
        with pytest.raises(kind) as raised:
            model([1, 2])
        assert message in str(raised.value)


def test_an_error_of_ours_keeps_its_code(empty: inferlay.Server) -> None:
    def refuse(x: Any) -> Any:
        raise inferlay.ResourceExhausted("not today")

    with pytest.raises(inferlay.ResourceExhausted, match="^not today$"):
        empty.register("refusing", refuse, **PAIR)([1, 2])


class Speechless(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


@pytest.mark.parametrize(
    ("raised", "kind", "message"),
    [
        (Speechless(), inferlay.Unknown, "Speechless: its text raised ValueError"),
        (inferlay.InvalidArgument(5), inferlay.InvalidArgument, "5"),  # type: ignore[arg-type]
        (SystemExit(3), inferlay.Unknown, "SystemExit: 3"),
        (ValueError("a\0b\ud800"), inferlay.Unknown, "ValueError: ab?"),
    ],
    ids=["speechless", "number", "exit", "odd letters"],
)
def test_a_model_goes_on_whatever_its_function_raised(
    empty: inferlay.Server, raised: BaseException, kind: Any, message: str
) -> None:
    def fail(x: Any) -> Any:
        if x[0]:
            raise raised
        return x

    model = empty.register("failing", fail, **PAIR)
    for _ in range(2):
        with pytest.raises(kind) as found:
            model([1, 2])
        assert str(found.value) == message
    assert model([0, 2])["y"].tolist() == [0, 2]


def test_inputs_are_read_only_views_of_what_was_lent(empty: inferlay.Server) -> None:
    seen: List[int] = []

    def look(x: Any) -> Any:
        seen.append(x.__array_interface__["data"][0])
        assert not x.flags.writeable
        return x

    value = numpy.array([1, 2], numpy.float32)
    # Who waits may not be held up by a function that keeps an input, so the engine copies for it.
    assert empty.register("look", look, **PAIR).submit(value).result()["y"].tolist() == [1, 2]
    assert seen == [value.__array_interface__["data"][0]]


def test_a_function_that_keeps_an_input_is_told_of(empty: inferlay.Server, caplog: Any) -> None:
    kept: List[Any] = []

    def keep(x: Any) -> Any:
        kept.append(x)
        return x

    model = empty.register("keep", keep, **PAIR)
    with caplog.at_level(logging.WARNING, logger="inferlay"):
        future = model.submit([1, 2])
        assert future.result()["y"].tolist() == [1, 2]
        end = time.monotonic() + 120
        while "keeps an input" not in caplog.text:
            assert time.monotonic() < end, "nobody was warned"
    assert kept[0].tolist() == [1, 2]
    kept.clear()


def test_outputs_go_to_memory_of_the_caller(empty: inferlay.Server) -> None:
    into = numpy.zeros(2, numpy.float32)
    empty.register("double", double, **PAIR).infer([1, 2], out={"y": into})
    assert into.tolist() == [2, 4]


def test_several_instances_run_at_once(empty: inferlay.Server) -> None:
    both = threading.Barrier(2, timeout=60)

    def meet(x: Any) -> Any:
        both.wait()
        return x

    model = empty.register("meet", meet, instances=2, **PAIR)
    futures = [model.submit([1, 2]), model.submit([3, 4])]
    assert [future.result()["y"].tolist() for future in futures] == [[1, 2], [3, 4]]


def test_a_function_may_ask_another_model(empty: inferlay.Server) -> None:
    inner = empty.register("double", double, **PAIR)
    outer = empty.register("twice", lambda x: inner(inner(x).tensor("y"))["y"], **PAIR)
    assert outer([1, 2])["y"].tolist() == [4, 8]


def test_tasks_ask_a_function(empty: inferlay.Server) -> None:
    model = empty.register("double", double, max_batch_size=64, **PAIR)

    async def main() -> List[Any]:
        return await asyncio.gather(*[model.infer_async([[number, 0]]) for number in range(500)])

    assert [one["y"][0, 0] for one in asyncio.run(main())] == [2 * number for number in range(500)]


def test_a_model_that_is_removed_ends_its_threads_and_lets_its_function_go(empty: inferlay.Server) -> None:
    class Function:
        def __call__(self, x: Any) -> Any:
            return x

    function = Function()
    gone = weakref.ref(function)
    empty.register("short", function, **PAIR)([1, 2])
    threads = [thread for thread in threading.enumerate() if thread.name == "inferlay-model-short"]
    assert len(threads) == 1
    del function
    empty.remove("short")
    threads[0].join(60)
    gc.collect()
    assert not threads[0].is_alive() and gone() is None


def test_a_server_that_goes_ends_the_threads_of_its_functions() -> None:
    server = inferlay.Server(progress=False)
    server.register("same", double, **PAIR)([1, 2])
    thread = next(thread for thread in threading.enumerate() if thread.name == "inferlay-model-same")
    del server
    gc.collect()
    thread.join(60)
    assert not thread.is_alive()


@pytest.mark.parametrize("kind", ["FP31", object, 3.5], ids=str)
def test_a_type_that_is_none_is_refused(empty: inferlay.Server, kind: Any) -> None:
    with pytest.raises(inferlay.InvalidArgument, match="expected a type such as 'FP32'"):
        empty.register("wrong", double, inputs={"x": (kind, [2])}, outputs={"y": ("FP32", [2])})


def test_memory_of_a_request_is_not_handed_on_by_dlpack(empty: inferlay.Server, monkeypatch: Any) -> None:
    monkeypatch.setattr(registry, "numpy", None)
    model = empty.register("share", lambda x: x.__dlpack__(), **PAIR)
    with pytest.raises(inferlay.Unsupported, match="input 'x': it lies in memory of its request"):
        model([1, 2])
    assert empty.register("list", lambda x: x.tolist(), **PAIR)([1, 2])["y"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"function": 5}, "model 'wrong': found 5, expected a function"),
        ({"inputs": {"x": "FP32"}}, "'x': found 'FP32', expected a type and a shape"),
        ({"inputs": {"x": ("FP32", 2)}}, r"'x': found \('FP32', 2\), expected a type and a shape"),
        ({"inputs": [("x", "FP32", [2])]}, "found list, expected a mapping"),
        ({"outputs": {"y": ("FP32", [2.5])}}, "found 2.5"),
        ({"instances": 0}, "found 0"),
        ({"max_batch_size": -1}, "found -1"),
    ],
    ids=lambda said: str(said)[:30],
)
def test_a_model_that_cannot_be_is_refused_when_it_is_made(empty: inferlay.Server, said: Any, message: str) -> None:
    with pytest.raises(inferlay.InvalidArgument, match=message):
        empty.register("wrong", **{"function": double, **PAIR, **said})
    shape = numpy.array([2])
    kinds: Any = {"inputs": {"x": ("FP32", list(shape))}, "outputs": {"y": ("FP32", tuple(shape))}}
    assert empty.register("wrong", double, **kinds)([1, 2])["y"].tolist() == [2, 4]


def test_a_handle_sees_the_model_that_has_come_in_the_place_of_another(empty: inferlay.Server) -> None:
    old: inferlay.Model = empty.register("m", lambda x: x * 2, **PAIR)
    assert old([1, 2])["y"].tolist() == [2, 4]
    empty.remove("m")
    shown = repr(old)
    with pytest.raises(inferlay.Unavailable):
        old([1, 2])
    other = {"a": ("INT64", [3])}
    new: inferlay.Model = empty.register("m", lambda a: a * 3, inputs=other, outputs={"b": ("INT64", [3])})
    assert repr(old) == repr(new) != shown
    assert [*old.inputs] == ["a"] and [*old.outputs] == ["b"]
    for model in (old, new):
        assert model(a=[1, 2, 3])["b"].tolist() == model.infer([1, 2, 3], outputs=["b"])["b"].tolist() == [3, 6, 9]
        with pytest.raises(inferlay.NotFound, match="no input 'x'; it has 'a'"):
            model(x=[1, 2])
    # The names stay, and the type does not.
    empty.remove("m")
    empty.register("m", lambda a: a * 4, inputs={"a": ("FP32", [1])}, outputs={"b": ("FP32", [1])})
    assert [model(a=[1.5])["b"].tolist() for model in (old, new)] == [[6.0], [6.0]]


def test_requests_stay_ready_while_other_models_come_and_go(empty: inferlay.Server) -> None:
    model: inferlay.Model = empty.register("m", lambda x: x, **PAIR)
    assert model([1, 2])["y"].tolist() == [1, 2]
    ready = dict(model._variants)
    empty.register("other", lambda x: x, **PAIR)
    empty.remove("other")
    assert model([3, 4])["y"].tolist() == [3, 4] and model._variants == ready
