"""DLPack: outputs for other libraries, and memory of other libraries as inputs."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import weakref
from typing import Any, List, Optional, Tuple

import pytest
from conftest import TYPES, Gate

import inferlay
from inferlay import DataType, dlpack, inputs

numpy = pytest.importorskip("numpy")

SHARED = [kind for kind in TYPES if kind not in (DataType.BYTES, DataType.BF16)]


class Producer:
    """An object that shows its memory by DLPack only."""

    def __init__(self, value: Any, device: Tuple[int, int] = (1, 0), versions: bool = True) -> None:
        self.value = value
        self.device = device
        self.versions = versions

    def __dlpack_device__(self) -> Tuple[int, int]:
        return self.device

    def __dlpack__(self, **keywords: Any) -> Any:
        if keywords and not self.versions:
            raise TypeError("written before DLPack had versions")
        return self.value.__dlpack__(**keywords)


@pytest.mark.parametrize("kind", SHARED)
def test_outputs_are_shared_with_others(server: inferlay.Server, kind: DataType) -> None:
    value = numpy.array([0, 1, 1], inferlay.dtypes.TO_NUMPY[kind])
    tensor = server.infer(kind.name, {"x": value}).tensor("x")
    assert tensor.__dlpack_device__() == (1, 0)
    shared = numpy.from_dlpack(tensor)
    assert shared.dtype == value.dtype and shared.tolist() == value.tolist()
    assert shared.__array_interface__["data"][0] == numpy.asarray(tensor).__array_interface__["data"][0]


def test_what_was_shared_outlives_the_response(server: inferlay.Server) -> None:
    shared = numpy.from_dlpack(server.infer("FP32", {"x": [1, 2, 3]}).tensor("x"))
    gc.collect()
    server.close()
    assert shared.tolist() == [1, 2, 3]


def test_a_capsule_that_nobody_consumes_is_freed_in_time(server: inferlay.Server) -> None:
    tensor = server.infer("FP32", {"x": [1, 2, 3]}).tensor("x")
    dlpack.sweep()
    before = len(dlpack._given)
    held = tensor.__dlpack__()
    for version in (None, (1, 0), (0, 8), (2, 0)):
        tensor.__dlpack__(max_version=version)
    dlpack.sweep()
    assert len(dlpack._given) == before + 1
    del held
    dlpack.sweep()
    assert len(dlpack._given) == before


@pytest.mark.parametrize("keywords", [{"copy": True}, {"dl_device": (2, 0)}], ids=["a copy", "another device"])
def test_what_dlpack_cannot_do_is_a_buffer_error(server: inferlay.Server, keywords: Any) -> None:
    with pytest.raises(BufferError):
        server.infer("FP32", {"x": [1, 2, 3]}).tensor("x").__dlpack__(**keywords)


def test_strings_are_not_shared(server: inferlay.Server) -> None:
    with pytest.raises(inferlay.Unsupported, match="BYTES"):
        server.infer("BYTES", {"x": ["a"]}).tensor("x").__dlpack__()


@pytest.mark.parametrize("kind", SHARED)
@pytest.mark.parametrize("versions", [True, False], ids=["versions", "none"])
def test_memory_of_others_is_an_input(server: inferlay.Server, kind: DataType, versions: bool) -> None:
    value = numpy.array([0, 1, 1], inferlay.dtypes.TO_NUMPY[kind])
    assert server.infer(kind.name, {"x": Producer(value, versions=versions)})["x"].tolist() == value.tolist()


@pytest.mark.parametrize(
    "value",
    [
        numpy.arange(6, dtype=numpy.float32).reshape(2, 3).T,
        numpy.arange(12, dtype=numpy.float32).reshape(3, 4)[::-1, ::2],
        numpy.lib.stride_tricks.as_strided(numpy.array([1, 2], numpy.float32), (3, 2), (0, 4)),
        numpy.zeros((0, 3), numpy.float32),
    ],
    ids=["transposed", "strided", "repeated", "empty"],
)
def test_strided_memory_of_others_is_copied(server: inferlay.Server, value: Any) -> None:
    assert server.infer("grid", {"x": Producer(value)})["x"].tolist() == value.tolist()


@pytest.mark.parametrize("kind", SHARED)
def test_strided_memory_is_the_same_by_numpy_and_without(kind: DataType) -> None:
    value = numpy.arange(24).reshape(2, 3, 4).astype(inferlay.dtypes.TO_NUMPY[kind])[::-1, ::-2, 1::2]
    looked = dlpack.Looked(Producer(value))
    assert inputs.gathered(looked) == b"".join(inputs.runs(looked)) == value.tobytes()


def test_memory_of_others_is_kept_no_longer_than_it_is_needed(server: inferlay.Server) -> None:
    value = numpy.array([1, 2, 3], numpy.float32)
    gone = weakref.ref(value)
    server.infer("FP32", {"x": Producer(value)})
    del value
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(("device", "name"), [(2, "CUDA"), (10, "ROCm"), (99, "device type 99")])
def test_memory_of_devices_is_refused_by_name(server: inferlay.Server, device: int, name: str) -> None:
    value = Producer(numpy.zeros(3, numpy.float32), device=(device, 0))
    with pytest.raises(inferlay.Unsupported, match=f"input 'x': found memory of {name}, expected host memory"):
        server.infer("FP32", {"x": value})


class Broken(Producer):
    """One whose capsule is none."""

    def __init__(self, capsule: Any) -> None:
        super().__init__(None)
        self.capsule = capsule

    def __dlpack__(self, **_: Any) -> Any:
        return self.capsule


@pytest.mark.parametrize("capsule", [None, 3, ctypes.c_void_p()], ids=repr)
def test_what_is_no_capsule_is_refused(server: inferlay.Server, capsule: Optional[object]) -> None:
    with pytest.raises(inferlay.InvalidArgument, match="expected a capsule"):
        server.infer("FP32", {"x": Broken(capsule)})


def test_complex_numbers_of_others_are_refused(server: inferlay.Server) -> None:
    with pytest.raises(inferlay.InvalidArgument, match="type code 5"):
        server.infer("FP32", {"x": Producer(numpy.zeros(3, numpy.complex64))})


def test_threads_that_drop_capsules_do_not_meet(server: inferlay.Server) -> None:
    tensor = server.infer("FP32", {"x": [1, 2, 3]}).tensor("x")
    failed: List[BaseException] = []

    def drop() -> None:
        try:
            for _ in range(1000):
                tensor.__dlpack__()
        except BaseException as error:
            failed.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=drop) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not failed
    dlpack.sweep()
    assert not dlpack._given


def test_a_capsule_that_another_consumes_meanwhile_leaves_its_memory(gate: Gate) -> None:
    value = numpy.array([1, 2], numpy.float32)
    shared = Broken(value.__dlpack__())
    shared.value = value
    gone = weakref.ref(value)
    del value
    future = gate.model.submit(shared)
    assert gate.begun.wait(60)
    # numpy takes the capsule and with it what its exporter kept alive by it.
    numpy.from_dlpack(shared)
    del shared
    gc.collect()
    assert gone() is not None
    gate.opened.set()
    assert future.result()["x"].tolist() == [1, 2]
