"""What goes in comes out: all types, all ways of holding memory, nothing copied that need not be."""

from __future__ import annotations

import array
import gc
import weakref
from typing import Any

import pytest
from conftest import TYPES

import inferlay
from inferlay import DataType

numpy = pytest.importorskip("numpy")
ml_dtypes = pytest.importorskip("ml_dtypes")

VALUES = {
    DataType.BOOL: numpy.array([True, False, True]),
    DataType.FP16: numpy.array([0.5, -2, 65504], numpy.float16),
    DataType.FP32: numpy.array([0.5, -2, 1e30], numpy.float32),
    DataType.FP64: numpy.array([0.5, -2, 1e300]),
    DataType.BF16: numpy.array([0.5, -2, 1e30], ml_dtypes.bfloat16),
    DataType.BYTES: numpy.array([b"one", b"", "drei\u2713".encode()], object),
}
for kind in TYPES:
    if kind not in VALUES:
        info = numpy.iinfo(kind.name.lower())
        VALUES[kind] = numpy.array([info.min, 0, info.max], kind.name.lower())


def address(tensor: Any) -> int:
    return int(numpy.asarray(tensor).__array_interface__["data"][0])


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_comes_back_as_it_went(server: inferlay.Server, kind: DataType) -> None:
    response = server.infer(kind.name, {"x": VALUES[kind]})
    assert response["x"].dtype == VALUES[kind].dtype
    assert response["x"].tolist() == VALUES[kind].tolist()
    tensor = response.tensor("x")
    assert tensor.dtype is kind and tensor.shape == (3,) and len(tensor) == 3 and tensor.ndim == 1
    assert tensor.tolist() == VALUES[kind].tolist()
    if kind is not DataType.BYTES:
        assert tensor.nbytes == 3 * kind.size
        assert bytes(tensor.memoryview()) == VALUES[kind].tobytes()


@pytest.mark.parametrize("kind", TYPES)
def test_lists_become_elements_of_the_type_of_the_model(server: inferlay.Server, kind: DataType) -> None:
    found = server.infer(kind.name, {"x": VALUES[kind].tolist()})["x"]
    assert found.dtype == VALUES[kind].dtype and found.tolist() == VALUES[kind].tolist()


@pytest.mark.parametrize("kind", TYPES)
def test_an_empty_tensor_is_a_tensor(server: inferlay.Server, kind: DataType) -> None:
    response = server.infer(kind.name, {"x": VALUES[kind][:0]})
    assert response["x"].shape == (0,) and response.tensor("x").tolist() == []


@pytest.mark.parametrize("kind", TYPES)
def test_an_output_is_an_input(server: inferlay.Server, kind: DataType) -> None:
    first = server.infer(kind.name, {"x": VALUES[kind]})
    assert server.infer(kind.name, {"x": first.tensor("x")})["x"].tolist() == VALUES[kind].tolist()
    assert server.infer(kind.name, {"x": first["x"]})["x"].tolist() == VALUES[kind].tolist()


def test_outputs_are_read_only_views_that_keep_the_response(server: inferlay.Server) -> None:
    response = server.infer("FP32", {"x": VALUES[DataType.FP32]})
    array_of, tensor = response["x"], response.tensor("x")
    assert address(tensor) == address(array_of) and response["x"] is array_of
    with pytest.raises(ValueError, match="read-only"):
        array_of[0] = 1
    memory = weakref.ref(response._memory)
    view = tensor.memoryview()
    assert view.readonly and view.format == "f" and view.shape == (3,)
    del response, tensor
    gc.collect()
    assert memory() is not None
    assert array_of.tolist() == VALUES[DataType.FP32].tolist()
    del array_of
    gc.collect()
    assert view[0] == 0.5 and memory() is not None
    del view
    gc.collect()
    assert memory() is None


@pytest.mark.parametrize(
    "odd",
    [
        numpy.arange(12, dtype=numpy.float32).reshape(3, 4).T,
        numpy.arange(12, dtype=numpy.float32).reshape(3, 4)[::-1, ::2],
        numpy.arange(12, dtype=">f4").reshape(3, 4),
        numpy.frombuffer(b"\0" + bytes(range(24)), numpy.float32, 6, 1).reshape(2, 3),
        numpy.array(2.5, numpy.float32).reshape(1, 1),
        numpy.zeros((2, 0), numpy.float32),
    ],
    ids=["transposed", "strided", "swapped", "unaligned", "one", "empty"],
)
def test_what_does_not_lie_dense_is_copied_once(server: inferlay.Server, odd: Any) -> None:
    found = server.infer("grid", {"x": odd})["x"]
    assert found.shape == odd.shape and found.tolist() == odd.tolist()


def test_a_tensor_without_dims_is_a_number(server: inferlay.Server) -> None:
    for value in (numpy.array(2.5, numpy.float32), numpy.float32(2.5), 2.5):
        response = server.infer("scalar", {"x": value})
        assert response["x"].shape == () and response["x"] == 2.5
        assert response.tensor("x").tolist() == 2.5
        assert response.tensor("x").memoryview().tolist() == 2.5


@pytest.mark.parametrize(
    "buffer",
    [
        array.array("f", [1, 2, 3]),
        memoryview(array.array("f", [1, 2, 3])),
        memoryview(bytes(array.array("f", [1, 2, 3]))).cast("f"),
        memoryview(array.array("f", [1, 9, 2, 9, 3]))[::2],
    ],
    ids=["array", "view", "read-only", "strided"],
)
def test_buffers_are_inputs(server: inferlay.Server, buffer: Any) -> None:
    assert server.infer("FP32", {"x": buffer})["x"].tolist() == [1, 2, 3]


def test_bytes_are_inputs_of_numbers_of_a_byte(server: inferlay.Server) -> None:
    assert server.infer("UINT8", {"x": b"abc"})["x"].tolist() == [97, 98, 99]
    assert server.infer("UINT8", {"x": bytearray(b"abc")})["x"].tolist() == [97, 98, 99]


class Interface:
    """An object that shows its memory by `__array_interface__` only."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.__array_interface__ = value.__array_interface__


def test_what_shows_its_memory_as_an_array_is_an_input(server: inferlay.Server) -> None:
    assert server.infer("FP32", {"x": Interface(VALUES[DataType.FP32])})["x"].tolist() == [0.5, -2, numpy.float32(1e30)]


@pytest.mark.parametrize(
    "texts",
    [
        ["a", b"b", ""],
        numpy.array(["a", "b", ""]),
        numpy.array([b"a", b"b", b""]),
        numpy.array(["a", b"b", ""], object),
        ("a", "b", ""),
    ],
    ids=["list", "unicode", "bytes", "objects", "tuple"],
)
def test_strings_are_bytes(server: inferlay.Server, texts: Any) -> None:
    assert server.infer("BYTES", {"x": texts})["x"].tolist() == [b"a", b"b", b""]


def test_outputs_go_to_memory_of_the_caller(server: inferlay.Server) -> None:
    value, into = numpy.array([[1, 2]], numpy.float32), numpy.zeros((1, 2), numpy.float32)
    for _ in range(3):
        response = server.infer("rows", {"x": value}, out={"x": into})
        assert into.tolist() == [[1, 2]] and address(response["x"]) == address(into)
        into[:] = 0
    plain = array.array("f", [0, 0])
    server.infer("rows", {"x": value}, out={"x": plain})
    assert plain.tolist() == [1, 2]
    with pytest.raises(inferlay.Unsupported, match="memory that the request brought"):
        response.tensor("x").__dlpack__()
    # What was asked for once is not asked for again.
    assert address(server.infer("rows", {"x": value})["x"]) != address(into)


@pytest.mark.parametrize(
    "into",
    [numpy.zeros((2, 2), numpy.float32)[:, :1], numpy.zeros(1, object), b"12345678", numpy.zeros(1, numpy.uint8)],
    ids=["strided", "objects", "read-only", "too small"],
)
def test_memory_that_no_output_may_be_written_to_is_refused(server: inferlay.Server, into: Any) -> None:
    with pytest.raises(inferlay.InvalidArgument):
        server.infer("rows", {"x": numpy.zeros((1, 2), numpy.float32)}, out={"x": into})
    assert server.infer("rows", {"x": [[3, 4]]})["x"].tolist() == [[3, 4]]


def test_bfloat16_is_its_bits_where_ml_dtypes_is_not_there(server: inferlay.Server) -> None:
    bits = VALUES[DataType.BF16].view(numpy.uint16)
    assert server.infer("BF16", {"x": bits}).tensor("x").tolist() == VALUES[DataType.BF16].tolist()


def test_an_array_without_a_copy_is_a_view_or_refused(server: inferlay.Server) -> None:
    tensor = server.infer("FP32", [1, 2]).tensor("x")
    assert tensor.__array__(copy=False).__array_interface__["data"] == tensor.__array_interface__["data"]
    for refused, dtype in ((tensor, numpy.float64), (server.infer("BYTES", ["a"]).tensor("x"), None)):
        with pytest.raises(ValueError, match="expected a type that needs no copy"):
            refused.__array__(dtype, copy=False)
        assert refused.__array__(dtype).tolist() == refused.tolist()
