"""Inputs: memory of the caller, lent to the engine until it has let go of it.

What lies dense in memory is not copied: arrays of numpy, what speaks the buffer protocol, ``__array_interface__`` or
DLPack, and tensors of another response. What does not, is copied once. Numbers and strings in lists are put into memory
of the type that the model takes.
"""

from __future__ import annotations

import array
import ctypes
import itertools
import math
import struct
import sys
from typing import Any, Callable, Iterable, Iterator, List, Optional, Tuple

from . import dlpack
from ._numpy import numpy
from .dtypes import BY_FORMAT, FROM_NUMPY, TO_NUMPY, DataType
from .errors import InvalidArgument, line_of
from .tensors import Tensor, block

# Type, address, bytes, shape, address of offsets, number of offsets, what keeps the memory.
Lent = Tuple[int, int, int, Tuple[int, ...], int, int, Any]

# C-contiguous and aligned, as numbers of numpy's flags.
DENSE = 0x101

RANK_MAX = 64

Array: Any = getattr(numpy, "ndarray", ())

_pointer: Any = ctypes.c_void_p.from_address
# Where an array keeps the address of its elements: behind the header that all objects have.
_DATA = object.__basicsize__


def _told_address(value: Any) -> int:
    """Where the elements of an array begin, as its interface says, which is a dictionary made for the purpose."""
    address: int = value.__array_interface__["data"][0]
    return address


def _read_address(value: Any) -> int:
    """The same, in a tenth of the time."""
    return _pointer(id(value) + _DATA).value or 0


def _reads_right() -> bool:
    """Whether arrays of this numpy, on this interpreter, are laid out as numpy's C interface says."""
    if numpy is None or sys.implementation.name != "cpython":
        return False
    probes = [numpy.zeros(3), numpy.zeros((2, 5), "int8")[1:, 2:]]
    return all(_read_address(probe) == _told_address(probe) for probe in probes)


address_of_array: Callable[[Any], int] = _read_address if _reads_right() else _told_address


def lend(value: Any, kind: Optional[DataType]) -> Lent:
    """The memory of a value, as an input of a type; ``None`` for one that is not known."""
    if numpy is not None and isinstance(value, Array):
        return lend_array(value, kind)
    if isinstance(value, Tensor):
        return lend_tensor(value)
    if isinstance(value, (list, tuple, str, int, float)):
        return lend_list(value, kind)
    if hasattr(value, "__dlpack_device__"):
        return lend_dlpack(value)
    if kind is DataType.BYTES and isinstance(value, (bytes, bytearray)):
        return lend_strings([bytes(value)], ())
    return lend_other(value, kind)


def lend_array(value: Any, kind: Optional[DataType]) -> Lent:
    """An array of numpy."""
    if type(value) is not Array:
        refuse_mask(value)
    found = FROM_NUMPY.get(value.dtype)
    if found is None:
        return lend_odd_array(value, kind)
    if value.flags.num & DENSE != DENSE:
        value = value.copy(order="C")
    if kind is DataType.BF16 and found is DataType.UINT16:
        found = DataType.BF16
    return found, address_of_array(value), value.nbytes, value.shape, 0, 0, value


def refuse_mask(value: Any) -> None:
    """Refuses a masked array that hides elements: the engine would compute with what lies behind the mask."""
    if numpy is not None and numpy.ma.is_masked(value):
        hidden = f"{numpy.ma.count_masked(value)} of {value.size} elements masked"
        raise InvalidArgument(f"found an array with {hidden}, expected none; `filled` gives them a value")


def lend_odd_array(value: Any, kind: Optional[DataType]) -> Lent:
    """An array of a type that the engine does not have as it is: of objects, of strings, of swapped bytes."""
    letter = value.dtype.kind
    if letter in "OSUT":
        flat = value.ravel().tolist()
        if kind not in (None, DataType.BYTES) and not all(isinstance(item, (str, bytes)) for item in flat):
            raise InvalidArgument(f"found an array of {value.dtype}, expected {kind}")
        return lend_strings(flat, value.shape)
    native = value.dtype.newbyteorder("=")
    if native in FROM_NUMPY and native != value.dtype:
        return lend_array(value.astype(native, order="C"), kind)
    raise InvalidArgument(f"found an array of {value.dtype}, expected a type that the engine has")


def lend_tensor(value: Tensor) -> Lent:
    """An output of another response."""
    offsets = math.prod(value.shape) + 1 if value.dtype is DataType.BYTES else 0
    return value.dtype, value._address, value.nbytes, value.shape, value._offsets, offsets, value


def lend_dlpack(value: Any) -> Lent:
    """What another library keeps."""
    looked = dlpack.Looked(value)
    count = math.prod(looked.shape)
    if looked.is_dense():
        return looked.kind, looked.address, count * looked.kind.size, looked.shape, 0, 0, (looked.capsule, value)
    copied = array.array("B", gathered(looked) if numpy is not None else b"".join(runs(looked)))
    return looked.kind, copied.buffer_info()[0], len(copied), looked.shape, 0, 0, copied


def gathered(looked: dlpack.Looked) -> bytes:
    """The elements of strided memory, in order, by numpy."""
    size = looked.kind.size
    ends = [(dim - 1) * stride * size for dim, stride in zip(looked.shape, looked.strides)]
    # Strides may go backwards: the first element is not always the lowest.
    low, high = sum(min(end, 0) for end in ends), sum(max(end, 0) for end in ends) + size
    try:
        held = block(looked.address + low, high - low, looked)
        strides = [stride * size for stride in looked.strides]
        made: bytes = numpy.ndarray(looked.shape, f"V{size}", held, -low, strides).tobytes()
    except (ValueError, OverflowError) as error:
        raise InvalidArgument(f"found shape {list(looked.shape)}, expected one of at most 2^63 bytes") from error
    return made


def runs(looked: dlpack.Looked) -> Iterator[bytes]:
    """The elements of strided memory, in order."""
    size = looked.kind.size
    steps = [range(dim) for dim in looked.shape]
    for index in itertools.product(*steps):
        offset = sum(number * stride for number, stride in zip(index, looked.strides))
        yield ctypes.string_at(looked.address + offset * size, size)


def lend_other(value: Any, kind: Optional[DataType]) -> Lent:
    """What speaks the buffer protocol, or what numpy understands."""
    try:
        view = memoryview(value)
    except TypeError:
        if numpy is None or not (hasattr(value, "__array_interface__") or hasattr(value, "__array__")):
            name = type(value).__name__
            raise InvalidArgument(f"found {name}, expected an array, a buffer, a tensor or a list") from None
        return lend_array(read_by_numpy(value), kind)
    except (ValueError, BufferError) as error:
        raise InvalidArgument(f"found {type(value).__name__} that lends no memory: {line_of(error)}") from error
    found = BY_FORMAT.get(view.format.lstrip("@=<"))
    if found is None or found.size != view.itemsize:
        raise InvalidArgument(f"found a buffer of format {view.format!r}, expected a type that the engine has")
    if kind is DataType.BF16 and found is DataType.UINT16:
        found = DataType.BF16
    held = Held(view if view.c_contiguous else memoryview(view.tobytes()))
    shape = tuple(view.shape) if view.shape is not None else ()
    return found, held.address, view.nbytes, shape, 0, 0, held


def read_by_numpy(value: Any) -> Any:
    """An object that gives an array, and may refuse to in any way, such as what jax traces."""
    try:
        return numpy.asarray(value)
    except Exception as error:
        raise InvalidArgument(f"found {type(value).__name__} that numpy cannot read: {line_of(error)}") from error


class Buffer(ctypes.Structure):
    """``Py_buffer``"""

    _fields_ = [
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    ]


_python = ctypes.PyDLL(None)
_acquire = _python.PyObject_GetBuffer
_acquire.restype, _acquire.argtypes = ctypes.c_int, [ctypes.py_object, ctypes.c_void_p, ctypes.c_int]
_release = _python.PyBuffer_Release
_release.restype, _release.argtypes = None, [ctypes.c_void_p]


class Held:
    """A buffer that is held: its memory stays where it is."""

    __slots__ = ("_buffer", "address")

    def __init__(self, view: memoryview, flags: int = 0) -> None:
        self._buffer = Buffer()
        # It raises by itself what is wrong.
        _acquire(view, ctypes.byref(self._buffer), flags)
        self.address: int = self._buffer.buf or 0

    def __del__(self, release: Callable[..., Any] = _release, reference: Callable[..., Any] = ctypes.byref) -> None:
        release(reference(self._buffer))


def lend_list(value: Any, kind: Optional[DataType]) -> Lent:
    """Nested lists, or one number or text."""
    if kind is None:
        raise InvalidArgument("found a list for an input that the model does not have")
    if kind is DataType.BYTES:
        if numpy is not None and isinstance(value, (list, tuple)) and any(isinstance(item, Array) for item in value):
            value = [item.tolist() if isinstance(item, Array) else item for item in value]
        shape = shape_of(value)
        return lend_strings(list(flatten(value, shape)), shape)
    if numpy is not None:
        return lend_numbers(value, kind)
    shape = shape_of(value)
    packed = array.array("B", pack(list(flatten(value, shape)), kind))
    return kind, packed.buffer_info()[0], len(packed), shape, 0, 0, packed


def lend_numbers(value: Any, kind: DataType) -> Lent:
    """Nested lists of numbers, by numpy."""
    for item in value if isinstance(value, (list, tuple)) else ():
        if isinstance(item, Array):
            refuse_mask(item)
    try:
        found = numpy.asarray(value)
        if found.dtype.kind not in "biufOV" or (found.dtype.kind in "fO" and not may_be(kind, value)):
            raise ValueError(f"found elements of {found.dtype}")
        if found.dtype.kind in "iu" and TO_NUMPY[kind].kind in "iu" and found.size:
            # Before version 2, numpy would let it wrap around.
            least, most = int(found.min()), int(found.max())
            bounds = numpy.iinfo(TO_NUMPY[kind])
            if least < bounds.min or most > bounds.max:
                raise ValueError(f"found {least} to {most}")
        if kind is DataType.BF16 and TO_NUMPY[kind].kind == "u":
            packed = pack(found.ravel().tolist(), kind)
            return lend_array(numpy.frombuffer(packed, TO_NUMPY[kind]).reshape(found.shape), kind)
        return lend_array(numpy.asarray(value, dtype=TO_NUMPY[kind]), kind)
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        # The last is what a tensor of torch raises that requires a gradient.
        raise InvalidArgument(f"expected a list of {kind}: {line_of(error)}") from error


def may_be(kind: DataType, value: Any) -> bool:
    """Whether the elements of lists, some of them fractions or large, are numbers of a type."""
    if kind in (DataType.FP16, DataType.FP32, DataType.FP64, DataType.BF16):
        return True
    return all(isinstance(item, int) for item in numpy.asarray(value, dtype=object).ravel())


def pack(flat: List[Any], kind: DataType) -> bytes:
    """Numbers as elements of a type."""
    try:
        if kind is DataType.BF16:
            return b"".join(map(bfloat16, flat))
        return struct.pack(f"={len(flat)}{kind.format}", *flat)
    except (struct.error, TypeError, OverflowError) as error:
        raise InvalidArgument(f"expected a list of {kind}: {error}") from error


def bfloat16(number: float) -> bytes:
    """A number rounded to the upper half of a float.

    >>> bfloat16(1.0).hex()
    '803f'
    """
    bits: int = struct.unpack("=I", struct.pack("=f", number))[0]
    if number == number:
        bits += 0x7FFF + ((bits >> 16) & 1)
    return struct.pack("=H", (bits >> 16) & 0xFFFF)


def shape_of(value: Any) -> Tuple[int, ...]:
    """The shape of nested lists, by their first elements.

    >>> shape_of([[1, 2, 3], [4, 5, 6]])
    (2, 3)
    """
    shape: List[int] = []
    while isinstance(value, (list, tuple)):
        shape.append(len(value))
        if len(shape) > RANK_MAX:
            # Perhaps a list that contains itself.
            raise InvalidArgument(f"found lists in more than {RANK_MAX} lists, expected a shape")
        if not value:
            break
        value = value[0]
    return tuple(shape)


def flatten(value: Any, shape: Tuple[int, ...]) -> Iterator[Any]:
    """The elements of nested lists, which must have this shape."""
    if not shape:
        if isinstance(value, (list, tuple)):
            raise InvalidArgument("found lists of different lengths, expected one shape")
        yield value
        return
    if not isinstance(value, (list, tuple)) or len(value) != shape[0]:
        raise InvalidArgument("found lists of different lengths, expected one shape")
    for item in value:
        yield from flatten(item, shape[1:])


def lend_strings(flat: Iterable[Any], shape: Tuple[int, ...]) -> Lent:
    """Texts, as UTF-8, and bytes."""
    contents = [encoded(item) for item in flat]
    data = array.array("B", b"".join(contents))
    offsets = array.array("Q", itertools.accumulate(map(len, contents), initial=0))
    at, count = offsets.buffer_info()
    return DataType.BYTES, data.buffer_info()[0], len(data), tuple(shape), at, count, (data, offsets)


def encoded(item: Any) -> bytes:
    """An element of BYTES."""
    if isinstance(item, str):
        try:
            return item.encode()
        except UnicodeEncodeError as error:
            raise InvalidArgument(f"found {item!r}, expected a text that UTF-8 can hold") from error
    if isinstance(item, (bytes, bytearray)):
        return bytes(item)
    raise InvalidArgument(f"found {type(item).__name__}, expected str or bytes as an element of BYTES")
