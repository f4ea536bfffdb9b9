"""Functions of Python as models: the engine batches, threads of Python pull whole batches and answer them.

    requests -> queue and batching of the engine -> batch queue -> thread `inferlay-model-<name>` -> function -> answer

A function is called with the inputs by name, each an array of all rows of a batch, and returns the outputs by name, or
the one output there is. The arrays are views of the memory of requests: a function that wants to keep one copies it, or
the requests are not let go before it is gone. What a function raises is the error of every request of its batch.

Invariant: a thread refers to its function and its queue, never to the server, so that the server may go.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import threading
import weakref
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from . import _ffi, engine
from ._library import functions
from ._numpy import numpy
from .checks import encode, json_of, mapping, whole
from .dtypes import BY_NUMBER, FROM_NUMPY, DataType
from .errors import Error, InvalidArgument, check
from .inputs import lend
from .response import VIEW, dims
from .tensors import Tensor

logger = logging.getLogger("inferlay")

# Anything that names a type, and the shape of one row (of everything, where the model does not batch).
Spec = Tuple[Any, Sequence[int]]
Specs = Mapping[str, Spec]
Function = Callable[..., Any]


def data_type(said: Any) -> DataType:
    """A type by its name in the engine or in numpy.

    >>> data_type("FP32"), data_type("INT64")
    (DataType.FP32, DataType.INT64)
    """
    if isinstance(said, DataType):
        return said
    if isinstance(said, str) and said.upper() in DataType.__members__:
        return DataType[said.upper()]
    if said in (str, bytes):
        return DataType.BYTES
    found: Optional[DataType] = None
    if numpy is not None:
        try:
            found = FROM_NUMPY.get(numpy.dtype(said))
        except TypeError:
            pass
    if found is None:
        raise InvalidArgument(f"found {said!r}, expected a type such as 'FP32' or a dtype of numpy")
    return found


def ports(what: str, specs: Specs) -> List[Dict[str, Any]]:
    """Inputs or outputs as a config has them."""
    made = []
    for name, spec in mapping(what, specs, "names to types and shapes").items():
        if not isinstance(spec, (tuple, list)) or len(spec) != 2 or not isinstance(spec[1], (tuple, list)):
            raise InvalidArgument(f"{name!r}: found {spec!r}, expected a type and a shape such as ('FP32', [2])")
        encode(what, name)
        kind = data_type(spec[0])
        written = "TYPE_STRING" if kind is DataType.BYTES else f"TYPE_{kind.name}"
        made.append({"name": name, "data_type": written, "dims": [*spec[1]]})
    return made


def config_of(
    name: str, inputs: Specs, outputs: Specs, max_batch_size: int, instances: int, more: Optional[Mapping[str, Any]]
) -> str:
    """The config of a function's model."""
    said: Dict[str, Any] = {"name": name, "input": ports("inputs", inputs), "output": ports("outputs", outputs)}
    said["instance_group"] = [{"count": whole("instances", instances, 31), "kind": "KIND_CPU"}]
    if whole("max_batch_size", max_batch_size, 31):
        said.update(max_batch_size=max_batch_size, dynamic_batching={})
    said.update({} if more is None else mapping("config", more, "keys of a config to values"))
    return json_of("config", said)


class Memory:
    """A batch of the library: whoever refers to its inputs refers to this."""

    __slots__ = ("handle", "keep", "__weakref__")

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self.keep = None

    def __del__(self, free: Any = functions.batch_free) -> None:
        free(self.handle)


class Puller:
    """The threads of a model, and what they need."""

    def __init__(self, name: str, function: Function, queue: int, inputs: Specs, outputs: Specs) -> None:
        self.name = name
        self.function = function
        self.queue = queue
        self.inputs = [(port, encode("inputs", port)) for port in inputs]
        self.outputs = {port: (encode("outputs", port), data_type(spec[0])) for port, spec in outputs.items()}
        self._is_told = False
        self._running = 0
        self._lock = threading.Lock()

    def start(self, threads: int) -> None:
        """Starts the threads, which end with the model."""
        self._running = threads
        for _ in range(threads):
            thread = threading.Thread(target=self._run, name=f"inferlay-model-{self.name}", daemon=True)
            _threads.append(thread)
            thread.start()

    def _run(self) -> None:
        place = ctypes.c_void_p()
        try:
            while True:
                check(functions.batch_queue_next(self.queue, engine.FOREVER, ctypes.byref(place)))
                if not place.value:
                    return
                batch = Memory(place.value)
                held = weakref.ref(batch)
                self._serve(batch)
                del batch
                if held() is not None:
                    self._tell_of_kept(held)
        finally:
            with self._lock:
                self._running -= 1
                is_last = self._running == 0
            if is_last:
                functions.batch_queue_free(self.queue)
            _threads.remove(threading.current_thread())

    def _serve(self, batch: Memory) -> None:
        """Answers one batch. Nothing of it is referred to afterwards, unless the function does."""
        status = None
        try:
            self._execute(batch)
        except Error as error:
            status = functions.status_new(error.code, told(error).encode("utf-8", "replace"))
        except BaseException as error:
            text = f"{type(error).__name__}: {told(error)}".replace("\0", "")
            status = functions.status_new(_ffi.CODE_UNKNOWN, text.encode("utf-8", "replace"))
        refused = functions.batch_answer(batch.handle, status)
        # The requests have heard of it.
        functions.status_free(refused)

    def _tell_of_kept(self, held: "weakref.ref[Memory]") -> None:
        # Perhaps only a cycle keeps it.
        gc.collect()
        if held() is not None and not self._is_told:
            self._is_told = True
            logger.warning("model %r: its function keeps an input, which holds its request; copy it", self.name)

    def _execute(self, batch: Memory) -> None:
        found = self.function(**{name: self._input(batch, name, encoded) for name, encoded in self.inputs})
        if not isinstance(found, Mapping):
            if len(self.outputs) != 1:
                raise InvalidArgument(
                    f"found {type(found).__name__}, expected a mapping of {len(self.outputs)} outputs"
                )
            found = {next(iter(self.outputs)): found}
        for name, value in found.items():
            if name not in self.outputs:
                raise InvalidArgument(f"found output {name!r}, expected {', '.join(map(repr, self.outputs))}")
            encoded, kind = self.outputs[name]
            try:
                self._output(batch, encoded, kind, value)
            except Error as error:
                raise type(error)(f"output {name!r}: {error.message}") from None

    def _input(self, batch: Memory, name: str, encoded: bytes) -> Any:
        view = _ffi.View(VIEW.size)
        check(functions.batch_input(batch.handle, encoded, ctypes.byref(view)))
        place = (view.data or 0, view.byte_size, view.offsets or 0)
        tensor = Tensor(name, BY_NUMBER[view.datatype], dims(view.shape or 0, view.rank), place, batch)
        return tensor if numpy is None else tensor.numpy()

    def _output(self, batch: Memory, name: bytes, kind: DataType, value: Any) -> None:
        if not functions.batch_output_wanted(batch.handle, name):
            return
        found, address, size, shape, offsets, offsets_len, _keep = lend(value, kind)
        if found != kind:
            raise InvalidArgument(f"found {BY_NUMBER[found].name}, expected {kind}")
        sizes = (ctypes.c_int64 * len(shape))(*shape)
        if kind is DataType.BYTES:
            at = ctypes.addressof(sizes)
            view = _ffi.View(VIEW.size, found, 0, 0, 0, None, len(shape), at, address, size, offsets, offsets_len)
            check(functions.batch_set_output(batch.handle, name, ctypes.byref(view)))
            return
        data, room = ctypes.c_void_p(), ctypes.c_size_t()
        check(functions.batch_output(batch.handle, name, sizes, len(shape), ctypes.byref(data), ctypes.byref(room)))
        ctypes.memmove(data, address, min(size, room.value))


def told(error: BaseException) -> str:
    """What an exception says. It may be anybody's: one that fails at this must not end the thread of its model."""
    try:
        return str(error)
    except Exception as failed:
        return f"its text raised {type(failed).__name__}"


_threads: List[threading.Thread] = []


def register(
    owner: engine.Engine,
    name: str,
    function: Function,
    inputs: Specs,
    outputs: Specs,
    *,
    max_batch_size: int = 0,
    instances: int = 1,
    config: Optional[Mapping[str, Any]] = None,
) -> None:
    """Makes a model of a function."""
    if not callable(function):
        raise InvalidArgument(f"model {name!r}: found {function!r}, expected a function")
    encode("name", name)
    text = config_of(name, inputs, outputs, max_batch_size, instances, config)
    place = ctypes.c_void_p()
    check(functions.batch_queue_new(owner.handle, encode("config", text), ctypes.byref(place)))
    Puller(name, function, place.value or 0, inputs, outputs).start(instances)
    owner.change = object()


def join() -> None:
    """Waits until the threads of servers that have stopped have ended."""
    for thread in list(_threads):
        thread.join(1)


engine.at_end.insert(0, join)

__all__ = ["Function", "Spec", "Specs", "register"]
