"""Requests that are used again: to send one is to write where its inputs lie and to call the library once.

A :class:`Variant` is what requests to a model have in common that name the same inputs and outputs, in the same order.
It keeps those that are idle. A :class:`Call` is one request with the structs that describe its inputs, which the
library reads anew at each sending.
"""

from __future__ import annotations

import ctypes
import struct
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from . import _ffi
from ._library import functions
from ._numpy import numpy
from .checks import encode, mapping
from .dtypes import FROM_NUMPY, TO_NUMPY, DataType
from .engine import Engine, nanoseconds
from .errors import Error, InvalidArgument, check
from .inputs import DENSE, RANK_MAX, Array, Held, Lent, address_of_array, lend, refuse_mask
from .response import VIEW

# What follows the size of a view's struct.
TAIL = struct.Struct("=IIIIQQQQQQQ")
SLOT = VIEW.size + 8 * RANK_MAX
WORDS = SLOT // 8
# Where a view says where its data lies, in words.
DATA = _ffi.View.data.offset // 8
SHAPES = [struct.Struct(f"={rank}q") for rank in range(RANK_MAX + 1)]
IDLE_MAX = 4096
NOTHING: List[Any] = []


class Variant:
    """What several requests have in common, and those of them that are idle."""

    __slots__ = ("engine", "model", "version", "label", "names", "kinds", "outputs", "idle")

    def __init__(
        self,
        engine: Engine,
        model: Tuple[bytes, int, Optional[bytes]],
        names: Sequence[str],
        kinds: Mapping[str, DataType],
        outputs: Sequence[str],
    ) -> None:
        self.engine = engine
        self.model, self.version, self.label = model
        self.names = [encode("input", name) for name in names]
        self.kinds = [(name, kinds.get(name)) for name in names]
        self.outputs = [encode("output", name) for name in outputs]
        self.idle: List[Call] = []

    def take(self) -> Call:
        """A request that is not in use."""
        try:
            call = self.idle.pop()
        except IndexError:
            return Call(self)
        call.variant = self
        return call


class Call:
    """A request, and where its inputs lie."""

    __slots__ = (
        "variant",
        "request",
        "slots",
        "keep",
        "arrays",
        "shapes",
        "timeout_ns",
        "out",
        "is_special",
        "place",
        "place_at",
    )

    def __init__(self, variant: Variant) -> None:
        # Not while it is idle: it would keep what keeps it.
        self.variant: Any = variant
        self.request = 0
        self.timeout_ns = 0
        self.is_special = False
        self.out: Optional[Dict[str, Any]] = None
        self.keep: List[Any] = []
        # Type and shape of each input of the request before, by numpy and by number.
        self.arrays: List[Any] = [(None, None)] * len(variant.names)
        self.shapes: List[Any] = [None] * len(variant.names)
        self.place = ctypes.c_void_p()
        self.place_at = ctypes.addressof(self.place)
        if variant.label is None:
            check(functions.request_new(variant.engine.handle, variant.model, variant.version, self.place_at))
        else:
            check(functions.request_new_labelled(variant.engine.handle, variant.model, variant.label, self.place_at))
        self.request = self.place.value or 0
        self.slots = (ctypes.c_uint64 * max(1, len(variant.names) * WORDS))()
        start = ctypes.addressof(self.slots)
        for index, name in enumerate(variant.names):
            self.slots[index * WORDS] = VIEW.size
            check(functions.request_bind_input(self.request, name, start + index * SLOT))
        for name in variant.outputs:
            check(functions.request_add_output(self.request, name, None))

    def fill(self, values: List[Any]) -> None:
        """Describes the inputs; their memory is kept until the request is given back. The list is taken."""
        self.keep = values
        at = DATA
        for index, (dtype, shape) in enumerate(self.arrays):
            value = values[index]
            # Most requests to a model differ in the place of their inputs only.
            if (
                type(value) is Array
                and value.dtype is dtype
                and value.shape == shape
                and value.flags.num & DENSE == DENSE
            ):
                self.slots[at] = address_of_array(value)
            else:
                self._lend(index, value)
            at += WORDS

    def _lend(self, index: int, value: Any) -> None:
        """Describes an input of any kind."""
        name, kind = self.variant.kinds[index]
        self.arrays[index] = (None, None)
        try:
            lent = lend(value, kind)
            self._describe(index, ctypes.addressof(self.slots), lent)
        except Error as error:
            raise type(error)(f"input {name!r}: {error.message}") from error
        if type(value) is Array and lent[-1] is value:
            self.arrays[index] = (value.dtype, value.shape)

    def _describe(self, index: int, start: int, lent: Lent) -> None:
        number, address, size, shape, offsets, offsets_len, keep = lent
        self.keep[index] = keep
        if self.shapes[index] == (number, shape) and number != DataType.BYTES:
            # All but the place is as it was for the request before.
            self.slots[index * WORDS + DATA] = address
            return
        rank, at = len(shape), index * SLOT
        if rank > RANK_MAX:
            raise InvalidArgument(f"found {rank} dims, expected {RANK_MAX} at most")
        # What fails may have written half of it.
        self.shapes[index] = None
        try:
            place = (start + at + VIEW.size, address, size, offsets, offsets_len)
            TAIL.pack_into(self.slots, at + 8, number, 0, 0, 0, 0, rank, *place)
            SHAPES[rank].pack_into(self.slots, at + VIEW.size, *shape)
        except struct.error as error:
            raise InvalidArgument(f"found shape {list(shape)}, expected one of at most 2^63 bytes") from error
        self.shapes[index] = (number, shape)

    def set_timeout(self, seconds: Optional[float]) -> None:
        """A deadline so long after the sending."""
        try:
            timeout_ns = 0 if seconds is None else max(1, nanoseconds(seconds))
        except InvalidArgument as error:
            raise InvalidArgument(f"timeout: {error.message}") from error
        if timeout_ns != self.timeout_ns:
            check(functions.request_set_timeout(self.request, timeout_ns))
            self.timeout_ns = timeout_ns

    def set_out(self, out: Mapping[str, Any], kinds: Mapping[str, DataType]) -> None:
        """Memory of the caller for outputs of these types."""
        mapping("out", out, "outputs to memory")
        self.is_special = True
        # What holds the memory, not only what owns it: the answer has views of it when the request is gone.
        self.out = {}
        for name, value in out.items():
            address, size, keep = writable(name, value, kinds.get(name))
            check(functions.request_set_output(self.request, encode("out", name), address, size, None))
            self.out[name] = keep

    def give_back(self, is_spent: bool) -> None:
        """Lets the inputs go. The request is used again unless it was cancelled or is of a special kind."""
        idle, self.variant = self.variant.idle, None
        if is_spent or self.is_special or len(idle) >= IDLE_MAX:
            return
        self.keep = NOTHING
        idle.append(self)

    def __del__(self, free: Any = functions.request_free) -> None:
        if self.request:
            free(self.request)


def writable(name: str, value: Any, kind: Optional[DataType]) -> Tuple[int, int, Any]:
    """Memory that an output of a type may be written to: its address, its bytes and what keeps it."""
    if numpy is not None and isinstance(value, numpy.ndarray):
        refuse_mask(value)
        found = FROM_NUMPY.get(value.dtype)
        raw = (DataType.UINT8, DataType.UINT16) if kind is DataType.BF16 else (DataType.UINT8,)
        if kind is not None and value.dtype != TO_NUMPY[kind] and found not in raw:
            told = found or value.dtype
            raise InvalidArgument(f"out {name!r}: found an array of {told}, expected {kind}, or its bytes as UINT8")
        if value.flags.num & DENSE != DENSE or not value.flags.writeable or value.dtype.kind == "O":
            raise InvalidArgument(f"out {name!r}: expected an array that is dense, aligned and may be written")
        return address_of_array(value), value.nbytes, value
    try:
        view = memoryview(value)
    except TypeError:
        raise InvalidArgument(f"out {name!r}: found {type(value).__name__}, expected an array or a buffer") from None
    if view.readonly or not view.c_contiguous:
        raise InvalidArgument(f"out {name!r}: expected a buffer that is dense and may be written")
    held = Held(view, 1)
    return held.address, view.nbytes, held
