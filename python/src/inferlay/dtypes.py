"""The types of elements, as the engine, numpy, the buffer protocol and DLPack call them."""

from __future__ import annotations

import enum
from typing import Any, Dict, NamedTuple, Optional, Tuple

from . import _ffi
from ._numpy import ml_dtypes, numpy


class DataType(enum.IntEnum):
    """The type of a tensor's elements, with the names of KServe v2 and the numbers of the C interface.

    >>> DataType.FP32.size
    4
    >>> DataType["INT64"].format
    'q'
    """

    BOOL = _ffi.TYPE_BOOL
    UINT8 = _ffi.TYPE_UINT8
    UINT16 = _ffi.TYPE_UINT16
    UINT32 = _ffi.TYPE_UINT32
    UINT64 = _ffi.TYPE_UINT64
    INT8 = _ffi.TYPE_INT8
    INT16 = _ffi.TYPE_INT16
    INT32 = _ffi.TYPE_INT32
    INT64 = _ffi.TYPE_INT64
    FP16 = _ffi.TYPE_FP16
    FP32 = _ffi.TYPE_FP32
    FP64 = _ffi.TYPE_FP64
    BYTES = _ffi.TYPE_BYTES
    BF16 = _ffi.TYPE_BF16

    @property
    def size(self) -> int:
        """Bytes of an element; 0 for ``BYTES``, whose elements are of any length.

        >>> inferlay.DataType.FP64.size, inferlay.DataType.BYTES.size
        (8, 0)
        """
        return TRAITS[self].size

    @property
    def format(self) -> str:
        """What the buffer protocol calls it; ``BF16``, which it does not know, is the 16 bits that it is made of.

        >>> inferlay.DataType.FP32.format
        'f'
        """
        return TRAITS[self].format

    def __repr__(self) -> str:
        return f"DataType.{self.name}"

    def __str__(self) -> str:
        return self.name


class Traits(NamedTuple):
    """What others call a type."""

    size: int
    format: str
    dlpack: Optional[Tuple[int, int]]


TRAITS: Dict[DataType, Traits] = {
    DataType.BOOL: Traits(1, "?", (6, 8)),
    DataType.UINT8: Traits(1, "B", (1, 8)),
    DataType.UINT16: Traits(2, "H", (1, 16)),
    DataType.UINT32: Traits(4, "I", (1, 32)),
    DataType.UINT64: Traits(8, "Q", (1, 64)),
    DataType.INT8: Traits(1, "b", (0, 8)),
    DataType.INT16: Traits(2, "h", (0, 16)),
    DataType.INT32: Traits(4, "i", (0, 32)),
    DataType.INT64: Traits(8, "q", (0, 64)),
    DataType.FP16: Traits(2, "e", (2, 16)),
    DataType.FP32: Traits(4, "f", (2, 32)),
    DataType.FP64: Traits(8, "d", (2, 64)),
    DataType.BYTES: Traits(0, "", None),
    DataType.BF16: Traits(2, "H", (4, 16)),
}

BY_NUMBER: Dict[int, DataType] = {int(kind): kind for kind in DataType}
BY_DLPACK: Dict[Tuple[int, int], DataType] = {
    traits.dlpack: kind for kind, traits in TRAITS.items() if traits.dlpack is not None
}
# The buffer protocol has several letters for one type, and they differ between machines.
BY_FORMAT: Dict[str, DataType] = {
    traits.format: kind for kind, traits in TRAITS.items() if traits.format and kind is not DataType.BF16
}
BY_FORMAT.update({"l": DataType.INT64, "L": DataType.UINT64, "n": DataType.INT64, "N": DataType.UINT64})
BY_FORMAT["c"] = DataType.UINT8


def _numpy_types() -> Dict[DataType, Any]:
    if numpy is None:
        return {}
    names = {
        DataType.BOOL: "bool",
        DataType.FP16: "float16",
        DataType.FP32: "float32",
        DataType.FP64: "float64",
        DataType.BYTES: "object",
        DataType.BF16: "uint16",
    }
    types = {kind: numpy.dtype(names.get(kind, kind.name.lower())) for kind in DataType}
    if ml_dtypes is not None:
        types[DataType.BF16] = numpy.dtype(ml_dtypes.bfloat16)
    return types


TO_NUMPY: Dict[DataType, Any] = _numpy_types()
FROM_NUMPY: Dict[Any, DataType] = {
    dtype: kind
    for kind, dtype in TO_NUMPY.items()
    if kind is not DataType.BYTES and (kind is not DataType.BF16 or ml_dtypes is not None)
}
