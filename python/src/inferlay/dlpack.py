"""DLPack in both directions, without a callback of Python.

Into the engine: the capsule of another library is looked into and kept, never consumed, until the engine has let its
memory go; the capsule's own destructor then gives it back. Out of the engine: the struct and its deleter are the
library's. A capsule that nobody consumes has no destructor here, since that would be code of Python, which must not run
when the interpreter is gone: :func:`sweep` finds those that nobody else holds, and frees them.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from typing import Any, List, Optional, Tuple

from ._library import functions
from .dtypes import BY_DLPACK, DataType
from .errors import InvalidArgument, Unsupported, check, line_of

PLAIN = b"dltensor"
VERSIONED = b"dltensor_versioned"

CPU = 1
# Memory that the host reads like its own: CPU, page-locked of CUDA and of ROCm.
READABLE = (CPU, 3, 11)
DEVICES = {2: "CUDA", 4: "OpenCL", 7: "Vulkan", 8: "Metal", 10: "ROCm", 13: "CUDA managed", 14: "oneAPI", 15: "WebGPU"}


class Described(ctypes.Structure):
    """``DLTensor``"""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("byte_offset", ctypes.c_uint64),
    ]


Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Plain(ctypes.Structure):
    """``DLManagedTensor``"""

    _fields_ = [("tensor", Described), ("manager", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


class Versioned(ctypes.Structure):
    """``DLManagedTensorVersioned``"""

    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("manager", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", Described),
    ]


# Objects of our own: what others set for the functions of `ctypes.pythonapi` does not reach these.
_python = ctypes.PyDLL(None)
_new = _python.PyCapsule_New
_new.restype, _new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
_is_valid = _python.PyCapsule_IsValid
_is_valid.restype, _is_valid.argtypes = ctypes.c_int, [ctypes.py_object, ctypes.c_char_p]
_pointer = _python.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
_rename = _python.PyCapsule_SetName
_rename.restype, _rename.argtypes = ctypes.c_int, [ctypes.py_object, ctypes.c_char_p]


class Looked:
    """What a capsule of another library shows."""

    __slots__ = ("kind", "address", "shape", "strides", "capsule")

    def __init__(self, value: Any) -> None:
        try:
            device, _ = value.__dlpack_device__()
            if int(device) not in READABLE:
                name = DEVICES.get(int(device), f"device type {int(device)}")
                raise Unsupported(f"found memory of {name}, expected host memory; copy it to the host first")
            self.capsule = _capsule_of(value)
        except Unsupported:
            raise
        except Exception as error:
            # Such as that of a tensor which requires a gradient, is sparse or was deleted: each library has its own.
            found = type(value).__name__
            raise InvalidArgument(f"found {found} that does not share its memory: {line_of(error)}") from error
        described = _described(self.capsule)
        kind = BY_DLPACK.get((described.code, described.bits))
        if kind is None or described.lanes != 1:
            found = f"type code {described.code} of {described.bits} bits and {described.lanes} lanes"
            raise InvalidArgument(f"found {found} of DLPack, expected a type that the engine has")
        self.kind: DataType = kind
        rank: int = described.ndim
        self.shape: Tuple[int, ...] = _numbers(described.shape, rank)
        self.strides: Tuple[int, ...] = (
            _numbers(described.strides, rank) if described.strides else dense_strides(self.shape)
        )
        self.address: int = (described.data or 0) + described.byte_offset

    def is_dense(self) -> bool:
        """Whether the elements lie one after the other and are aligned."""
        if self.address % max(1, self.kind.size) != 0:
            return False
        dense = dense_strides(self.shape)
        return 0 in self.shape or all(
            size == 1 or found == expected for size, found, expected in zip(self.shape, self.strides, dense)
        )


def dense_strides(shape: Tuple[int, ...]) -> Tuple[int, ...]:
    """The strides, in elements, of dense memory.

    >>> dense_strides((2, 3, 4))
    (12, 4, 1)
    """
    strides: List[int] = []
    step = 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


def _capsule_of(value: Any) -> Any:
    # A view of torch whose elements are negated when they are read shares its memory as it is, with the other sign.
    resolve = getattr(value, "resolve_neg", None)
    if callable(resolve):
        value = resolve()
    try:
        return value.__dlpack__(max_version=(1, 0))
    except TypeError:
        # It was written before DLPack had versions.
        return value.__dlpack__()


def _described(capsule: Any) -> Described:
    if _is_valid(capsule, VERSIONED):
        versioned = Versioned.from_address(_pointer(capsule, VERSIONED))
        if versioned.major != 1:
            raise Unsupported(f"found version {versioned.major} of DLPack, expected 1")
        return versioned.tensor  # type: ignore[no-any-return]
    if _is_valid(capsule, PLAIN):
        return Plain.from_address(_pointer(capsule, PLAIN)).tensor  # type: ignore[no-any-return]
    raise InvalidArgument(f"found {type(capsule).__name__} from __dlpack__, expected a capsule that is not used")


def _numbers(address: Optional[int], count: int) -> Tuple[int, ...]:
    return tuple((ctypes.c_int64 * count).from_address(address)) if count and address else ()


# Capsules that were given out and perhaps not consumed.
_given: List[Any] = []


def holders(things: List[Any], index: int) -> int:
    """How often an element of a list is referred to, as far as that tells: versions of CPython count differently."""
    return sys.getrefcount(things[index])


# The number for what nothing but its list refers to.
ALONE = holders([object()], 0)


_sweeping = threading.Lock()


def sweep() -> None:
    """Frees what capsules hold that nobody consumed and nobody can any more. One thread does it for all."""
    if _sweeping.acquire(blocking=False):
        try:
            _sweep()
        finally:
            _sweeping.release()


def _sweep() -> None:
    # From the end: others only append meanwhile.
    for index in range(len(_given) - 1, -1, -1):
        name = VERSIONED if _is_valid(_given[index], VERSIONED) else PLAIN
        if not _is_valid(_given[index], name):
            del _given[index]
        elif holders(_given, index) == ALONE:
            _free(_given[index], name)
            del _given[index]


def _free(capsule: Any, name: bytes) -> None:
    kind = Versioned if name == VERSIONED else Plain
    address = _pointer(capsule, name)
    deleter = kind.from_address(address).deleter
    _rename(capsule, b"used_dltensor")
    Deleter(deleter)(address)


def pair(what: str, value: Any) -> Tuple[int, int]:
    """Two numbers, such as a device or a version; what is wrong is the error that DLPack has for all there is.

    >>> pair("dl_device", (1, 0))
    (1, 0)
    """
    try:
        first, second = value
        return int(first), int(second)
    except (TypeError, ValueError):
        raise BufferError(f"{what}: found {value!r}, expected two numbers") from None


def give(tensor: int, is_versioned: bool) -> Any:
    """A capsule for a tensor of the library, which the caller keeps."""
    sweep()
    managed = ctypes.c_void_p()
    check(functions.tensor_to_dlpack(tensor, int(is_versioned), ctypes.byref(managed)))
    capsule = _new(managed, VERSIONED if is_versioned else PLAIN, None)
    _given.append(capsule)
    return capsule


__all__ = ["CPU", "Looked", "dense_strides", "give", "sweep"]
