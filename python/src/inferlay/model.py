"""A model of a server: what it is, what it did, and asking it."""

from __future__ import annotations

import concurrent.futures
import sys
import threading
from collections import abc
from typing import (
    Any,
    AsyncIterator,
    Coroutine,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

from . import aio, futures, html
from ._library import functions
from .calls import Call, Variant
from .checks import encode, iterator, mapping, whole
from .dtypes import DataType
from .engine import Engine
from .errors import Error, InvalidArgument, NotFound, check, take
from .response import Response
from .tensors import Memory

Inputs = Mapping[str, Any]


class Port(NamedTuple):
    """An input or output of a model: its name, its type, and its shape, where -1 stands for any size.

    >>> model.inputs["x"]
    Port(name='x', dtype=DataType.FP32, shape=(2,))
    """

    name: str
    dtype: DataType
    shape: Tuple[int, ...]


class Asking(NamedTuple):
    """How a request is made, beside its inputs.

    ``outputs`` are the names that are wanted, all by default. ``out`` maps names of outputs to memory that they are
    written to: dense arrays of the output's type, or buffers of as many bytes or more, which stay in use as long as the
    response or a view of it does. ``timeout`` is in seconds. ``priority`` goes from 1, the most urgent; 0 is the
    model's default. ``sequence`` is a number or a text, ``sequence_start`` and ``sequence_end`` mark its ends.
    ``parameters`` go to the backend; ``traced`` keeps a trace of the request for :attr:`Server.traces`.
    ``queue_timeout``, in seconds, is how long it may wait before its queue counts it as late: where the model's config
    has ``allow_timeout_override``, and no shorter timeout.

    These are keywords of every way to ask.

    >>> model.infer([1.0, 2.0], timeout=0.5, priority=1, id="first")["x"].tolist()
    [1.0, 2.0]
    """

    outputs: Optional[Sequence[str]] = None
    out: Optional[Mapping[str, Any]] = None
    timeout: Optional[float] = None
    priority: int = 0
    id: str = ""
    sequence: Union[int, str, None] = None
    sequence_start: bool = False
    sequence_end: bool = False
    parameters: Optional[Mapping[str, Union[str, int, float, bool]]] = None
    traced: bool = False
    queue_timeout: Optional[float] = None

    def is_plain(self) -> bool:
        """Whether it says nothing that stays with a request.

        >>> inferlay.Asking(timeout=0.5).is_plain(), inferlay.Asking(id="first").is_plain()
        (True, False)
        """
        return not (
            self.priority
            or self.queue_timeout is not None
            or self.id
            or self.sequence is not None
            or self.parameters
            or self.traced
            or self.out is not None
        )


PLAIN = Asking()
NONE: Tuple[str, ...] = ()


class Model:
    """A model, by name, of one version, of that which a label is at, or of the highest that serves.

    Calling it asks it: with one input, ``model(array)``; with names, ``model(image=array)``; and see :meth:`infer`.

    >>> model = server.model("echo")
    >>> model(x=[1.0, 2.0])["x"].tolist()
    [1.0, 2.0]
    """

    __slots__ = (
        "name",
        "_encoded",
        "_wanted",
        "_label",
        "_engine",
        "_owns",
        "_ports",
        "_change",
        "_variants",
        "_lock",
        "__weakref__",
    )

    def __init__(
        self, engine: Engine, name: str, version: int = 0, label: Optional[str] = None, owns: bool = False
    ) -> None:
        self.name = name
        self._encoded = encode("model", name)
        self._wanted = whole("version", version, 64)
        if label is not None and self._wanted:
            raise InvalidArgument(f"model {name!r}: found version {version} and label {label!r}, expected one of them")
        self._label = None if label is None else encode("label", label)
        self._engine = engine
        self._owns = owns
        self._ports: Optional[Tuple[Dict[str, Port], Dict[str, Port]]] = None
        # How many changes of states there had been when the ports were asked for.
        self._change = -1
        self._variants: Dict[Tuple[Tuple[str, ...], Tuple[str, ...]], Variant] = {}
        self._lock = threading.Lock()
        self._ask_ports()

    @property
    def metadata(self) -> Dict[str, Any]:
        """Name, versions, platform, inputs and outputs, in the form of KServe v2.

        >>> model.metadata["inputs"]
        [{'name': 'x', 'datatype': 'FP32', 'shape': [2]}]
        """
        return self._json(functions.model_metadata)

    @property
    def config(self) -> Dict[str, Any]:
        """The complete config, with Triton's keys.

        >>> model.config["backend"], model.config["max_batch_size"]
        ('null', 0)
        """
        return self._json(functions.model_config)

    @property
    def statistics(self) -> Dict[str, Any]:
        """What it has done since it was loaded; times are sums over requests, in nanoseconds.

        >>> before = model.statistics["inference_count"]
        >>> response = model([1.0, 2.0])
        >>> model.statistics["inference_count"] - before
        1
        """
        return self._json(functions.model_statistics)

    @property
    def versions(self) -> List[int]:
        """The versions that serve.

        >>> model.versions
        [1]
        """
        return [int(version) for version in self.metadata["versions"]]

    @property
    def is_ready(self) -> bool:
        """Whether it serves now.

        >>> model.is_ready
        True
        """
        try:
            return bool(functions.model_is_ready(self._engine.handle, self._encoded, self._number()))
        except Error:
            return False  # The label is nowhere.

    @property
    def inputs(self) -> Dict[str, Port]:
        """Its inputs by name.

        >>> model.inputs["x"].shape
        (2,)
        """
        return self._ask_ports()[0]

    @property
    def outputs(self) -> Dict[str, Port]:
        """Its outputs by name.

        >>> model.outputs["x"].dtype
        DataType.FP32
        """
        return self._ask_ports()[1]

    def __call__(self, /, *arrays: Any, **named: Any) -> Response:
        """Asks with arrays in the order of the inputs, or by name; see :meth:`infer` for more than that.

        >>> model([1.0, 2.0])["x"].tolist(), model(x=[3.0, 4.0])["x"].tolist()
        ([1.0, 2.0], [3.0, 4.0])
        """
        return self.infer(self._named(arrays, named))

    def infer(self, inputs: Union[Inputs, Any], **asking: Any) -> Response:
        """Sends a request and waits for the answer; the interpreter lock is free meanwhile.

        ``inputs`` maps names to arrays; a model with one input takes the array itself. Shapes are those of
        :attr:`inputs`, behind a dim for the rows of a batch where ``config["max_batch_size"]`` is not 0. The keywords
        are the fields of :class:`Asking`: ``outputs``, ``out``, ``timeout`` in seconds, ``priority`` and so on.

        Raises :class:`InvalidArgument` for a wrong type, shape or value, :class:`NotFound` for a name of an input or
        output that the model does not have, :class:`Timeout` after ``timeout``, :class:`ResourceExhausted` when the
        queue is full, :class:`Unavailable` when the model or the server has stopped, and what the backend fails with.

        >>> model.infer({"x": [1, 2]}, timeout=5.0)["x"].tolist()
        [1.0, 2.0]
        >>> model.infer({"x": [1, 2, 3]})
        Traceback (most recent call last):
        inferlay.errors.InvalidArgument: model 'echo' version 1: input 'x': found shape [3], expected [2]
        """
        call = self._prepare(inputs, asking)
        try:
            status = functions.infer(self._engine.handle, call.request, call.place_at)
            if status:
                raise take(status)
            memory = Memory(call.place.value or 0)
            memory.keep = call.out
            return Response(memory)
        finally:
            call.give_back(False)

    def infer_async(self, inputs: Union[Inputs, Any], **asking: Any) -> Coroutine[Any, Any, Response]:
        """Sends a request and awaits the answer: ``await model.infer_async(inputs)``, else as :meth:`infer`.

        A task that is cancelled cancels its request; the arrays that it lent are kept until the engine has let them go.

        >>> import asyncio
        >>> async def both():
        ...     return await asyncio.gather(model.infer_async([1.0, 2.0]), model.infer_async([3.0, 4.0]))
        >>> [response["x"].tolist() for response in asyncio.run(both())]
        [[1.0, 2.0], [3.0, 4.0]]
        """
        return aio.infer(self, inputs, asking)

    def stream_async(self, inputs: Union[Inputs, Any], **asking: Any) -> AsyncIterator[Response]:
        """The responses of a model that sends any number: ``async for response in model.stream_async(inputs)``.

        The request is sent when the first response is asked for, and cancelled by who stops early. Errors are those of
        :meth:`infer`, raised after the responses that came before.

        >>> import asyncio
        >>> async def all_of(responses):
        ...     return [response["x"].tolist() async for response in responses]
        >>> asyncio.run(all_of(model.stream_async([1.0, 2.0])))
        [[1.0, 2.0]]
        """
        return aio.stream(self, inputs, asking)

    def submit(self, inputs: Union[Inputs, Any], **asking: Any) -> "concurrent.futures.Future[Response]":
        """Sends a request and returns a future, whose ``cancel`` cancels the request, else as :meth:`infer`.

        What is wrong with the inputs is raised at once, the rest by ``result()``. What ``add_done_callback`` adds is
        called on the one thread that answers all futures: it must not wait for another answer.

        >>> model.submit([1.0, 2.0]).result(timeout=5.0)["x"].tolist()
        [1.0, 2.0]
        """
        return futures.submit(self, inputs, asking)

    def infer_many(
        self, requests: Iterable[Union[Inputs, Any]], *, return_errors: bool = False, **asking: Any
    ) -> List[Any]:
        """Sends many requests at once, so that the engine may join them, and waits for all answers, in order.

        The first error is raised when all are there; with ``return_errors`` errors stand in the place of responses.
        What is wrong with the inputs of one is raised at once, and cancels those that were sent.

        >>> [response["x"].tolist() for response in model.infer_many([[1.0, 2.0], [3.0, 4.0]])]
        [[1.0, 2.0], [3.0, 4.0]]
        """
        return futures.infer_many(self, requests, asking, return_errors)

    def stream(self, inputs: Union[Inputs, Any], **asking: Any) -> Iterator[Response]:
        """The responses of a model that sends any number of them, one after the other.

        The request is sent when the first is asked for, and cancelled by who stops early. Errors are those of
        :meth:`infer`, raised after the responses that came before.

        >>> [response["x"].tolist() for response in model.stream([1.0, 2.0])]
        [[1.0, 2.0]]
        """
        return futures.stream(self, inputs, asking)

    def _prepare(self, inputs: Union[Inputs, Any], asking: Mapping[str, Any]) -> Call:
        """A request that is ready to be sent, which is the caller's until it is given back."""
        if type(inputs) is not dict and not isinstance(inputs, abc.Mapping):
            inputs = self._named((inputs,), {})
        wanted, outputs, names = PLAIN, NONE, (*inputs,)
        if asking:
            wanted = made(asking)
            outputs = wanted_outputs(wanted, self)
        if self._engine.changes.value != self._change:
            self._ask_ports()
        variant = self._variants.get((names, outputs)) or self._variant(names, outputs)
        call = variant.take()
        try:
            call.fill([*inputs.values()])
            if asking or call.timeout_ns:
                call.set_timeout(wanted.timeout)
                if not wanted.is_plain():
                    describe(call, wanted, self)
        except BaseException:
            call.give_back(False)
            raise
        return call

    def _variant(self, names: Tuple[str, ...], outputs: Tuple[str, ...]) -> Variant:
        # Before the ports, which another thread may be changing: they are as new as this at least.
        variants = self._variants
        kinds = {name: port.dtype for name, port in self.inputs.items()}
        for name in names:
            if name not in kinds:
                raise NotFound(f"model {self.name!r}: no input {name!r}; it has {listed(kinds)}")
        variant = Variant(self._engine, (self._encoded, self._wanted, self._label), names, kinds, outputs)
        with self._lock:
            return variants.setdefault((names, outputs), variant)

    def _named(self, arrays: Sequence[Any], named: Mapping[str, Any]) -> Inputs:
        if not arrays:
            return named
        if len(arrays) == 1 and not named and isinstance(arrays[0], abc.Mapping):
            return arrays[0]
        names = [*self.inputs]
        if len(arrays) > len(names):
            raise InvalidArgument(f"model {self.name!r}: found {len(arrays)} arrays, expected {listed(names)}")
        placed = dict(zip(names, arrays))
        for name in placed:
            if name in named:
                raise InvalidArgument(
                    f"model {self.name!r}: found input {name!r} by place and by name, expected it once"
                )
        return {**placed, **named}

    def _json(self, function: Any) -> Dict[str, Any]:
        return self._engine.json(function, self._encoded, self._number())  # type: ignore[no-any-return]

    def _number(self) -> int:
        """The version that is wanted now; 0 for the highest."""
        if self._label is None:
            return self._wanted
        labels = self._engine.json(functions.server_labels, self._encoded)
        label = self._label.decode()
        if label not in labels:
            raise NotFound(f"model {self.name!r}: label {label!r} not found; known: {', '.join(labels)}")
        return int(labels[label])

    def _ask_ports(self) -> Tuple[Dict[str, Port], Dict[str, Port]]:
        change, known = self._engine.changes.value, self._ports
        if change == self._change and known is not None:
            return known
        try:
            told = self.metadata
        except Error:
            if known is None:
                raise
            # It is gone, which asking it says, and still shows what it was.
            return known
        found = (ports(told["inputs"]), ports(told["outputs"]))
        if found != known:
            self._ports, self._variants = found, {}
        self._change = change
        return found

    def close(self) -> None:
        """Stops the server of a model that came from :func:`inferlay.load`; that of others goes on.

        >>> model.close()
        >>> model.is_ready
        True
        """
        if self._owns:
            self._engine.stop(CLOSE_S)

    def __enter__(self) -> "Model":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        version = f" version {self._wanted}" if self._wanted else ""
        if self._label is not None:
            version = f" label {self._label.decode()!r}"
        return f"<inferlay.Model {self.name!r}{version}: {signature(self.inputs)} -> {signature(self.outputs)}>"

    def _repr_html_(self) -> str:
        sides = (("input", self.inputs), ("output", self.outputs))
        shown = [(kind, port.name, port.dtype, list(port.shape)) for kind, side in sides for port in side.values()]
        return html.table(f"model {self.name}", ("", "name", "type", "shape"), shown)

    def __reduce__(self) -> Any:
        raise TypeError("inferlay.Model: it lives in this process and is not pickled; load it where it is used")


CLOSE_S = 5.0


def ports(told: Sequence[Mapping[str, Any]]) -> Dict[str, Port]:
    """Inputs or outputs as metadata tells them."""
    return {one["name"]: Port(sys.intern(one["name"]), DataType[one["datatype"]], tuple(one["shape"])) for one in told}


def signature(found: Mapping[str, Port]) -> str:
    """Inputs or outputs in one line."""
    return ", ".join(f"{port.name}: {port.dtype} {list(port.shape)}" for port in found.values())


def listed(names: Any) -> str:
    """Names in quotes."""
    return ", ".join(repr(name) for name in names) or "none"


def made(asking: Mapping[str, Any]) -> Asking:
    """The keywords of a request, checked for names that are none."""
    try:
        return Asking(**asking)
    except TypeError:
        unknown = listed(name for name in asking if name not in Asking._fields)
        raise TypeError(f"found the keyword {unknown}, expected one of {', '.join(Asking._fields)}") from None


def wanted_outputs(wanted: Asking, model: Model) -> Tuple[str, ...]:
    """The outputs that are named; where some are to be written to memory of the caller, all of them are."""
    if wanted.outputs is None:
        return (*model.outputs,) if wanted.out else ()
    names = (*iterator("outputs", wanted.outputs, "a list of names"),)
    for name in names:
        if not isinstance(name, str) or name not in model.outputs:
            raise NotFound(f"model {model.name!r}: no output {name!r}; it has {listed(model.outputs)}")
    return names


def describe(call: Call, wanted: Asking, model: Model) -> None:
    """Says what few requests say; the request is not used again then."""
    call.is_special = True
    request = call.request
    if wanted.out is not None:
        call.set_out(wanted.out, {name: port.dtype for name, port in model.outputs.items()})
    check(functions.request_set_id(request, encode("id", wanted.id)))
    check(functions.request_set_priority(request, whole("priority", wanted.priority, 32)))
    if wanted.queue_timeout is not None:
        call.set_queue_timeout(wanted.queue_timeout)
    check(functions.request_set_traced(request, wanted.traced))
    if wanted.sequence is not None:
        flags = bool(wanted.sequence_start) * 1 + bool(wanted.sequence_end) * 2
        if isinstance(wanted.sequence, str):
            check(functions.request_set_sequence_text(request, encode("sequence", wanted.sequence), flags))
        else:
            check(functions.request_set_sequence(request, whole("sequence", wanted.sequence, 64), flags))
    parameters = {} if wanted.parameters is None else mapping("parameters", wanted.parameters, "names to values")
    for name, value in parameters.items():
        set_parameter(request, encode("parameters", name), value)


def set_parameter(request: int, name: bytes, value: Union[str, int, float, bool]) -> None:
    """Gives the backend a value."""
    if isinstance(value, bool):
        check(functions.request_set_parameter_bool(request, name, value))
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise InvalidArgument(f"parameter {name.decode()!r}: found {value}, expected 64 bits")
        check(functions.request_set_parameter_int(request, name, value))
    elif isinstance(value, float):
        check(functions.request_set_parameter_double(request, name, value))
    else:
        check(functions.request_set_parameter_string(request, name, encode(f"parameter {name.decode()!r}", value)))
