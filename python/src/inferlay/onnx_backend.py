"""The interface of :class:`onnx.backend.base.Backend` over a server, for programs and tests that are written for it.

>>> import onnx
>>> InferlayBackend.supports_device("CPU")
True

A model that is prepared has a server of its own, which goes with it, and is run as it is, without batches.
``onnx.backend.test.BackendTest`` takes this module as it is. What the engine has no tensors for (sequences, optional
values, types of less than 8 bits) is refused by :class:`inferlay.Unsupported` when a model is prepared.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

try:
    import numpy
    import onnx
    from onnx.backend.base import Backend, BackendRep, Device, DeviceType
except ImportError as error:
    raise ImportError(f"inferlay.onnx_backend: it needs the packages onnx and numpy: {error}") from error

from .dtypes import DataType
from .errors import InvalidArgument, Unsupported
from .model import Model
from .server import Server


class InferlayRep(BackendRep):  # type: ignore[misc,unused-ignore]
    """A model that is ready to be run, with a server of its own.

    ``model`` is the :class:`inferlay.Model`.

    >>> prepared = InferlayBackend.prepare(digits_onnx)
    >>> prepared.model.outputs["logits"].shape
    (-1, 10)
    """

    def __init__(self, model: Model) -> None:
        self.model = model

    def run(self, inputs: Any, **asking: Any) -> Tuple[Any, ...]:
        """Runs the model with arrays in the order of its inputs, a mapping, or the one array that it takes.

        Gives arrays in the order of the outputs; strings are ``str``. The keywords are those of :meth:`Model.infer`.

        >>> prepared = InferlayBackend.prepare(digits_onnx)
        >>> [array.shape for array in prepared.run([numpy.zeros((2, 1, 8, 8), "float32")])]
        [(2, 10)]
        """
        response = self.model.infer(self._named(inputs), **asking)
        return tuple(array_of(response.tensor(name)) for name in response)

    def _named(self, inputs: Any) -> Mapping[str, Any]:
        if isinstance(inputs, Mapping):
            return inputs
        arrays: Sequence[Any] = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        names = [*self.model.inputs]
        if len(arrays) != len(names):
            raise InvalidArgument(f"found {len(arrays)} inputs, expected {len(names)}: {', '.join(names)}")
        return {name: array if isinstance(array, list) else numpy.asarray(array) for name, array in zip(names, arrays)}


def array_of(tensor: Any) -> Any:
    """An output as ONNX has it: its strings are texts."""
    array = tensor.numpy()
    if tensor.dtype is DataType.BYTES:
        texts = numpy.empty(array.shape, object)
        texts.ravel()[:] = [text.decode() for text in array.ravel()]
        return texts
    return array


class InferlayBackend(Backend):  # type: ignore[misc,unused-ignore]
    """What prepares models. ``options`` are keywords of :class:`inferlay.Server` for every server that it starts.

    >>> InferlayBackend.options
    {'progress': False}
    """

    options: Dict[str, Any] = {"progress": False}

    @classmethod
    def is_compatible(cls, model: Any, device: str = "CPU", **_: Any) -> bool:
        """Whether a model can be tried on a device; what it is made of is seen when it is prepared.

        >>> InferlayBackend.is_compatible(digits_onnx)
        True
        """
        return cls.supports_device(device)

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **options: Any) -> InferlayRep:
        """Loads a model: a ``ModelProto``, its bytes, or the path of its file.

        The keywords are those of :class:`inferlay.Server`. Raises :class:`inferlay.Unsupported` for another device and
        for what the engine has no tensors for, and what the backend refuses the model with.

        >>> InferlayBackend.prepare(digits_onnx).model
        <inferlay.Model 'model': image: FP32 [-1, 1, 8, 8] -> logits: FP32 [-1, 10]>
        """
        if not cls.supports_device(device):
            raise Unsupported(f"found device {device!r}, expected 'CPU'")
        if not isinstance(model, (bytes, onnx.ModelProto)):
            model = onnx.load(model)
        if isinstance(model, onnx.ModelProto):
            onnx.checker.check_model(model)
            model = model.SerializeToString()
        # A batch has rows, at least one and not too many; a run of ONNX takes any shape.
        files = {"model.onnx": model, "config.yaml": {"max_batch_size": 0}}
        server = Server(models={"model": files}, strict=True, **{**cls.options, **options})
        return InferlayRep(Model(server._engine, "model", owns=True))

    @classmethod
    def run_model(cls, model: Any, inputs: Any, device: str = "CPU", **options: Any) -> Tuple[Any, ...]:
        """Prepares a model and runs it once.

        >>> (logits,) = InferlayBackend.run_model(digits_onnx, numpy.zeros((1, 1, 8, 8), "float32"))
        >>> logits.shape
        (1, 10)
        """
        prepared = cls.prepare(model, device, **options)
        with prepared.model:
            return prepared.run(inputs)

    @classmethod
    def run_node(
        cls,
        node: Any,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Optional[Sequence[Tuple[Any, Sequence[int]]]] = None,
        **options: Any,
    ) -> Tuple[Any, ...]:
        """Runs one operator; ``opset_version`` is that of its domain, by default the highest that onnx knows.

        >>> add = onnx.helper.make_node("Add", ["a", "b"], ["c"])
        >>> one = numpy.ones(2, "float32")
        >>> InferlayBackend.run_node(add, [one, one], opset_version=14)
        (array([2., 2.], dtype=float32),)
        """
        opset = options.pop("opset_version", None)
        return cls.run_model(model_of(node, inputs, opset, outputs_info), inputs, device, **options)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether models run there: on the CPU.

        >>> InferlayBackend.supports_device("CPU"), InferlayBackend.supports_device("CUDA")
        (True, False)
        """
        try:
            return bool(Device(device).type == DeviceType.CPU)
        except (AttributeError, ValueError):
            return False


def model_of(node: Any, inputs: Any, opset: Optional[int], outputs_info: Optional[Sequence[Any]] = None) -> Any:
    """A model of one operator, whose types are those of its inputs."""
    arrays: List[Any] = [*map(numpy.asarray, inputs if isinstance(inputs, (list, tuple)) else [inputs])]
    names = [name for name in node.input if name]
    given = [tensor_info(name, array.dtype, array.shape) for name, array in zip(names, arrays)]
    made = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    if outputs_info is not None:
        made = [tensor_info(info.name, dtype, shape) for info, (dtype, shape) in zip(made, outputs_info)]
    highest = onnx.defs.onnx_opset_version() if node.domain in ("", "ai.onnx") else 1
    imports = [onnx.helper.make_opsetid(node.domain, opset or highest)]
    graph = onnx.helper.make_graph([node], "node", given, made)
    ir_version = onnx.helper.find_min_ir_version_for(imports, ignore_unknown=True)
    model = onnx.helper.make_model(graph, ir_version=ir_version, opset_imports=imports)
    return model if outputs_info is not None else onnx.shape_inference.infer_shapes(model, strict_mode=True)


def tensor_info(name: str, dtype: Any, shape: Sequence[Union[int, str]]) -> Any:
    """An input or output of a model, of a type of numpy."""
    text = numpy.dtype(dtype).kind in "OSUT"
    kind = onnx.TensorProto.STRING if text else onnx.helper.np_dtype_to_tensor_dtype(numpy.dtype(dtype))
    return onnx.helper.make_tensor_value_info(name, kind, shape)


is_compatible = InferlayBackend.is_compatible
prepare = InferlayBackend.prepare
run = run_model = InferlayBackend.run_model
run_node = InferlayBackend.run_node
supports_device = InferlayBackend.supports_device

__all__ = [
    "InferlayBackend",
    "InferlayRep",
    "is_compatible",
    "prepare",
    "run",
    "run_model",
    "run_node",
    "supports_device",
]
