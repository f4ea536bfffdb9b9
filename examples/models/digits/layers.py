"""The layers of the handwritten-digit network, forwards and backwards, written out in NumPy.

Each remembers in `forward` what its `backward` needs, so the two are called in pairs.
`backward` takes the gradient of the loss with respect to the layer's output, fills `grads`
(in the order of `params`) and returns the gradient with respect to the layer's input.
`train.py` beside this file trains them and writes them as ONNX.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]

SIDE = 8  # An image is SIDE x SIDE pixels.
CLASSES = 10
KERNEL = 3  # Every convolution is KERNEL x KERNEL with the padding that keeps the size.


class Layer(Protocol):
    """What the training loop and the exporter ask of a layer."""

    op: str
    attributes: dict[str, int | list[int]]
    params: list[Floats]
    grads: list[Floats]

    def forward(self, x: Floats) -> Floats: ...

    def backward(self, grad: Floats) -> Floats: ...


def he_normal(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int) -> Floats:
    """Weights whose scale keeps the activations' variance through a ReLU network."""
    scale = np.float32(np.sqrt(2.0 / fan_in))
    return rng.standard_normal(shape, dtype=np.float32) * scale


class Conv:
    """A 3x3 convolution of stride 1 that keeps height and width."""

    op = "Conv"

    def __init__(
        self, rng: np.random.Generator, channels_in: int, channels: int
    ) -> None:
        shape = (channels, channels_in, KERNEL, KERNEL)
        weight = he_normal(rng, shape, channels_in * KERNEL * KERNEL)
        self.params: list[Floats] = [weight, np.zeros(channels, np.float32)]
        self.grads: list[Floats] = []
        pad = KERNEL // 2
        self.attributes: dict[str, int | list[int]] = {
            "kernel_shape": [KERNEL, KERNEL],
            "pads": [pad, pad, pad, pad],
            "strides": [1, 1],
        }

    def forward(self, x: Floats) -> Floats:
        """Unfold every 3x3 patch into a row; the convolution is then one product."""
        n, _, height, width = x.shape
        weight, bias = self.params
        pad = KERNEL // 2
        padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        patches = sliding_window_view(padded, (KERNEL, KERNEL), axis=(2, 3))
        rows = patches.transpose(0, 2, 3, 1, 4, 5).reshape(n * height * width, -1)
        self.rows = rows
        out = rows @ weight.reshape(len(weight), -1).T + bias
        return out.reshape(n, height, width, -1).transpose(0, 3, 1, 2)

    def backward(self, grad: Floats) -> Floats:
        """The products of `forward` reversed, then the patches folded back together."""
        n, channels, height, width = grad.shape
        weight = self.params[0]
        flat = grad.transpose(0, 2, 3, 1).reshape(-1, channels)
        self.grads = [(flat.T @ self.rows).reshape(weight.shape), flat.sum(axis=0)]
        patches = (flat @ weight.reshape(channels, -1)).reshape(
            n, height, width, weight.shape[1], KERNEL, KERNEL
        )
        return self._fold(patches.transpose(0, 3, 4, 5, 1, 2))

    @staticmethod
    def _fold(patches: Floats) -> Floats:
        """Add up each pixel's share of every patch it is in, and drop the padding."""
        n, channels, _, _, height, width = patches.shape
        padded = np.zeros(
            (n, channels, height + KERNEL - 1, width + KERNEL - 1), np.float32
        )
        for row in range(KERNEL):
            for column in range(KERNEL):
                window = padded[:, :, row : row + height, column : column + width]
                window += patches[:, :, row, column]
        pad = KERNEL // 2
        return padded[:, :, pad:-pad, pad:-pad]


class Relu:
    """max(x, 0), element by element."""

    op = "Relu"

    def __init__(self) -> None:
        self.attributes: dict[str, int | list[int]] = {}
        self.params: list[Floats] = []
        self.grads: list[Floats] = []

    def forward(self, x: Floats) -> Floats:
        self.positive = x > 0
        return x * self.positive

    def backward(self, grad: Floats) -> Floats:
        return grad * self.positive


class MaxPool:
    """The largest of each 2x2 square; halves height and width, which must be even."""

    op = "MaxPool"

    def __init__(self) -> None:
        self.attributes: dict[str, int | list[int]] = {
            "kernel_shape": [2, 2],
            "strides": [2, 2],
        }
        self.params: list[Floats] = []
        self.grads: list[Floats] = []

    def forward(self, x: Floats) -> Floats:
        n, channels, height, width = x.shape
        squares = x.reshape(n, channels, height // 2, 2, width // 2, 2)
        squares = squares.transpose(0, 1, 2, 4, 3, 5).reshape(
            n, channels, height // 2, width // 2, 4
        )
        self.winner = squares.argmax(axis=-1)[..., np.newaxis]
        return np.take_along_axis(squares, self.winner, axis=-1)[..., 0]

    def backward(self, grad: Floats) -> Floats:
        """Only the pixel that won its square had any influence on the output."""
        n, channels, height, width = grad.shape
        squares = np.zeros((*grad.shape, 4), np.float32)
        np.put_along_axis(squares, self.winner, grad[..., np.newaxis], axis=-1)
        squares = squares.reshape(n, channels, height, width, 2, 2)
        return squares.transpose(0, 1, 2, 4, 3, 5).reshape(
            n, channels, height * 2, width * 2
        )


class Flatten:
    """[n, channels, height, width] to [n, channels * height * width].

    ONNX's Flatten takes no shape tensor, unlike Reshape, so the batch dimension stays a
    plain symbol in the exported graph and every engine accepts any batch size.
    """

    op = "Flatten"

    def __init__(self) -> None:
        self.attributes: dict[str, int | list[int]] = {"axis": 1}
        self.params: list[Floats] = []
        self.grads: list[Floats] = []

    def forward(self, x: Floats) -> Floats:
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, grad: Floats) -> Floats:
        return grad.reshape(self.shape)


class Gemm:
    """A fully connected layer; its weight is stored as [outputs, inputs]."""

    op = "Gemm"

    def __init__(self, rng: np.random.Generator, inputs: int, outputs: int) -> None:
        weight = he_normal(rng, (outputs, inputs), inputs)
        self.params: list[Floats] = [weight, np.zeros(outputs, np.float32)]
        self.grads: list[Floats] = []
        self.attributes: dict[str, int | list[int]] = {"transB": 1}

    def forward(self, x: Floats) -> Floats:
        self.x = x
        weight, bias = self.params
        return x @ weight.T + bias

    def backward(self, grad: Floats) -> Floats:
        self.grads = [grad.T @ self.x, grad.sum(axis=0)]
        return grad @ self.params[0]


def build_network(rng: np.random.Generator) -> list[Layer]:
    """The layers, about 16 000 weights.

    There is no second pooling: of the 4x4 grid left after the first, no pixel is to
    spare. Cross-validation on the training images alone agreed.
    """
    return [
        Conv(rng, 1, 16),
        Relu(),
        Conv(rng, 16, 24),
        Relu(),
        MaxPool(),
        Conv(rng, 24, 32),
        Relu(),
        Flatten(),
        Gemm(rng, 32 * (SIDE // 2) ** 2, CLASSES),
    ]
