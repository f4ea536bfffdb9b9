"""inferlay: a model server that is a library.

>>> import inferlay
>>> echo = {"config.yaml": {"backend": "null", "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [2]}]}}
>>> with inferlay.Server(models={"echo": echo}) as server:
...     model = server.model("echo")
...     model(x=[1.0, 2.0]).tensor("x").tolist()
[1.0, 2.0]

A server loads models from folders, files or memory and answers requests in this process: by a waiting call
(:meth:`Model.infer`), in asyncio (:meth:`Model.infer_async`), by futures (:meth:`Model.submit`). Outputs are views of
the memory that the backend wrote; inputs are lent, not copied.

A process that started a server must not use it, or start another one, in the child of a ``fork``: every call fails
there with :class:`FailedPrecondition`. Use the start method ``spawn`` of :mod:`multiprocessing`.

Public are the names of this module, and :mod:`inferlay.onnx_backend` and :mod:`inferlay.cli`. The examples in their
docstrings run against a ``server`` of two models that echo: ``echo`` takes two floats ``x``, ``texts`` any number of
texts; ``model`` is the former, and ``response`` what it answers to ``[1.0, 2.0]``.
"""

from ._library import functions as _functions
from .changes import Changes, Subscription
from .dtypes import DataType
from .errors import (
    AlreadyExists,
    Cancelled,
    Error,
    FailedPrecondition,
    InstanceLost,
    Internal,
    InvalidArgument,
    NotFound,
    Panic,
    ResourceExhausted,
    Timeout,
    Unavailable,
    Unknown,
    Unsupported,
)
from .metrics import METRICS_CONTENT_TYPE as METRICS_CONTENT_TYPE
from .metrics import MetricCounter, MetricGauge, MetricHistogram
from .model import Asking, Model, Port
from .notices import Change, Progress
from .operations import Operation
from .repositories import Repository
from .response import Response
from .seals import Finding, Sealed, lint, seal, signing_key
from .server import Server, load
from .sources import Source
from .tensors import Tensor

__version__: str = _functions.version().decode()

__all__ = [
    "AlreadyExists",
    "Asking",
    "Cancelled",
    "Change",
    "Changes",
    "DataType",
    "Error",
    "FailedPrecondition",
    "Finding",
    "InstanceLost",
    "Internal",
    "InvalidArgument",
    "MetricCounter",
    "MetricGauge",
    "MetricHistogram",
    "Model",
    "NotFound",
    "Operation",
    "Panic",
    "Port",
    "Progress",
    "Repository",
    "ResourceExhausted",
    "Response",
    "Sealed",
    "Server",
    "Source",
    "Subscription",
    "Tensor",
    "Timeout",
    "Unavailable",
    "Unknown",
    "Unsupported",
    "lint",
    "load",
    "seal",
    "signing_key",
]
