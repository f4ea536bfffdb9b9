"""What is wrong is an exception of Python and nothing else: the model answers what is right afterwards."""

from __future__ import annotations

import array
import asyncio
import ctypes
import gc
import mmap
from typing import Any, Callable, Dict, List

import pytest
from conftest import TYPES, Gate, echo, port

import inferlay
from inferlay import DataType, dlpack
from inferlay.dtypes import TO_NUMPY

numpy = pytest.importorskip("numpy")

ROW = numpy.array([[1, 2]], numpy.float32)


def same(x: Any) -> Any:
    return x


def start(**said: Any) -> None:
    inferlay.Server(**{"progress": False, **said}).close()


def register(**said: Any) -> None:
    ports = {"x": ("FP32", [2])}
    with inferlay.Server(progress=False) as server:
        server.register(**{"name": "same", "function": same, "inputs": ports, "outputs": ports, **said})


def ask(**said: Any) -> None:
    with inferlay.Server(models={"pair": echo(port("x", "FP32", [2]))}, progress=False) as server:
        server.infer(**{"model": "pair", "inputs": [1, 2], **said})


def many(**said: Any) -> None:
    with inferlay.Server(models={"pair": echo(port("x", "FP32", [2]))}, progress=False) as server:
        server.model("pair").infer_many(**said)


def load_file(**said: Any) -> None:
    with inferlay.Server(progress=False) as server:
        server.load_file(**said)


async def stream(model: inferlay.Model, inputs: Any) -> List[Any]:
    return [response async for response in model.stream_async(inputs)]


# All the ways to ask.
WAYS: Dict[str, Callable[[inferlay.Model, Any], Any]] = {
    "infer": lambda model, inputs: model.infer(inputs),
    "submit": lambda model, inputs: model.submit(inputs).result(),
    "infer_many": lambda model, inputs: model.infer_many([inputs]),
    "stream": lambda model, inputs: list(model.stream(inputs)),
    "infer_async": lambda model, inputs: asyncio.run(model.infer_async(inputs)),
    "stream_async": lambda model, inputs: asyncio.run(stream(model, inputs)),
}
each_way = pytest.mark.parametrize("way", WAYS)


@pytest.mark.parametrize("wanted", TYPES)
def test_a_wrong_type_is_refused_with_the_names_of_both(server: inferlay.Server, wanted: DataType) -> None:
    for found in TYPES:
        value = numpy.array(["a"], object) if found is DataType.BYTES else numpy.zeros(1, TO_NUMPY[found])
        if found is wanted or (found, wanted) == (DataType.UINT16, DataType.BF16):
            assert server.infer(wanted.name, {"x": value})["x"].shape == (1,)
            continue
        if TO_NUMPY[found] == numpy.uint16 and wanted in (DataType.BF16, DataType.UINT16):
            continue  # Without ml_dtypes they are the same to numpy.
        with pytest.raises(inferlay.InvalidArgument) as raised:
            server.infer(wanted.name, {"x": value})
        assert f"'x': found {found}" in str(raised.value) and f"expected {wanted}" in str(raised.value)


WRONG = [
    ({"x": ROW.astype(numpy.int32)}, inferlay.InvalidArgument, "found INT32, expected FP32"),
    ({"x": ROW.T}, inferlay.InvalidArgument, r"found shape \[2, 1\], expected \[batch\]\+\[2\]"),
    ({"x": numpy.float32(1)}, inferlay.InvalidArgument, r"found shape \[\]"),
    ({"x": numpy.ones((1,) * 32, numpy.float32)}, inferlay.InvalidArgument, "found shape"),
    ({}, inferlay.InvalidArgument, "'x'"),
    ({"y": ROW}, inferlay.NotFound, "no input 'y'; it has 'x'"),
    ({"x": {"a": 1}}, inferlay.InvalidArgument, "found dict, expected an array"),
    ({"x": numpy.array(["2020"], "datetime64[s]")}, inferlay.InvalidArgument, "found an array of datetime64"),
    ({"x": numpy.zeros(2, [("a", "f4")])}, inferlay.InvalidArgument, "expected a type that the engine has"),
    ({"x": numpy.array([["a", "b"]])}, inferlay.InvalidArgument, "found BYTES, expected FP32"),
    ({"x": [[10**400, 1]]}, inferlay.InvalidArgument, "expected a list of FP32"),
    ({"x": [[1j, 1]]}, inferlay.InvalidArgument, "found elements of complex128"),
]


@each_way
@pytest.mark.parametrize(("inputs", "kind", "message"), WRONG, ids=str)
def test_what_is_wrong_is_the_same_in_every_way_to_ask(
    server: inferlay.Server, way: str, inputs: Any, kind: Any, message: str
) -> None:
    model = server.model("rows")
    with pytest.raises(kind, match=message):
        WAYS[way](model, inputs)
    assert model.infer({"x": ROW})["x"].tolist() == [[1, 2]]


def itself() -> Any:
    """A list that contains itself."""
    made: List[Any] = []
    made.append(made)
    return made


@pytest.mark.parametrize(
    "texts",
    [
        numpy.array([1, "a"], object),
        numpy.array(["a", None], object),
        numpy.array([b"a", 1.5], object),
        numpy.array([["a"], ("b", "c"), {}], object),
        [1],
        ["a", None],
        [["a"], ["b", "c"]],
        ["\ud800"],
        numpy.array(["\ud800"], object),
        itself(),
    ],
    ids=str,
)
def test_what_is_no_text_is_refused(server: inferlay.Server, texts: Any) -> None:
    with pytest.raises(ValueError):
        server.infer("BYTES", {"x": texts})
    assert server.infer("BYTES", {"x": ["a"]})["x"].tolist() == [b"a"]


class Large:
    """Memory of four bytes that says to others that it is of any shape."""

    def __init__(self, shape: Any, strides: Any = None) -> None:
        self.memory = ctypes.c_float(1)
        self.shape, self.strides = [(ctypes.c_int64 * len(shape))(*some) if some else None for some in (shape, strides)]
        self.managed = dlpack.Plain()
        tensor = self.managed.tensor
        tensor.data, tensor.device_type, tensor.ndim = ctypes.addressof(self.memory), dlpack.CPU, len(shape)
        tensor.code, tensor.bits, tensor.lanes = 2, 32, 1
        tensor.shape = ctypes.addressof(self.shape) if self.shape else None
        tensor.strides = ctypes.addressof(self.strides) if self.strides else None

    def __dlpack_device__(self) -> Any:
        return (dlpack.CPU, 0)

    def __dlpack__(self, **_: Any) -> Any:
        return dlpack._new(ctypes.addressof(self.managed), dlpack.PLAIN, None)


@each_way
@pytest.mark.parametrize(
    "shape",
    [(2**63 - 1, 1), (2**62, 4), (2**40, 2**40), (-1, 1), (-1, 0), (-(2**63), 2), (1,) * 65, (0,) * 65],
    ids=lambda shape: f"{len(shape)} of {shape[0]}",
)
def test_a_shape_that_no_memory_has_is_refused(server: inferlay.Server, way: str, shape: Any) -> None:
    with pytest.raises(inferlay.InvalidArgument, match="input 'x'"):
        WAYS[way](server.model("grid"), {"x": Large(shape)})
    assert server.infer("grid", {"x": Large((1, 1))})["x"].tolist() == [[1]]


def test_a_request_that_was_refused_leaves_nothing_to_the_next(server: inferlay.Server) -> None:
    model, wrong = server.model("grid"), Large((2**63 - 1, 1))
    wrong.managed.tensor.code, wrong.managed.tensor.bits = 0, 64
    for _ in range(3):
        assert model.infer({"x": ROW})["x"].tolist() == [[1, 2]]
        with pytest.raises(inferlay.InvalidArgument, match="input 'x'"):
            model.infer({"x": wrong})


def test_a_view_that_is_larger_than_memory_is_an_exception(server: inferlay.Server) -> None:
    with pytest.raises((MemoryError, ValueError)):
        server.infer("grid", {"x": numpy.broadcast_to(numpy.float32(1), (2**30, 2**29))})
    assert server.infer("grid", {"x": ROW})["x"].tolist() == [[1, 2]]


SAID: Any = [
    ("version", 2**64 + 1),
    ("version", -1),
    ("version", "1"),
    ("priority", 2**32 + 1),
    ("priority", -1),
    ("sequence", 2**64),
    ("sequence", -1),
    ("sequence", 1.5),
    ("id", 5),
    ("id", "a\0b"),
    ("parameters", {"a": None}),
    ("parameters", {1: 1}),
]


@pytest.mark.parametrize(("keyword", "value"), SAID, ids=str)
def test_a_number_or_name_that_does_not_fit_is_refused(server: inferlay.Server, keyword: str, value: Any) -> None:
    said: Any = {keyword: value}
    with pytest.raises(inferlay.InvalidArgument):
        server.infer("rows", ROW, **said)
    assert server.infer("rows", ROW, sequence=2**64 - 1, sequence_start=True)["x"].tolist() == [[1, 2]]


def test_a_number_that_does_not_fit_is_refused_where_it_is_not_of_a_request(server: inferlay.Server) -> None:
    for wrong in (2**32, -1, "a"):
        with pytest.raises(inferlay.InvalidArgument, match="requests: found"):
            server.trace_every(wrong)  # type: ignore[arg-type]


def shrink(value: bytearray) -> None:
    value.clear()


def mapped() -> mmap.mmap:
    made = mmap.mmap(-1, 8)
    made[:] = bytes(array.array("f", [1, 2]))
    return made


@pytest.mark.parametrize(
    ("make", "free"),
    [
        (lambda: array.array("f", [1, 2]), lambda value: value.pop()),
        (lambda: memoryview(bytearray(array.array("f", [1, 2]))).cast("f"), lambda view: view.obj.clear()),
        (mapped, lambda value: value.close()),
        (mapped, lambda value: value.resize(4096)),
    ],
    ids=["array", "bytearray", "unmapped", "moved"],
)
def test_memory_cannot_be_freed_while_its_request_is_on_its_way(gate: Gate, make: Any, free: Any) -> None:
    value = make()
    given = memoryview(value).cast("f") if isinstance(value, mmap.mmap) else value
    future = gate.model.submit(given)
    assert gate.begun.wait(60)
    if given is not value:
        given.release()
    with pytest.raises(BufferError):
        free(value)
    gate.opened.set()
    assert future.result()["x"].tolist() == [1, 2]


@each_way
def test_a_closed_server_refuses_every_way_to_ask(way: str) -> None:
    models = {"rows": echo(port("x", "FP32", [2]), max_batch_size=8)}
    server = inferlay.Server(models=models, progress=False)
    model = server.model("rows")
    assert WAYS[way](model, ROW)
    server.close()
    for _ in range(3):
        with pytest.raises(inferlay.Unavailable):
            WAYS[way](model, ROW)
        with pytest.raises(inferlay.Unavailable):
            server.infer("rows", ROW)


@pytest.mark.parametrize("way", ["infer", "submit"])
def test_memory_of_the_caller_cannot_be_freed_while_an_answer_has_views_of_it(
    server: inferlay.Server, way: str
) -> None:
    room = bytearray(8)
    model = server.model("pair")
    asked: Any = model.infer([1, 2], out={"x": room}) if way == "infer" else model.submit([1, 2], out={"x": room})
    response = asked if way == "infer" else asked.result()
    found = response["x"]
    del asked, response
    with pytest.raises(BufferError):
        room.clear()
    assert found.tolist() == [1, 2]
    del found
    gc.collect()
    room.clear()


OUT: Any = [
    (numpy.zeros(2), "out 'x': found an array of FP64, expected FP32"),
    (numpy.zeros(1, numpy.float32), "found 4 bytes of the caller's memory, expected 8"),
    (numpy.zeros((2, 2), numpy.float32)[:, 0], "expected an array that is dense"),
    (bytes(8), "expected a buffer that is dense and may be written"),
    (None, "out 'x': found NoneType, expected an array or a buffer"),
]


@pytest.mark.parametrize(("memory", "message"), OUT, ids=lambda value: str(value)[:40])
def test_memory_that_does_not_fit_an_output_is_refused(server: inferlay.Server, memory: Any, message: str) -> None:
    model = server.model("pair")
    for said in ({"x": memory}, [memory]):
        with pytest.raises(inferlay.InvalidArgument, match=message if type(said) is dict else "out: found list"):
            model.submit([1, 2], out=said).result()
    into = numpy.zeros(8, numpy.uint8)
    assert model.infer([1, 2], out={"x": into})
    assert into.view(numpy.float32).tolist() == [1, 2]


def test_what_is_of_another_kind_is_named(server: inferlay.Server) -> None:
    model = server.model("pair")
    cases: List[Any] = [
        (lambda: model(numpy.array([1, 2], object)), "input 'x': found an array of object, expected FP32"),
        (lambda: server.infer("BYTES", ["\ud800"]), "input 'x': found '.ud800', expected a text that UTF-8 can hold"),
        (lambda: server.model("\ud800"), "expected a text that UTF-8 can hold"),
        (lambda: model([1, 2], x=[1, 2]), "found input 'x' by place and by name"),
    ]
    for call, message in cases:
        with pytest.raises(inferlay.InvalidArgument, match=message):
            call()


# What a server, a function or a request is said to be, and is not.
KINDS: Any = [
    (start, {"repository": 5}, "repository: found int, expected a path, a Repository, or a list of these"),
    (start, {"repository": ["models", 5]}, "repository: found int, expected a path, a Repository, or a list of these"),
    (start, {"repository": b"models"}, "repository: found bytes, expected a path, a Repository, or a list of these"),
    (start, {"trusted_keys": 5}, "trusted_keys: found int, expected keys"),
    (start, {"trusted_keys": [5]}, "trusted_keys: found 5, expected a str"),
    (start, {"trusted_keys": "12"}, "key"),
    (start, {"require": "trust"}, "require: found 'trust', expected 'manifest' or 'signature'"),
    (start, {"models": 5}, "models: found int, expected a path, a list of paths, or a mapping from names to files"),
    (start, {"models": {"a": 5}}, "model 'a': found int, expected a path or files by name"),
    (start, {"models": {"a": {"model.onnx": 5}}}, "model 'a': 'model.onnx': found int, expected the bytes of a file"),
    (start, {"models": {"a": {"config.yaml": [1]}}}, "model 'a': 'config.yaml': found list, expected the bytes"),
    (start, {"models": {"a": {"config.yaml": {"b": {1}}}}}, "'config.yaml': found set, expected what JSON can hold"),
    (start, {"models": {5: {}}}, "models: found 5, expected a str"),
    (start, {"backends": 5}, "backends: found int, expected a path or a list of paths"),
    (start, {"backend_options": 5}, "backend_options: found int, expected a mapping from backends to mappings"),
    (start, {"backend_options": {"x": 5}}, "backend_options: 'x': found int, expected a mapping from backends"),
    (start, {"backend_options": {"x": {"y": None}}}, "'x': 'y': found NoneType, expected a text, a number, a bool"),
    (start, {"backend_options": {"x": {5: "y"}}}, "'x': 5: found 5, expected a str"),
    (start, {"options": 5}, "options: found int, expected a mapping from names to values, or a text of YAML"),
    (start, {"options": b"strict: true"}, "options: found bytes, expected a mapping"),
    (start, {"options": {"a": object()}}, "options: found object, expected what JSON can hold"),
    (start, {"options": {("a", "b"): 1}}, "options: keys must be str.*, expected what JSON can hold"),
    (start, {"progress": 5}, "progress: found int, expected True, False or a function"),
    (inferlay.load, {"model": 5}, "model: found int, expected a path, or the bytes of an ONNX file"),
    (register, {"function": 5}, "model 'same': found 5, expected a function"),
    (register, {"name": 5}, "name: found 5, expected a str"),
    (register, {"inputs": 5}, "inputs: found int, expected a mapping from names to types and shapes"),
    (register, {"outputs": {5: ("FP32", [2])}}, "outputs: found 5, expected a str"),
    (register, {"inputs": {"x": ("FP32", [object()])}}, "config: found object, expected what JSON can hold"),
    (register, {"max_batch_size": None}, "max_batch_size: found None, expected a whole number"),
    (register, {"instances": "two"}, "instances: found 'two', expected a whole number"),
    (register, {"config": 5}, "config: found int, expected a mapping from keys of a config to values"),
    (register, {"config": {"parameters": {1}}}, "config: found set, expected what JSON can hold"),
    (ask, {"model": 5}, "model: found 5, expected a str"),
    (ask, {"model": ["same"]}, r"model: found \['same'\], expected a str"),
    (ask, {"version": [1]}, r"version: found \[1\], expected a whole number"),
    (ask, {"outputs": 5}, "outputs: found int, expected a list of names"),
    (ask, {"outputs": "y"}, "outputs: found str, expected a list of names"),
    (ask, {"out": 5}, "out: found int, expected a mapping from outputs to memory"),
    (ask, {"id": 5}, "id: found 5, expected a str"),
    (ask, {"timeout": "soon"}, "timeout: found 'soon' seconds, expected 0 or more"),
    (ask, {"parameters": 5}, "parameters: found int, expected a mapping from names to values"),
    (ask, {"parameters": {"a": None}}, "parameter 'a': found None, expected a str"),
    (many, {"requests": 5}, "requests: found int, expected a list of the inputs of each"),
    (many, {"requests": {"x": [1, 2]}}, "requests: found dict, expected a list of the inputs of each"),
    (load_file, {"file": 5}, "file: found int, expected a path"),
]


@pytest.mark.parametrize(("call", "said", "message"), KINDS, ids=lambda value: str(getattr(value, "__name__", value)))
def test_what_is_of_no_kind_that_is_expected_is_refused_with_both(call: Any, said: Any, message: str) -> None:
    with pytest.raises(inferlay.InvalidArgument, match=message):
        call(**said)


def test_what_dlpack_is_asked_for_is_two_numbers(server: inferlay.Server) -> None:
    tensor = server.infer("pair", [1, 2]).tensor("x")
    for keyword in ("max_version", "dl_device"):
        for wrong in (5, "x", (1,), ("a", "b")):
            with pytest.raises(BufferError, match=f"{keyword}: found .*, expected two numbers"):
                tensor.__dlpack__(**{keyword: wrong})


def test_an_output_of_no_name_is_not_found(server: inferlay.Server) -> None:
    response = server.infer("pair", [1, 2])
    for wrong in (5, None, ["x"], {}):
        with pytest.raises(inferlay.NotFound, match="it has 'x'"):
            response[wrong]  # type: ignore[index]


MASKED = numpy.ma.array([1, 2], mask=[False, True], dtype=numpy.float32)


@each_way
@pytest.mark.parametrize("value", [MASKED, [MASKED]], ids=["array", "list"])
def test_an_array_that_hides_elements_is_refused(server: inferlay.Server, way: str, value: Any) -> None:
    model = server.model("pair" if value is MASKED else "rows")
    with pytest.raises(inferlay.InvalidArgument, match="input 'x': .*1 of 2 elements masked, expected none; `filled`"):
        WAYS[way](model, {"x": value})
    assert model.infer([MASKED.filled(3)] if isinstance(value, list) else MASKED.filled(3))["x"].ravel()[1] == 3


def test_an_array_whose_mask_hides_nothing_is_an_array(server: inferlay.Server) -> None:
    for mask in (numpy.ma.nomask, [False, False]):
        value = numpy.ma.array([1, 2], mask=mask, dtype=numpy.float32)
        assert server.infer("pair", value)["x"].tolist() == [1, 2]
    with pytest.raises(inferlay.InvalidArgument, match="1 of 2 elements masked"):
        server.infer("pair", [1, 2], out={"x": MASKED})
