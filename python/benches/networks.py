"""The networks that are asked: digits of the examples, one of the shape of ResNet-18, and one that gains by batches."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

import numpy as np

CORES = len(os.sched_getaffinity(0))
ROOT = Path(__file__).resolve().parents[2]


class Network(NamedTuple):
    """A file, its input, the shape of one row, the largest batch of the engine, and how many it runs at once."""

    name: str
    file: Path
    input: str
    shape: Tuple[int, ...]
    batch_max: int
    instances: int

    def rows(self, count: int) -> Any:
        """Rows of some pattern; a network without branches takes the same time for any."""
        size = count * int(np.prod(self.shape))
        return (np.arange(size, dtype=np.float32) % 17 / 16).reshape(count, *self.shape)

    def models(self) -> Dict[str, Any]:
        """Two models of the file: one for requests that come alone, and one that makes batches of those that do not."""
        data = self.file.read_bytes()
        alone: Dict[str, Any] = {"backend": "onnxruntime", "max_batch_size": 1}
        batching = {"max_queue_delay_microseconds": 1000, "preferred_batch_size": [self.batch_max]}
        batched = {"backend": "onnxruntime", "max_batch_size": self.batch_max, "dynamic_batching": batching}
        batched["instance_group"] = [{"count": self.instances, "kind": "KIND_CPU"}]
        return {
            f"{self.name}-alone": {"config.yaml": alone, "model.onnx": data},
            f"{self.name}-batched": {"config.yaml": batched, "model.onnx": data},
        }


def layers(file: Path, width: int, depth: int) -> None:
    """Writes a chain of dense layers with random weights: reading them takes a batch as long as a single row."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(32)
    nodes: List[Any] = []
    weights: List[Any] = []
    x = "x"
    for index in range(depth):
        scale = np.float32(np.sqrt(2 / width))
        values = random.standard_normal((width, width), dtype=np.float32) * scale
        weights.append(numpy_helper.from_array(values, f"weight{index}"))
        nodes.append(helper.make_node("MatMul", [x, f"weight{index}"], [f"product{index}"]))
        x = "y" if index == depth - 1 else f"layer{index}"
        nodes.append(helper.make_node("Relu", [f"product{index}"], [x]))
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width]) for name in "xy"]
    graph = helper.make_graph(nodes, "layers", ports[:1], ports[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(file))


def digits(_: Path) -> Network:
    """The network of the examples; Python keeps one core busy beside it."""
    return Network("digits", ROOT / "examples/models/digits/1/model.onnx", "image", (1, 8, 8), 32, 1)


def resnet18(folder: Path) -> Network:
    """The network of the benches in Rust."""
    file = folder / "resnet18.onnx"
    subprocess.run([sys.executable, str(ROOT / "benches/native/resnet18.py"), str(file)], check=True)
    return Network("resnet18", file, "image", (3, 224, 224), 8, CORES)


def dense(folder: Path) -> Network:
    """Five layers of 2048 by 2048: 84 MB of weights, more than caches hold."""
    file = folder / "dense.onnx"
    layers(file, 2048, 5)
    return Network("dense", file, "x", (2048,), 32, CORES)


NETWORKS = {"digits": digits, "resnet18": resnet18, "dense": dense}
