"""Asking models: by name, by position, waiting, in lists and by futures; and all that may be wrong about it."""

from __future__ import annotations

import concurrent.futures
import gc
import threading
import weakref
from typing import Any, List

import pytest
from conftest import Gate, echo, port

import inferlay
from inferlay import futures
from inferlay.completions import Completions, sweep
from inferlay.inputs import address_of_array

numpy = pytest.importorskip("numpy")

ROW = numpy.array([[1, 2]], numpy.float32)
ONE = {"a": numpy.array([1, 2], numpy.float32), "b": numpy.array([3], numpy.int64)}


def test_a_model_takes_arrays_by_position_by_name_and_as_a_mapping(server: inferlay.Server) -> None:
    model = server.model("two")
    for response in (
        model(ONE["a"], ONE["b"]),
        model(**ONE),
        model(ONE),
        model(ONE["a"], b=ONE["b"]),
        model.infer(ONE),
    ):
        assert list(response) == ["a", "b"] and len(response) == 2
        assert response["a"].tolist() == [1, 2] and response["b"].tolist() == [3]
    assert server.infer("rows", ROW)["x"].tolist() == [[1, 2]]


def test_a_response_says_what_answered(server: inferlay.Server) -> None:
    response = server.infer("rows", ROW)
    assert response.model == "rows" and response.version == 1
    assert "x" in response and "y" not in response and dict(response).keys() == {"x"}
    assert repr(response) == "<inferlay.Response of 'rows' version 1: x: FP32 [1, 2]>"
    assert "<td>x</td><td>FP32</td><td>[1, 2]</td>" in response._repr_html_()
    assert repr(response.tensor("x")) == "<inferlay.Tensor 'x': FP32 [1, 2]>"
    with pytest.raises(KeyError, match="no output 'y' in the response of model 'rows'; it has 'x'"):
        response["y"]


def test_a_response_is_equal_to_itself_only(server: inferlay.Server) -> None:
    one, other = server.infer("pair", [1, 2]), server.infer("pair", [1, 3])
    assert one == one and one != other and len({one, other, one}) == 2


def test_outputs_are_chosen_by_name(server: inferlay.Server) -> None:
    assert list(server.infer("two", ONE, outputs=["b"])) == ["b"]
    assert list(server.infer("two", ONE, outputs=["b", "a"])) == ["a", "b"]
    with pytest.raises(inferlay.NotFound, match="no output 'c'; it has 'a', 'b'"):
        server.infer("two", ONE, outputs=["c"])
    with pytest.raises(inferlay.InvalidArgument, match="expected a list of names"):
        server.infer("two", ONE, outputs="ab")


@pytest.mark.parametrize(
    ("inputs", "kind", "message"),
    [
        ({"x": ROW.astype(numpy.float64)}, inferlay.InvalidArgument, "input 'x': found FP64, expected FP32"),
        ({"x": ROW[:, :1]}, inferlay.InvalidArgument, "shape"),
        ({"x": ROW[0]}, inferlay.InvalidArgument, "shape"),
        ({}, inferlay.InvalidArgument, "'x'"),
        ({"y": ROW}, inferlay.NotFound, "no input 'y'; it has 'x'"),
        ({"x": ROW, "y": ROW}, inferlay.NotFound, "no input 'y'; it has 'x'"),
        ({"x": None}, inferlay.InvalidArgument, "found NoneType, expected an array"),
        ({"x": object()}, inferlay.InvalidArgument, "found object, expected an array"),
        ({"x": [["a", "b"]]}, inferlay.InvalidArgument, "expected a list of FP32"),
        ({"x": [[1], [1, 2]]}, inferlay.InvalidArgument, "expected a list of FP32"),
        ({"x": numpy.array([[1, None]], object)}, inferlay.InvalidArgument, "found an array of object, expected FP32"),
        ({"x": ROW.astype(numpy.complex64)}, inferlay.InvalidArgument, "found an array of complex64"),
        ({"x": numpy.zeros((9, 2), numpy.float32)}, inferlay.InvalidArgument, "rows"),
        ({1: ROW}, inferlay.NotFound, "no input 1"),
        ({"x\0": ROW}, inferlay.NotFound, "no input"),
        ({"x": memoryview(b"ab").cast("B")}, inferlay.InvalidArgument, "UINT8"),
    ],
    ids=str,
)
def test_bad_input_is_an_exception_and_nothing_else(
    server: inferlay.Server, inputs: Any, kind: Any, message: str
) -> None:
    model = server.model("rows")
    for ask in (model.infer, lambda wrong: model.submit(wrong).result(), lambda wrong: model.infer_many([wrong])):
        with pytest.raises(kind) as raised:
            ask(inputs)
        assert message in str(raised.value)
    assert model.infer({"x": ROW})["x"].tolist() == [[1, 2]]


class Liar:
    """A thing that says that it is larger than memory."""

    def __init__(self, shape: Any) -> None:
        self.__array_interface__ = {"version": 3, "typestr": "<f4", "shape": shape, "data": (0, True)}


@pytest.mark.parametrize("shape", [(2**63,), (2**62, 4), (2**40, 2**40)], ids=str)
def test_a_shape_that_no_memory_has_is_an_exception(server: inferlay.Server, shape: Any) -> None:
    with pytest.raises(Exception):  # noqa: B017 - numpy may be the one that refuses it
        server.infer("FP32", {"x": Liar(shape)})


@pytest.mark.parametrize(
    ("kind", "value"),
    [("INT8", [300]), ("UINT8", [-1]), ("INT32", [1.5]), ("INT64", [2**63]), ("UINT64", [2**64]), ("BYTES", [1])],
)
def test_a_number_that_the_type_does_not_hold_is_an_exception(server: inferlay.Server, kind: str, value: Any) -> None:
    with pytest.raises(inferlay.InvalidArgument, match="input 'x'"):
        server.infer(kind, {"x": value})


def test_too_many_arrays_and_unknown_keywords_are_named(server: inferlay.Server) -> None:
    with pytest.raises(inferlay.InvalidArgument, match="found 2 arrays, expected 'x'"):
        server.model("rows")(ROW, ROW)
    with pytest.raises(TypeError, match="found the keyword 'timout', expected one of outputs, out, timeout"):
        server.infer("rows", {"x": ROW}, timout=1)


def test_a_model_that_is_not_there_is_a_key_error_that_lists_those_that_are(server: inferlay.Server) -> None:
    with pytest.raises(KeyError, match="model 'none' not found; known: .*pair.*two"):
        server.model("none")
    with pytest.raises(inferlay.NotFound):
        server.model("rows", 7)


def test_what_few_requests_say_reaches_the_engine(server: inferlay.Server) -> None:
    said = {
        "id": "mine",
        "sequence": 7,
        "sequence_start": True,
        "sequence_end": True,
        "parameters": {"a": "text", "b": 1, "c": 0.5, "d": True},
        "traced": True,
        "timeout": 60.0,
        "queue_timeout": 60.0,
    }
    for _ in range(2):
        assert server.infer("rows", {"x": ROW}, **said)["x"].tolist() == [[1, 2]]
    assert "mine" in str(server.traces)
    assert server.infer("rows", {"x": ROW}, sequence="text", sequence_start=True)["x"].tolist() == [[1, 2]]
    with pytest.raises(inferlay.InvalidArgument, match="found 9223372036854775808"):
        server.infer("rows", {"x": ROW}, parameters={"a": 2**63})


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_a_timeout_that_is_none_is_a_value_error(server: inferlay.Server, timeout: float) -> None:
    with pytest.raises(ValueError, match="expected 0 or more"):
        server.infer("rows", {"x": ROW}, timeout=timeout)
    with pytest.raises(ValueError, match="queue_timeout: found .* expected 0 or more"):
        server.infer("rows", {"x": ROW}, queue_timeout=timeout)
    assert server.infer("rows", {"x": ROW}, timeout=float("inf"))["x"].tolist() == [[1, 2]]


def test_a_timeout_is_a_deadline_of_its_own_request_only(gate: Gate) -> None:
    model = gate.model
    running = model.submit([1, 2])
    assert gate.begun.wait(60)
    with pytest.raises(TimeoutError) as raised:
        model.infer([1, 2], timeout=0.01)
    assert isinstance(raised.value, inferlay.Timeout) and raised.value.code == 8
    gate.opened.set()
    assert running.result()["x"].tolist() == [1, 2]
    assert model.infer([3, 4])["x"].tolist() == [3, 4]


def test_inputs_are_let_go_when_the_answer_is_there(server: inferlay.Server) -> None:
    value = ROW.copy()
    gone = weakref.ref(value)
    server.infer("rows", {"x": value})
    server.model("rows").submit({"x": value}).result()
    server.model("rows").infer_many([{"x": value}] * 3)
    del value
    for _ in range(100):
        gc.collect()
        # The event of the release may come after that of the answer.
        server.model("rows").submit({"x": ROW}).result()
        if gone() is None:
            break
    assert gone() is None


def test_an_array_that_is_dropped_during_its_request_is_kept(gate: Gate) -> None:
    futures = [gate.model.submit(numpy.full(2, number, numpy.float32)) for number in range(3)]
    gc.collect()
    noise = [numpy.full(2, -1, numpy.float32) for _ in range(1000)]
    gate.opened.set()
    assert [future.result()["x"].tolist() for future in futures] == [[0, 0], [1, 1], [2, 2]]
    del noise


def test_many_requests_are_answered_in_order(server: inferlay.Server) -> None:
    rows = [numpy.full((1, 2), number, numpy.float32) for number in range(1000)]
    answers = server.model("rows").infer_many(rows)
    assert [answer["x"][0, 0] for answer in answers] == list(range(1000))
    assert server.model("rows").infer_many([]) == []


def test_the_first_error_of_many_is_raised_or_stands_in_its_place() -> None:
    config = echo(port("x", "FP32", [2]), parameters={"fail_every": 2})
    with inferlay.Server(models={"failing": config}, progress=False) as server:
        model = server.model("failing")
        with pytest.raises(inferlay.Error):
            model.infer_many([[1, 2]] * 4)
        found = model.infer_many([[1, 2]] * 4, return_errors=True)
        assert sum(isinstance(one, inferlay.Error) for one in found) == 2


def test_futures_are_those_of_python(server: inferlay.Server) -> None:
    futures = [server.model("rows").submit({"x": ROW * number}) for number in range(100)]
    done, not_done = concurrent.futures.wait(futures, timeout=60)
    assert len(done) == 100 and not not_done
    assert {future.result()["x"][0, 0] for future in concurrent.futures.as_completed(futures)} == set(range(100))


def test_a_future_that_is_cancelled_cancels_its_request(gate: Gate) -> None:
    model = gate.model
    running = model.submit([1, 2])
    assert gate.begun.wait(60)
    waiting = model.submit([3, 4])
    assert waiting.cancel() and waiting.cancelled()
    gate.opened.set()
    with pytest.raises(concurrent.futures.CancelledError):
        waiting.result()
    assert concurrent.futures.wait([waiting, running], timeout=60).done == {waiting, running}
    assert not running.cancel() and running.result()["x"].tolist() == [1, 2]
    assert model.infer([5, 6])["x"].tolist() == [5, 6]
    assert gate.executed == [[1, 2], [5, 6]]


def test_what_is_called_back_may_not_end_the_thread_of_all_futures(gate: Gate, caplog: Any) -> None:
    def leave(_: Any) -> None:
        raise SystemExit(3)

    future = gate.model.submit([1, 2])
    future.add_done_callback(leave)
    gate.opened.set()
    assert gate.model.submit([3, 4]).result(60)["x"].tolist() == [3, 4]
    assert "SystemExit" in caplog.text


def test_a_queue_that_was_left_to_others_is_not_used_again(gate: Gate, monkeypatch: Any) -> None:
    left: List[Completions] = []
    abandon, drain = Completions.abandon, Completions.drain

    def interrupt(_: Completions, timeout_ns: int = 0) -> int:
        monkeypatch.setattr(Completions, "drain", drain)
        raise KeyboardInterrupt

    def leave(self: Completions) -> bool:
        found = abandon(self)
        left.append(self)
        gate.opened.set()
        # Another thread is quick to look after it.
        while self.table:
            sweep()
        return found

    gate.model.submit([1, 2])
    assert gate.begun.wait(60)
    monkeypatch.setattr(Completions, "abandon", leave)
    stream = gate.model.stream([3, 4])
    monkeypatch.setattr(Completions, "drain", interrupt)
    with pytest.raises(KeyboardInterrupt):
        next(stream)
    assert len(left) == 1 and left[0] not in futures._idle


def test_threads_ask_at_once(server: inferlay.Server) -> None:
    model, wrong = server.model("rows"), []

    def ask(number: int) -> None:
        for step in range(200):
            value = numpy.full((1, 2), number * 1000 + step, numpy.float32)
            if model(x=value)["x"].tolist() != value.tolist():
                wrong.append(step)

    threads: List[threading.Thread] = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_interpreter_lock_is_free_while_native_code_runs(gate: Gate) -> None:
    answers: List[Any] = []
    asked = threading.Thread(target=lambda: answers.append(gate.model.infer([1, 2])["x"].tolist()))
    asked.start()
    # The model is a function of Python: it begins while the thread waits in the library.
    assert gate.begun.wait(60) and not answers
    gate.opened.set()
    asked.join()
    assert answers == [[1, 2]]


def test_a_stream_of_one_response_is_a_stream(server: inferlay.Server) -> None:
    assert [response["x"].tolist() for response in server.model("rows").stream({"x": ROW})] == [[[1, 2]]]
    stream = server.model("rows").stream({"x": ROW})
    assert next(iter(stream))["x"].tolist() == [[1, 2]]
    del stream
    with pytest.raises(inferlay.InvalidArgument):
        list(server.model("rows").stream({"x": ROW[0]}))


def test_a_stream_raises_the_error_that_it_ends_with(gate: Gate) -> None:
    running = gate.model.submit([1, 2])
    assert gate.begun.wait(60)
    waiting = gate.model.stream([3, 4], timeout=0.01)
    with pytest.raises(inferlay.Timeout):
        next(iter(waiting))
    gate.opened.set()
    assert running.result()["x"].tolist() == [1, 2]


def test_a_request_that_is_used_again_is_described_anew_where_it_differs(server: inferlay.Server) -> None:
    model = server.model("FP32")
    whole = numpy.arange(12, dtype=numpy.float32)
    for value in (whole, whole[2:5], whole[::3], whole[1:], [7.0], whole[:0], whole, whole[6:].copy()):
        assert model(x=value)["x"].tolist() == list(value)
    with pytest.raises(inferlay.InvalidArgument, match="FP64"):
        model(x=whole.astype(numpy.float64))
    assert model(x=whole.astype(">f4"))["x"].tolist() == whole.tolist()
    assert model(x=whole)["x"].tolist() == whole.tolist()


def test_the_place_of_an_array_is_what_its_interface_says() -> None:
    whole = numpy.zeros((4, 6), numpy.int16)
    for array in (
        whole,
        whole[1:, 2:],
        whole.T,
        whole.view(numpy.recarray),
        numpy.zeros(0),
        numpy.array(1),
    ):
        assert address_of_array(array) == array.__array_interface__["data"][0]
