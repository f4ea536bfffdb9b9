"""Outputs, where the backend wrote them: views of the memory of a response, which they keep alive.

A :class:`Tensor` needs no numpy. It speaks the buffer protocol (``memoryview()``; from CPython 3.12 on also by itself),
``__array_interface__`` and DLPack. Its memory is read-only: other answers may share it.
"""

from __future__ import annotations

import builtins
import ctypes
import math
import struct
from typing import Any, Dict, List, Optional, Tuple

from . import dlpack
from ._library import functions
from ._numpy import ml_dtypes, numpy
from .dtypes import TO_NUMPY, DataType
from .errors import Unsupported, check


class Memory:
    """A count of a response of the library: whoever refers to its memory refers to this."""

    __slots__ = ("handle", "keep", "__weakref__")

    def __init__(self, handle: int) -> None:
        self.handle = handle
        # Memory that the request brought for outputs.
        self.keep: Any = None

    def __del__(self, free: Any = functions.response_free) -> None:
        free(self.handle)


_blocks: Dict[int, Any] = {}


def block(address: int, size: int, keep: Any) -> Any:
    """An object with a buffer of this memory, which refers to ``keep``."""
    kind: Any = _blocks.get(size)
    if kind is None:
        if len(_blocks) > 1024:
            _blocks.clear()
        # A class of our own has instances that take attributes, and does not stay in the cache of ctypes.
        made_kind: Any = type("block", (ctypes.c_char * size,), {})
        kind = _blocks[size] = made_kind
    made = kind.from_address(address)
    made.keep = keep
    return made


def viewed(kind: DataType) -> str:
    """The format of memory views of a type: that of numbers of the same size where views do not know the type."""
    probe: Any = memoryview(bytes(kind.size))
    try:
        probe.cast(kind.format).tolist()
    except (ValueError, NotImplementedError):
        return "H"
    return kind.format


# Looking a member up takes longer than a name of the module.
BYTES = DataType.BYTES

VIEWED: Dict[DataType, str] = {kind: viewed(kind) for kind in DataType if kind is not DataType.BYTES}


class Tensor:
    """An output of a response.

    ``name`` and ``dtype`` are those of the model, ``shape`` is what was written, ``nbytes`` how many bytes that are.

    >>> tensor = model([1.0, 2.0]).tensor("x")
    >>> tensor.name, tensor.dtype, tensor.shape, tensor.nbytes
    ('x', DataType.FP32, (2,), 8)
    """

    __slots__ = ("name", "dtype", "shape", "nbytes", "_address", "_offsets", "_memory", "__weakref__")

    def __init__(
        self,
        name: str,
        dtype: DataType,
        shape: Tuple[int, ...],
        place: Tuple[int, int, int],
        memory: Any,
    ) -> None:
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self._address, self.nbytes, self._offsets = place
        self._memory = memory

    @property
    def ndim(self) -> int:
        """The number of dims.

        >>> response.tensor("x").ndim
        1
        """
        return len(self.shape)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a tensor without dims has no length")
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<inferlay.Tensor {self.name!r}: {self.dtype} {list(self.shape)}>"

    def __reduce__(self) -> Any:
        raise TypeError("inferlay.Tensor: memory of this process is not pickled; pickle its numpy() or tolist()")

    def memoryview(self) -> "builtins.memoryview":
        """The elements, read-only and not copied, in the shape of the tensor; flat where it has no elements.

        ``BYTES`` are their contents, one after the other; ``BF16``, and ``FP16`` where views do not know it, are their
        16 bits.

        >>> response.tensor("x").memoryview().tolist()
        [1.0, 2.0]
        """
        if self.nbytes == 0:
            return memoryview(b"")
        flat: Any = memoryview(block(self._address, self.nbytes, self._memory)).cast("B").toreadonly()
        shaped: "builtins.memoryview" = (
            flat if self.dtype is DataType.BYTES else flat.cast(VIEWED[self.dtype], self.shape)
        )
        return shaped

    def __buffer__(self, flags: int) -> "builtins.memoryview":
        return self.memoryview()

    def numpy(self) -> Any:
        """The elements as a read-only array of numpy, not copied; of ``BYTES``, a new one of ``bytes``.

        >>> response.tensor("x").numpy()
        array([1., 2.], dtype=float32)
        """
        if numpy is None:
            raise ImportError("inferlay.Tensor.numpy: numpy is not installed; memoryview() and tolist() do without")
        if self.dtype is BYTES:
            made = numpy.empty(math.prod(self.shape), dtype=object)
            made[:] = self.elements()
            return made.reshape(self.shape)
        if self.nbytes == 0:
            return numpy.empty(self.shape, TO_NUMPY[self.dtype])
        held = block(self._address, self.nbytes, self._memory)
        array = numpy.ndarray(self.shape, TO_NUMPY[self.dtype], held)
        array.setflags(False)
        return array

    def elements(self) -> List[bytes]:
        """The elements of ``BYTES``, in order.

        >>> server.infer("texts", ["one", b"two"]).tensor("x").elements()
        [b'one', b'two']
        """
        count = math.prod(self.shape)
        offsets = struct.unpack(f"={count + 1}Q", ctypes.string_at(self._offsets, 8 * (count + 1)))
        whole = ctypes.string_at(self._address, self.nbytes) if self.nbytes else b""
        return [whole[begin:end] for begin, end in zip(offsets, offsets[1:])]

    def tolist(self) -> Any:
        """The elements as nested lists of Python's own types; ``BF16`` as ``float``, ``BYTES`` as ``bytes``.

        >>> response.tensor("x").tolist()
        [1.0, 2.0]
        """
        if self.dtype is DataType.BYTES:
            flat: List[Any] = list(self.elements())
        else:
            raw = ctypes.string_at(self._address, self.nbytes) if self.nbytes else b""
            flat = list(struct.unpack(f"={math.prod(self.shape)}{self.dtype.format}", raw))
        if self.dtype is DataType.BF16:
            flat = [struct.unpack("=f", struct.pack("=I", bits << 16))[0] for bits in flat]
        return nested(flat, self.shape)

    def __array__(self, dtype: Any = None, copy: Optional[bool] = None) -> Any:
        array = self.numpy()
        is_other = dtype is not None and array.dtype != dtype
        if copy is False and (is_other or self.dtype is BYTES):
            raise ValueError(f"output {self.name!r}: found {self.dtype}, expected a type that needs no copy")
        if is_other:
            return array.astype(dtype)
        return array.copy() if copy else array

    @property
    def __array_interface__(self) -> Dict[str, Any]:
        if self.dtype is DataType.BYTES or (self.dtype is DataType.BF16 and ml_dtypes is not None):
            raise AttributeError(f"__array_interface__ has no {self.dtype}")
        letter = {"?": "b", "e": "f", "f": "f", "d": "f"}.get(self.dtype.format)
        if letter is None:
            letter = "u" if self.dtype.format.isupper() else "i"
        return {
            "version": 3,
            "shape": self.shape,
            "typestr": f"{'|' if self.dtype.size == 1 else '<'}{letter}{self.dtype.size}",
            "data": (self._address, True),
        }

    def __dlpack_device__(self) -> Tuple[int, int]:
        return (dlpack.CPU, 0)

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: Optional[Tuple[int, int]] = None,
        dl_device: Optional[Tuple[int, int]] = None,
        copy: Optional[bool] = None,
    ) -> Any:
        """A capsule of DLPack that shares the memory, which must not be written.

        >>> numpy.from_dlpack(response.tensor("x"))
        array([1., 2.], dtype=float32)
        """
        if dl_device is not None and dlpack.pair("dl_device", dl_device) != (dlpack.CPU, 0):
            raise BufferError(f"found device {dl_device}, expected host memory (1, 0)")
        if copy:
            raise BufferError("found copy=True; the tensor is handed on as it is, copy what you made of it")
        if self._memory.keep is not None and self.name in self._memory.keep:
            raise Unsupported(f"output {self.name!r}: it lies in memory that the request brought; use that")
        if not isinstance(self._memory, Memory):
            raise Unsupported(f"input {self.name!r}: it lies in memory of its request; use memoryview() or tolist()")
        is_versioned = max_version is not None and dlpack.pair("max_version", max_version) >= (1, 0)
        tensor = ctypes.c_void_p()
        name = self.name.encode()
        check(functions.response_detach(self._memory.handle, name, ctypes.byref(tensor)))
        try:
            return dlpack.give(tensor.value or 0, is_versioned)
        finally:
            functions.tensor_free(tensor)


def nested(flat: List[Any], shape: Tuple[int, ...]) -> Any:
    """Elements in nested lists of a shape.

    >>> nested([1, 2, 3, 4], (2, 2))
    [[1, 2], [3, 4]]
    """
    if not shape:
        return flat[0]
    if len(shape) == 1:
        return flat
    step = math.prod(shape[1:])
    return [nested(flat[index * step : (index + 1) * step], shape[1:]) for index in range(shape[0])]
