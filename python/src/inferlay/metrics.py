"""Metrics of the application, shown beside those of the engine in :meth:`Server.metrics`."""

from __future__ import annotations

import ctypes
from typing import Any, Mapping, Optional, Sequence

from . import _ffi
from ._library import functions
from .checks import encode
from .engine import Engine
from .errors import InvalidArgument, check

# What `Server.metrics` gives, for the header `Content-Type` of whoever serves it.
METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Metric:
    """A handle of a metric: the last one to go takes it out of the server's metrics."""

    __slots__ = ("_handle", "__weakref__")
    _kind = _ffi.METRIC_COUNTER

    def __init__(
        self,
        engine: Engine,
        name: str,
        help: str,
        labels: Optional[Mapping[str, str]],
        bounds: Sequence[float] = (),
    ) -> None:
        texts = [encode("labels", text) for pair in (labels or {}).items() for text in pair]
        held = (ctypes.c_char_p * len(texts))(*texts)
        numbers = (ctypes.c_double * len(bounds))(*(number("bounds", bound) for bound in bounds))
        name_text, help_text = ctypes.c_char_p(encode("name", name)), ctypes.c_char_p(encode("help", help))
        definition = _ffi.MetricDefinition(
            struct_size=ctypes.sizeof(_ffi.MetricDefinition),
            kind=self._kind,
            name=ctypes.cast(name_text, ctypes.c_void_p),
            help=ctypes.cast(help_text, ctypes.c_void_p),
            labels=ctypes.cast(held, ctypes.c_void_p),
            labels_len=len(texts) // 2,
            bounds=ctypes.cast(numbers, ctypes.c_void_p),
            bounds_len=len(numbers),
        )
        place = ctypes.c_void_p()
        check(functions.metric_new(engine.handle, ctypes.byref(definition), ctypes.byref(place)))
        self._handle = place.value or 0

    def __del__(self, free: Any = functions.metric_free) -> None:
        if hasattr(self, "_handle"):
            free(self._handle)

    def __reduce__(self) -> Any:
        raise TypeError(f"inferlay.{type(self).__name__}: it lives in this process and is not pickled")


class _Valued(_Metric):
    """A metric of one value."""

    __slots__ = ()

    def increment(self, by: float = 1.0) -> None:
        """Adds to it; a counter never falls.

        >>> pages = server.metric_counter("app_pages_total")
        >>> pages.increment(2)
        >>> pages.value
        2.0
        """
        check(functions.metric_increment(self._handle, number("by", by)))

    @property
    def value(self) -> float:
        """Its value.

        >>> server.metric_gauge("app_sessions").value
        0.0
        """
        place = ctypes.c_double()
        check(functions.metric_value(self._handle, ctypes.byref(place)))
        return place.value

    def __repr__(self) -> str:
        return f"<inferlay.{type(self).__name__} {self.value:g}>"


class MetricCounter(_Valued):
    """A metric that only rises, such as a number of events; see :meth:`Server.metric_counter`.

    >>> server.metric_counter("app_pages_total", labels={"format": "pdf"})
    <inferlay.MetricCounter 0>
    """

    __slots__ = ()


class MetricGauge(_Valued):
    """A metric that rises and falls, such as a number of sessions; see :meth:`Server.metric_gauge`.

    >>> server.metric_gauge("app_sessions", "Sessions that are open")
    <inferlay.MetricGauge 0>
    """

    __slots__ = ()
    _kind = _ffi.METRIC_GAUGE

    def set(self, value: float) -> None:
        """Sets it.

        >>> sessions = server.metric_gauge("app_sessions")
        >>> sessions.set(3)
        >>> sessions.value
        3.0
        """
        check(functions.metric_set(self._handle, number("value", value)))


class MetricHistogram(_Metric):
    """A metric that counts values by their size; see :meth:`Server.metric_histogram`.

    >>> server.metric_histogram("app_seconds", bounds=[0.1, 1])
    <inferlay.MetricHistogram>
    """

    __slots__ = ()
    _kind = _ffi.METRIC_HISTOGRAM

    def observe(self, value: float) -> None:
        """Counts a value.

        >>> seconds = server.metric_histogram("app_seconds", bounds=[0.1, 1])
        >>> seconds.observe(0.5)
        >>> 'app_seconds_bucket{le="1"} 1' in server.metrics()
        True
        """
        check(functions.metric_observe(self._handle, number("value", value)))

    def __repr__(self) -> str:
        return "<inferlay.MetricHistogram>"


def number(what: str, value: Any) -> float:
    """A number as a double; also one of numpy.

    >>> number("value", 2)
    2.0
    """
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InvalidArgument(f"{what}: found {type(value).__name__}, expected a number") from None
