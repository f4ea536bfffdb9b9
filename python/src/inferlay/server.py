"""Servers: folders and files of models, served in this process."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, Literal, Mapping, Optional, Sequence, Union, overload

from . import html, live, registry
from ._library import functions
from .changes import Changes, Subscription
from .checks import encode, path, stem
from .directed import Directed
from .engine import Engine, after, nanoseconds
from .errors import Error, check
from .model import CLOSE_S, Inputs, Model, signature
from .notices import Change, Report, Told
from .operations import Operation, waited
from .options import Contents, Files, Options, Path, Paths
from .registry import Function, Specs
from .repositories import Repositories, Repository
from .response import Response
from .sources import Source


class Server(Directed):
    """A server of models in this process.

    ``repository`` is a folder, or several: ``<folder>/<model>/<version>/<file>``, or a :class:`Repository`; ``sources``
    are repositories that lie elsewhere, see :class:`Source`. ``config_name`` reads ``configs/<name>.yaml`` (or
    ``.pbtxt``) of each model that has it, in the place of its ``config.yaml``.
    ``models`` are single files, or a mapping from names to files. ``options`` is YAML, JSON or a mapping with the
    keys of a server's options, such as ``execution_threads_max``. ``progress`` draws a bar (``True``), is told of
    each model (a function) or neither (``False``); by default there is a bar when stderr is a terminal. A model
    that does not load is told of by :attr:`models`; with ``strict`` it fails the start. ``trusted_keys`` are Ed25519
    keys, 64 hexadecimal digits each, whose signatures under a model's ``inferlay.manifest`` count;
    ``require="manifest"`` or ``require="signature"`` refuses models in folders and files that have none.

    ``model_control`` says which models of repositories are loaded: all at the start (``"none"``), those in ``load``
    and those that :meth:`load` is called for (``"explicit"``), or all, and whatever changes afterwards
    (``"poll"``): acted on when nothing of a model has changed for ``settle_time`` seconds, or its ``ready_marker``
    was written; everything is looked at each ``poll_period``, and what failed is tried again after ``retry_after``.
    ``retire_timeout`` is how long a version that was replaced or unloaded may take to answer what it has.
    ``memory_budget`` (in bytes, and for devices ``device_memory_budgets``) lets models be loaded when they are
    first asked, and the least recently used go; those that are ``pinned`` stay.

    >>> echo = {"config.yaml": {"backend": "null", "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [2]}]}}
    >>> with Server(models={"echo": echo}) as server:
    ...     server.infer("echo", {"x": [1.0, 2.0]}).tensor("x").tolist()
    [1.0, 2.0]
    """

    __slots__ = ("_models", "_change", "__weakref__")

    def __init__(
        self,
        repository: Optional[Repositories] = None,
        *,
        models: Union[Paths, Mapping[str, Files], None] = None,
        sources: Union[Source, Iterable[Source], None] = None,
        config_name: Optional[str] = None,
        backends: Optional[Paths] = None,
        backend_options: Optional[Mapping[str, Mapping[str, Any]]] = None,
        options: Union[str, Mapping[str, Any], None] = None,
        strict: bool = False,
        trusted_keys: Union[str, Iterable[str], None] = None,
        require: Optional[str] = None,
        progress: Union[bool, Report, None] = None,
        model_control: str = "none",
        load: Optional[Sequence[str]] = None,
        settle_time: Optional[float] = None,
        poll_period: Optional[float] = None,
        ready_marker: Optional[str] = None,
        retry_after: Optional[float] = None,
        retire_timeout: Optional[float] = None,
        memory_budget: Optional[int] = None,
        device_memory_budgets: Optional[Mapping[int, int]] = None,
        pinned: Optional[Sequence[str]] = None,
    ) -> None:
        said = Options()
        said.add_text(options)
        live.add_repositories(said, repository)
        polling = {"settle_time": settle_time, "poll_period": poll_period, "retry_after": retry_after}
        live.set_control(said, model_control, load, {**polling, "ready_marker": ready_marker})
        if retire_timeout is not None:
            check(functions.options_set_retire_timeout(said.handle, nanoseconds(retire_timeout)))
        live.set_memory(said, memory_budget, device_memory_budgets, pinned)
        said.add_models(models)
        said.add_sources(sources)
        said.set_config_name(config_name)
        said.add_backend_directories(backends)
        said.set_backend_options(backend_options)
        said.set_strict(strict)
        said.set_trust(trusted_keys, require)
        with Told(said.handle, progress):
            self._engine = Engine(said.handle)
        self._models: Dict[Any, Model] = {}
        self._change = 0

    def model(self, name: str, version: int = 0, *, label: Optional[str] = None) -> Model:
        """A model by name: of this version, of that which a label is at (whenever it is asked), or of the highest.

        Raises :class:`NotFound`, a ``KeyError`` that lists the models there are, or :class:`Unavailable`.

        >>> server.model("echo")
        <inferlay.Model 'echo': x: FP32 [2] -> x: FP32 [2]>
        >>> server.model("ecco")
        Traceback (most recent call last):
        inferlay.errors.NotFound: model 'ecco' not found; known: echo, texts
        """
        self._forget()
        try:
            return self._models[name, version, label]
        except (KeyError, TypeError):
            # The latter for what is no name or number, as which it is refused now.
            pass
        made = Model(self._engine, name, version, label)
        return self._models.setdefault((made.name, made._wanted, label), made)

    def infer(
        self,
        model: str,
        inputs: Union[Inputs, Any],
        *,
        version: int = 0,
        label: Optional[str] = None,
        **asking: Any,
    ) -> Response:
        """Asks a model and waits for the answer, see :meth:`Model.infer`.

        >>> server.infer("echo", {"x": [1.0, 2.0]}, timeout=5.0)["x"].tolist()
        [1.0, 2.0]
        """
        return self.model(model, version, label=label).infer(inputs, **asking)

    async def infer_async(
        self,
        model: str,
        inputs: Union[Inputs, Any],
        *,
        version: int = 0,
        label: Optional[str] = None,
        **asking: Any,
    ) -> Response:
        """Asks a model and awaits the answer, see :meth:`Model.infer_async`.

        >>> import asyncio
        >>> asyncio.run(server.infer_async("echo", [1.0, 2.0]))["x"].tolist()
        [1.0, 2.0]
        """
        return await self.model(model, version, label=label).infer_async(inputs, **asking)

    @overload
    def load(
        self,
        name: str,
        *,
        config: Union[str, Mapping[str, Any], None] = ...,
        config_format: str = ...,
        versions: Optional[Sequence[int]] = ...,
        files: Optional[Contents] = ...,
        swap: Optional[str] = ...,
        wait: Literal[True] = ...,
    ) -> Model: ...

    @overload
    def load(
        self,
        name: str,
        *,
        config: Union[str, Mapping[str, Any], None] = ...,
        config_format: str = ...,
        versions: Optional[Sequence[int]] = ...,
        files: Optional[Contents] = ...,
        swap: Optional[str] = ...,
        wait: Literal[False],
    ) -> Operation: ...

    def load(
        self,
        name: str,
        *,
        config: Union[str, Mapping[str, Any], None] = None,
        config_format: str = "yaml",
        versions: Optional[Sequence[int]] = None,
        files: Optional[Contents] = None,
        swap: Optional[str] = None,
        wait: bool = True,
    ) -> Union[Model, Operation]:
        """Loads a model of the repositories by its name, or loads it anew.

        ``config`` takes the place of the model's own: YAML or JSON, or, with ``config_format="pbtxt"``, a text as a
        ``config.pbtxt`` has it. ``versions`` are loaded whatever that says, and ``files``, by
        their paths within the model's folder, take the place of those of a repository. ``swap`` takes the place of what
        the config says: without room for both within the memory budget the old one serves on and the load fails
        (``"overlap"``), or goes first (``"replace"``). Gives the model, or without ``wait`` the operation at once. What
        serves goes on serving until all of the new is loaded; handles of the model follow. Raises :class:`NotFound` for
        a model that is in no repository, and whatever keeps a version from serving; then what served serves on.

        >>> server.load("sounds", files=echo)
        <inferlay.Model 'sounds': x: FP32 [2] -> x: FP32 [2]>
        >>> server.load("sounds", files={**echo, "2/weights": b""}, versions=[2], wait=False).wait()
        >>> server.model("sounds").versions
        [2]
        """
        operation = live.begin_load(self._engine, name, (config, config_format), versions, files, swap)
        if not wait:
            return operation
        operation.wait()
        return self.model(name)

    async def load_async(
        self,
        name: str,
        *,
        config: Union[str, Mapping[str, Any], None] = None,
        config_format: str = "yaml",
        versions: Optional[Sequence[int]] = None,
        files: Optional[Contents] = None,
        swap: Optional[str] = None,
    ) -> Model:
        """As :meth:`load`, for tasks.

        >>> import asyncio
        >>> asyncio.run(server.load_async("sounds", files=echo))
        <inferlay.Model 'sounds': x: FP32 [2] -> x: FP32 [2]>
        """
        await live.begin_load(self._engine, name, (config, config_format), versions, files, swap)
        return self.model(name)

    def unload(self, name: str, *, unload_dependents: bool = False, wait: bool = True) -> Operation:
        """Unloads a model, all its versions: from now on it takes no requests.

        Those on their way are answered, for as long as ``retire_timeout`` allows. It is over when the memory is
        back; the model stays in the index and can be loaded again. With ``unload_dependents`` models that were
        loaded for this one alone go too: there are none until there are ensembles. Raises :class:`NotFound`, and
        :class:`Timeout` when requests were left when the time was up.

        >>> server.unload("echo")
        <inferlay.Operation, done>
        >>> server.models[0]
        {'name': 'echo', 'version': 1, 'state': 'UNAVAILABLE', 'reason': 'unloaded'}
        """
        return waited(live.begin_unload(self._engine, name, unload_dependents), wait)

    async def unload_async(self, name: str, *, unload_dependents: bool = False) -> None:
        """As :meth:`unload`, for tasks.

        >>> import asyncio
        >>> asyncio.run(server.unload_async("echo"))
        """
        await live.begin_unload(self._engine, name, unload_dependents)

    def poll(self, *, wait: bool = True) -> Operation:
        """Looks at all repositories now, and does what has changed there asks for; ``await`` it without ``wait``.

        A model that is being written is waited for. Whether models loaded is told by :attr:`models`. Raises
        :class:`FailedPrecondition` for a server with explicit control.

        >>> server.poll()
        <inferlay.Operation, done>
        """
        return waited(live.begin_poll(self._engine), wait)

    def add_repository(self, repository: Union[Path, Repository]) -> None:
        """Adds a repository. A server that polls loads its models; else they are loaded when they are asked for.

        Raises :class:`AlreadyExists` for one of the same folders.

        >>> server.add_repository(inferlay.Repository(".", prefix="here"))
        >>> server.remove_repository(".")
        """
        live.add_repository(self._engine, repository)

    def remove_repository(self, repository: Union[Paths, Repository]) -> None:
        """Takes a repository away, by all its folders. A server that polls unloads its models; else they serve on.

        >>> server.remove_repository("nowhere")
        Traceback (most recent call last):
        inferlay.errors.NotFound: repository 'nowhere': not found among the repositories
        """
        live.remove_repository(self._engine, repository)

    def changes(self) -> Changes:
        """The changes of models' states from now on, to be iterated over by a thread or a task.

        >>> with server.changes() as changes:
        ...     server.remove("echo")
        ...     next(changes).state
        'UNLOADING'
        """
        return Changes(self._engine)

    def subscribe(self, function: Callable[[Change], object]) -> Subscription:
        """Has a function called with every change of a model's state from now on, on a thread of this package.

        It goes on until the subscription is closed, nothing refers to it, or the server stops.

        >>> import queue
        >>> told = queue.Queue()
        >>> with server.subscribe(told.put):
        ...     server.remove("echo")
        ...     told.get(timeout=60.0).state
        'UNLOADING'
        """
        return Subscription(self._engine, function)

    def pin(self, name: str, is_pinned: bool = True) -> None:
        """Has a model stay in memory once it is there, or go again when others need room.

        >>> server.pin("echo")
        """
        check(functions.server_pin_model(self._engine.handle, encode("model", name), bool(is_pinned)))

    def load_file(self, file: Path) -> Model:
        """Loads one more model, of one file, named by the file's stem.

        Raises what the backend refuses the file with, and :class:`AlreadyExists` for a name that is taken.

        >>> server.load_file(digits_onnx)
        <inferlay.Model 'model': image: FP32 [-1, 1, 8, 8] -> logits: FP32 [-1, 10]>
        """
        place = path("file", file)
        check(functions.model_load(self._engine.handle, encode("file", place)))
        return self.model(stem(place))

    def register(
        self,
        name: str,
        function: Optional[Function] = None,
        *,
        inputs: Specs,
        outputs: Specs,
        max_batch_size: int = 0,
        instances: int = 1,
        config: Optional[Mapping[str, Any]] = None,
    ) -> Any:
        """Makes a model of a function, which then is asked, batched and counted like any other.

        ``inputs`` and ``outputs`` map names to a type and the shape of one row. The function is called with arrays of
        all rows of a batch, by name, on a thread of its own, ``instances`` at once; it returns the outputs by name, or
        the one there is. With ``max_batch_size`` the engine joins requests, and the first dim of every array is the
        number of rows. ``config`` holds further keys of a model's config.

        Gives the model; without a function, a decorator. Raises :class:`AlreadyExists` for a name that is taken, and
        :class:`InvalidArgument` for a type, shape or number that cannot be. What the function raises is raised to those
        who asked: errors of this package as they are, others as :class:`Unknown`, with their class and text. It is not
        a coroutine; :meth:`close` waits for it as long as it says.

        >>> with Server() as server:
        ...     @server.register("double", inputs={"x": ("FP32", [2])}, outputs={"y": ("FP32", [2])}, max_batch_size=8)
        ...     def double(x):
        ...         return x * 2
        ...     server.infer("double", [[1.0, 2.0]]).tensor("y").tolist()
        [[2.0, 4.0]]
        """

        def make(made: Function) -> Function:
            registry.register(
                self._engine,
                name,
                made,
                inputs,
                outputs,
                max_batch_size=max_batch_size,
                instances=instances,
                config=config,
            )
            return made

        if function is None:
            return make
        make(function)
        return self.model(name)

    def remove(self, model: str, *, drain: float = CLOSE_S) -> None:
        """Stops serving a model, after so many seconds for requests on their way at most.

        Raises :class:`NotFound` for a name that there is not, and :class:`Timeout` when something was left.

        >>> server.remove("echo")
        >>> server.infer("echo", [1.0, 2.0])
        Traceback (most recent call last):
        inferlay.errors.Unavailable: model 'echo' has no version that serves
        """
        check(functions.model_remove(self._engine.handle, encode("model", model), after(drain)))

    def close(self, drain: float = CLOSE_S) -> None:
        """Stops: answers what is on its way for so many seconds at most, then what is left with errors.

        Raises :class:`Timeout`, naming the models, when a backend does not return. Closing again does nothing.

        >>> server.close(drain=1.0)
        >>> server
        <inferlay.Server, closed>
        """
        self._engine.stop(drain)

    def _forget(self) -> None:
        """Forgets handles of models that do not serve any more: who asks for these is told so."""
        change = self._engine.changes.value
        if change != self._change:
            for key, model in list(self._models.items()):
                if not model.is_ready:
                    self._models.pop(key, None)
            self._change = change

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        if not self.is_live:
            return "<inferlay.Server, closed>"
        states = ", ".join(f"{row['name']} {row['version']} {row['state']}" for row in self.models)
        return f"<inferlay.Server of {states or 'no models'}>"

    def _repr_html_(self) -> str:
        heads = ("model", "version", "state", "inputs", "outputs", "reason")
        return html.table("models", heads, [self._row(row) for row in self.models] if self.is_live else [])

    def _row(self, row: Mapping[str, Any]) -> List[object]:
        inputs = outputs = ""
        try:
            found = self.model(row["name"], row["version"])
            inputs, outputs = signature(found.inputs), signature(found.outputs)
        except Error:
            pass  # The reason stands in the row.
        return [row["name"], row["version"], row["state"], inputs, outputs, row["reason"]]

    def __reduce__(self) -> Any:
        raise TypeError("inferlay.Server: it lives in this process and is not pickled; start one where it is used")


def load(
    model: Union[Path, bytes],
    *,
    backends: Optional[Paths] = None,
    backend_options: Optional[Mapping[str, Mapping[str, Any]]] = None,
    options: Union[str, Mapping[str, Any], None] = None,
    progress: Union[bool, Report, None] = None,
) -> Model:
    """Serves one model, of a file or of the bytes of an ONNX file, on a server of its own.

    The keywords are those of :class:`Server`. The model is ready to be called; :meth:`Model.close` stops its server,
    which also goes when nothing refers to the model any more. Raises what the backend refuses the model with.

    >>> with inferlay.load(digits_onnx) as model:
    ...     model([[[[0.0] * 8] * 8]]).tensor("logits").shape
    (1, 10)
    """
    if isinstance(model, (bytes, bytearray)):
        name = "model"
        models: Union[str, Mapping[str, Files]] = {name: {"model.onnx": bytes(model)}}
    else:
        models = path("model", model, "a path, or the bytes of an ONNX file")
        name = stem(models)
    server = Server(
        models=models,
        backends=backends,
        backend_options=backend_options,
        options=options,
        strict=True,
        progress=progress,
    )
    return Model(server._engine, name, owns=True)
