"""Writes a network of the shape of ResNet-18 (K. He et al., 2015) with random weights from a fixed seed, as ONNX.

Usage: resnet18.py FILE. The input is `image`, FP32 [batch, 3, 224, 224]; the output is `scores`, FP32 [batch, 1000].
"""

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

random = np.random.default_rng(18)
nodes, weights = [], []


def add(operator, inputs, **attributes):
    name = f"{operator.lower()}{len(nodes)}"
    nodes.append(helper.make_node(operator, inputs, [name], **attributes))
    return name


def weight(*shape):
    name = f"weight{len(weights)}"
    # He's initialisation keeps the values of a deep network from growing or vanishing.
    scale = np.sqrt(2.0 / np.prod(shape[1:]))
    values = (random.standard_normal(shape) * scale).astype(np.float32)
    weights.append(numpy_helper.from_array(values, name))
    return name


def bias(length):
    name = f"weight{len(weights)}"
    weights.append(numpy_helper.from_array(np.zeros(length, np.float32), name))
    return name


def conv(x, inner, outer, kernel, stride):
    pad = [kernel // 2] * 4
    inputs = [x, weight(outer, inner, kernel, kernel), bias(outer)]
    return add("Conv", inputs, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pad)


def block(x, inner, outer, stride):
    y = add("Relu", [conv(x, inner, outer, 3, stride)])
    y = conv(y, outer, outer, 3, 1)
    if stride != 1 or inner != outer:
        x = conv(x, inner, outer, 1, stride)
    return add("Relu", [add("Add", [x, y])])


x = add("Relu", [conv("image", 3, 64, 7, 2)])
x = add("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
inner = 64
for stage, outer in enumerate([64, 128, 256, 512]):
    for first in (True, False):
        x = block(x, inner, outer, 2 if first and stage > 0 else 1)
        inner = outer
x = add("Flatten", [add("GlobalAveragePool", [x])])
nodes.append(helper.make_node("Gemm", [x, weight(1000, 512), bias(1000)], ["scores"], transB=1))

graph = helper.make_graph(
    nodes,
    "resnet18",
    [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 224, 224])],
    [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 1000])],
    weights,
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
onnx.checker.check_model(model)
onnx.save(model, sys.argv[1])
