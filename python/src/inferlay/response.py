"""The answer to a request: a mapping from the names of outputs to arrays that lie where the backend wrote them."""

from __future__ import annotations

import ctypes
import struct
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple, Type

from . import _ffi, html
from ._library import functions
from ._numpy import numpy
from .dtypes import BY_NUMBER
from .errors import NotFound, ResourceExhausted, take
from .tensors import Memory, Tensor

VIEW = struct.Struct("=QIIIIQQQQQQQ")
assert VIEW.size == ctypes.sizeof(_ffi.View)

_shapes: List[Tuple[Type[ctypes.Array[ctypes.c_int64]], struct.Struct]] = [
    (ctypes.c_int64 * rank, struct.Struct(f"={rank}q")) for rank in range(8)
]
_names: Dict[int, str] = {}


class Scratch:
    """Places for the outputs of a response, used again."""

    __slots__ = ("capacity", "views", "pointers", "names", "count", "at")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.views = (ctypes.c_uint64 * (capacity * VIEW.size // 8))()
        self.pointers = (ctypes.c_void_p * capacity)()
        self.names = (ctypes.c_void_p * capacity)()
        self.count = ctypes.c_size_t()
        start = ctypes.addressof(self.views)
        for index in range(capacity):
            self.views[index * VIEW.size // 8] = VIEW.size
            self.pointers[index] = start + index * VIEW.size
        self.at = (ctypes.addressof(self.names), ctypes.addressof(self.pointers), ctypes.addressof(self.count))


_scratches: List[Scratch] = []


def read(memory: Memory) -> Dict[str, Tensor]:
    """The outputs of a response, in the order of the model."""
    try:
        scratch = _scratches.pop()
    except IndexError:
        scratch = Scratch(8)
    names, pointers, count = scratch.at
    status = functions.response_outputs(memory.handle, names, pointers, scratch.capacity, count)
    while status:
        error = take(status)
        if not isinstance(error, ResourceExhausted):
            raise error
        scratch = Scratch(scratch.count.value)
        names, pointers, count = scratch.at
        status = functions.response_outputs(memory.handle, names, pointers, scratch.capacity, count)
    outputs = {}
    for index in range(scratch.count.value):
        _, number, _, _, _, _, rank, shape, data, size, offsets, _ = VIEW.unpack_from(scratch.views, index * VIEW.size)
        name = name_at(scratch.names[index] or 0)
        place = (data, size, offsets)
        outputs[name] = Tensor(name, BY_NUMBER[number], dims(shape, rank), place, memory)
    _scratches.append(scratch)
    return outputs


def name_at(address: int) -> str:
    """A name that lives for ever, by its address."""
    name = _names.get(address)
    if name is None:
        name = _names[address] = ctypes.string_at(address).decode()
    return name


def dims(address: int, rank: int) -> Tuple[int, ...]:
    """Numbers of the library."""
    if not rank:
        return ()
    kind, numbers = _shapes[rank] if rank < len(_shapes) else (ctypes.c_int64 * rank, struct.Struct(f"={rank}q"))
    return numbers.unpack(kind.from_address(address))


class Response(Mapping[str, Any]):
    """The outputs of a model, by name, and what answered.

    With numpy, each output is a read-only array that is a view of the response's memory and keeps it alive; without, it
    is a :class:`Tensor`, which :meth:`tensor` gives in either case.

    >>> response = model([1.0, 2.0])
    >>> response
    <inferlay.Response of 'echo' version 1: x: FP32 [2]>
    >>> list(response), response["x"].tolist()
    (['x'], [1.0, 2.0])
    """

    __slots__ = ("_memory", "_tensors", "_arrays", "__weakref__")

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._tensors: Optional[Dict[str, Tensor]] = None
        self._arrays: Optional[Dict[str, Any]] = None

    def _read(self) -> Dict[str, Tensor]:
        tensors = self._tensors
        if tensors is None:
            tensors = self._tensors = read(self._memory)
        return tensors

    def __getitem__(self, name: str) -> Any:
        arrays = self._arrays
        if arrays is None:
            arrays = self._arrays = {}
        try:
            return arrays[name]
        except (KeyError, TypeError):
            pass
        tensor = self.tensor(name)
        array = arrays[name] = tensor if numpy is None else tensor.numpy()
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __contains__(self, name: object) -> bool:
        return name in self._read()

    # Mappings compare what they hold, and arrays of numpy have no one truth.
    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def tensor(self, name: str) -> Tensor:
        """An output as a :class:`Tensor`; raises :class:`NotFound`, which is a ``KeyError``, for another name.

        >>> response.tensor("x")
        <inferlay.Tensor 'x': FP32 [2]>
        >>> response.tensor("y")
        Traceback (most recent call last):
        inferlay.errors.NotFound: no output 'y' in the response of model 'echo'; it has 'x'
        """
        try:
            return self._read()[name]
        except (KeyError, TypeError):
            known = ", ".join(repr(other) for other in self._read())
            raise NotFound(f"no output {name!r} in the response of model {self.model!r}; it has {known}") from None

    @property
    def model(self) -> str:
        """The name of the model that answered.

        >>> response.model
        'echo'
        """
        text: bytes = functions.response_model(self._memory.handle)
        return text.decode()

    @property
    def version(self) -> int:
        """The version of the model that answered.

        >>> response.version
        1
        """
        return int(functions.response_version(self._memory.handle))

    def __repr__(self) -> str:
        outputs = ", ".join(f"{name}: {tensor.dtype} {list(tensor.shape)}" for name, tensor in self._read().items())
        return f"<inferlay.Response of {self.model!r} version {self.version}: {outputs}>"

    def _repr_html_(self) -> str:
        rows = [(name, str(tensor.dtype), list(tensor.shape)) for name, tensor in self._read().items()]
        return html.table(f"response of {self.model}, version {self.version}", ("output", "type", "shape"), rows)

    def __reduce__(self) -> Any:
        raise TypeError("inferlay.Response: memory of this process is not pickled; pickle copies of its arrays")
