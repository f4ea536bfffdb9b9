"""What a server says of itself: its models, what they have done, metrics, traces, and whether it is ready.

Each is asked of the library when it is read; nothing is kept.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence

from . import onnxruntime
from ._library import functions
from .checks import whole
from .engine import Engine
from .errors import check
from .metrics import MetricCounter, MetricGauge, MetricHistogram


class Readings:
    """The part of :class:`Server` that only tells."""

    __slots__ = ("_engine",)
    _engine: Engine

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

    def metrics(self) -> str:
        """What the models have done and how they are, in the text format of Prometheus.

        The machine and the application's own metrics stand there too. Nothing listens: serve the text, whose type is
        :data:`METRICS_CONTENT_TYPE`, from a port of your own.

        >>> [line for line in server.metrics().splitlines() if "success{" in line and "echo" in line]
        ['nv_inference_request_success{model="echo",version="1"} 1']
        """
        return self._engine.text(functions.server_metrics)

    def metric_counter(self, name: str, help: str = "", labels: Optional[Mapping[str, str]] = None) -> MetricCounter:
        """A counter of the application, shown in :meth:`metrics` as long as anything refers to it.

        Whoever asks for the same name and labels gets the same counter. Raises :class:`InvalidArgument` for a name that
        Prometheus does not read or that starts with ``nv_`` or ``inferlay_``, and :class:`AlreadyExists` for a name
        that is another kind's.

        >>> pages = server.metric_counter("app_pages_total", "Pages that were read", {"format": "pdf"})
        >>> pages.increment()
        >>> 'app_pages_total{format="pdf"} 1' in server.metrics()
        True
        """
        return MetricCounter(self._engine, name, help, labels)

    def metric_gauge(self, name: str, help: str = "", labels: Optional[Mapping[str, str]] = None) -> MetricGauge:
        """A gauge of the application, see :meth:`metric_counter`.

        >>> sessions = server.metric_gauge("app_sessions", "Sessions that are open")
        >>> sessions.set(3)
        >>> "app_sessions 3" in server.metrics()
        True
        """
        return MetricGauge(self._engine, name, help, labels)

    def metric_histogram(
        self, name: str, help: str = "", labels: Optional[Mapping[str, str]] = None, *, bounds: Sequence[float]
    ) -> MetricHistogram:
        """A histogram of the application with these upper bounds, see :meth:`metric_counter`.

        >>> seconds = server.metric_histogram("app_seconds", "Time for parsing", bounds=[0.1, 1])
        >>> seconds.observe(0.5)
        >>> 'app_seconds_bucket{le="1"} 1' in server.metrics()
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

    def paging(self) -> Dict[str, int]:
        """What paging has done, see ``memory_budget``.

        >>> server.paging()["budget_bytes"]
        0
        """
        return self._engine.json(functions.server_paging)  # type: ignore[no-any-return]

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
