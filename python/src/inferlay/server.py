"""Servers: folders and files of models, served in this process."""

from __future__ import annotations

import os
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Union

from . import html, onnxruntime, registry
from ._library import functions
from .checks import encode, path, whole
from .engine import Engine, after
from .errors import Error, check
from .metrics import MetricCounter, MetricGauge, MetricHistogram
from .model import CLOSE_S, Inputs, Model, signature
from .notices import Report, Told
from .options import Files, Options, Path, Paths
from .registry import Function, Specs
from .response import Response


class Server:
    """A server of models in this process.

    ``repository`` is a folder, or several: ``<folder>/<model>/<version>/<file>``. ``models`` are single files, or a
    mapping from names to files. ``options`` is YAML, JSON or a mapping with the keys of a server's options, such as
    ``execution_threads_max``. ``progress`` draws a bar (``True``), is told of each model (a function) or neither
    (``False``); by default there is a bar when stderr is a terminal. A model that does not load is told of by
    :attr:`models`; with ``strict`` it fails the start. ``trusted_keys`` are Ed25519 keys, 64 hexadecimal digits each,
    whose signatures under a model's ``inferlay.manifest`` count; ``require="manifest"`` or ``require="signature"``
    refuses models in folders and files that have none.

    >>> echo = {"config.yaml": {"backend": "null", "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [2]}]}}
    >>> with Server(models={"echo": echo}) as server:
    ...     server.infer("echo", {"x": [1.0, 2.0]}).tensor("x").tolist()
    [1.0, 2.0]
    """

    __slots__ = ("_engine", "_models", "__weakref__")

    def __init__(
        self,
        repository: Optional[Paths] = None,
        *,
        models: Union[Paths, Mapping[str, Files], None] = None,
        backends: Optional[Paths] = None,
        backend_options: Optional[Mapping[str, Mapping[str, Any]]] = None,
        options: Union[str, Mapping[str, Any], None] = None,
        strict: bool = False,
        trusted_keys: Union[str, Iterable[str], None] = None,
        require: Optional[str] = None,
        progress: Union[bool, Report, None] = None,
    ) -> None:
        said = Options()
        said.add_text(options)
        said.add_repositories(repository)
        said.add_models(models)
        said.add_backend_directories(backends)
        said.set_backend_options(backend_options)
        said.set_strict(strict)
        said.set_trust(trusted_keys, require)
        with Told(said.handle, progress):
            self._engine = Engine(said.handle)
        self._models: Dict[Any, Model] = {}

    def model(self, name: str, version: int = 0) -> Model:
        """A model by name: of this version, or of the highest that serves.

        Raises :class:`NotFound`, a ``KeyError`` that lists the models there are, or :class:`Unavailable`.

        >>> server.model("echo")
        <inferlay.Model 'echo': x: FP32 [2] -> x: FP32 [2]>
        >>> server.model("ecco")
        Traceback (most recent call last):
        inferlay.errors.NotFound: model 'ecco' not found; known: echo, texts
        """
        try:
            return self._models[name, version]
        except (KeyError, TypeError):
            # The latter for what is no name or number, as which it is refused now.
            pass
        made = Model(self._engine, name, version)
        return self._models.setdefault((made.name, made._wanted), made)

    def infer(self, model: str, inputs: Union[Inputs, Any], *, version: int = 0, **asking: Any) -> Response:
        """Asks a model and waits for the answer, see :meth:`Model.infer`.

        >>> server.infer("echo", {"x": [1.0, 2.0]}, timeout=5.0)["x"].tolist()
        [1.0, 2.0]
        """
        return self.model(model, version).infer(inputs, **asking)

    async def infer_async(self, model: str, inputs: Union[Inputs, Any], *, version: int = 0, **asking: Any) -> Response:
        """Asks a model and awaits the answer, see :meth:`Model.infer_async`.

        >>> import asyncio
        >>> asyncio.run(server.infer_async("echo", [1.0, 2.0]))["x"].tolist()
        [1.0, 2.0]
        """
        return await self.model(model, version).infer_async(inputs, **asking)

    def load(self, file: Path) -> Model:
        """Loads one more model, of one file, named by the file's stem.

        Raises what the backend refuses the file with, and :class:`AlreadyExists` for a name that is taken.

        >>> server.load(digits_onnx)
        <inferlay.Model 'model': image: FP32 [-1, 1, 8, 8] -> logits: FP32 [-1, 10]>
        """
        place = path("file", file)
        check(functions.model_load(self._engine.handle, encode("file", place)))
        self._engine.change = object()
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
        try:
            check(functions.model_remove(self._engine.handle, encode("model", model), after(drain)))
        finally:
            self._engine.change = object()
            # Others may have asked for it meanwhile.
            for key in [key for key in list(self._models) if key[0] == model]:
                self._models.pop(key, None)

    @property
    def models(self) -> List[Dict[str, Any]]:
        """Every version of every model: name, version, state and the reason for it.

        >>> server.models[0]
        {'name': 'echo', 'version': 1, 'state': 'READY', 'reason': ''}
        """
        rows: List[Dict[str, Any]] = self._engine.json(functions.server_models)
        return [{**row, "reason": onnxruntime.advised(row["reason"])} for row in rows]

    @property
    def metadata(self) -> Dict[str, Any]:
        """Name, version and extensions, in the form of KServe v2.

        >>> server.metadata["name"]
        'inferlay'
        """
        return self._engine.json(functions.server_metadata)  # type: ignore[no-any-return]

    @property
    def statistics(self) -> List[Dict[str, Any]]:
        """What every model has done since it was loaded; times are sums over requests, in nanoseconds.

        The form is that of Triton's statistics.

        >>> [(one["name"], one["inference_count"]) for one in server.statistics]
        [('echo', 1), ('texts', 0)]
        """
        return self._engine.json(functions.server_statistics)["model_stats"]  # type: ignore[no-any-return]

    @property
    def backends(self) -> List[Dict[str, Any]]:
        """The backends that models may name.

        >>> "null" in [backend["name"] for backend in server.backends]
        True
        """
        return self._engine.json(functions.server_backends)  # type: ignore[no-any-return]

    @property
    def devices(self) -> List[Dict[str, Any]]:
        """What models are executed on.

        >>> server.devices[0]["kind"]
        'CPU'
        """
        return self._engine.json(functions.server_devices)  # type: ignore[no-any-return]

    @property
    def metrics(self) -> str:
        """What the models have done and how they are, in the text format of Prometheus.

        The machine and the application's own metrics stand there too. Nothing listens: serve the text, whose type is
        :data:`METRICS_CONTENT_TYPE`, from a port of your own.

        >>> [line for line in server.metrics.splitlines() if "success{" in line and "echo" in line]
        ['nv_inference_request_success{model="echo",version="1"} 1']
        """
        return self._engine.text(functions.server_metrics)

    def metric_counter(self, name: str, help: str = "", labels: Optional[Mapping[str, str]] = None) -> MetricCounter:
        """A counter of the application, shown in :attr:`metrics` as long as anything refers to it.

        Whoever asks for the same name and labels gets the same counter. Raises :class:`InvalidArgument` for a name that
        Prometheus does not read or that starts with ``nv_`` or ``inferlay_``, and :class:`AlreadyExists` for a name
        that is another kind's.

        >>> pages = server.metric_counter("app_pages_total", "Pages that were read", {"format": "pdf"})
        >>> pages.increment()
        >>> 'app_pages_total{format="pdf"} 1' in server.metrics
        True
        """
        return MetricCounter(self._engine, name, help, labels)

    def metric_gauge(self, name: str, help: str = "", labels: Optional[Mapping[str, str]] = None) -> MetricGauge:
        """A gauge of the application, see :meth:`metric_counter`.

        >>> sessions = server.metric_gauge("app_sessions", "Sessions that are open")
        >>> sessions.set(3)
        >>> "app_sessions 3" in server.metrics
        True
        """
        return MetricGauge(self._engine, name, help, labels)

    def metric_histogram(
        self, name: str, help: str = "", labels: Optional[Mapping[str, str]] = None, *, bounds: Sequence[float]
    ) -> MetricHistogram:
        """A histogram of the application with these upper bounds, see :meth:`metric_counter`.

        >>> seconds = server.metric_histogram("app_seconds", "Time for parsing", bounds=[0.1, 1])
        >>> seconds.observe(0.5)
        >>> 'app_seconds_bucket{le="1"} 1' in server.metrics
        True
        """
        return MetricHistogram(self._engine, name, help, labels, bounds)

    @property
    def traces(self) -> Dict[str, Any]:
        """The last requests that were traced, as Perfetto and Chrome read it; their times are in microseconds.

        >>> response = server.infer("echo", [1.0, 2.0], traced=True)
        >>> "traceEvents" in server.traces
        True
        """
        return self._engine.json(functions.server_traces)  # type: ignore[no-any-return]

    def trace_every(self, requests: int) -> None:
        """Traces one in so many requests from now on; 0 for those only that ask for it.

        >>> server.trace_every(100)
        """
        check(functions.server_set_trace_every(self._engine.handle, whole("requests", requests, 32)))

    @property
    def is_live(self) -> bool:
        """Whether it takes requests at all.

        >>> server.is_live
        True
        """
        return bool(functions.server_is_live(self._engine.handle))

    @property
    def is_ready(self) -> bool:
        """Whether it is live and every model of it serves.

        >>> server.is_ready
        True
        """
        return bool(functions.server_is_ready(self._engine.handle))

    def close(self, drain: float = CLOSE_S) -> None:
        """Stops: answers what is on its way for so many seconds at most, then what is left with errors.

        Raises :class:`Timeout`, naming the models, when a backend does not return. Closing again does nothing.

        >>> server.close(drain=1.0)
        >>> server
        <inferlay.Server, closed>
        """
        self._engine.stop(drain)

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


def stem(place: str) -> str:
    """The name of the model that a file is.

    >>> stem("models/digits.onnx")
    'digits'
    """
    return os.path.splitext(os.path.basename(place))[0]
