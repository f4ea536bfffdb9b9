"""Train the handwritten-digit network of this folder and write every file it serves.

The network is a small convolutional classifier for the 8x8 digits that ship inside
scikit-learn. Training is written out in NumPy (convolution by im2col in layers.py, Adam
here), so that nothing larger than NumPy is needed to retrain it. The trained weights are
exported to ONNX, the exported file is measured with ONNX Runtime on images that training
never saw, and only a model that is accurate enough is written.

Files written, below the output folder (this script's own folder unless told otherwise):

    1/model.onnx          the network, version 1 of the model
    test_images.bin       the held-out images and their labels
    expected.bin          ONNX Runtime's answer for each held-out image
    expected_logits.bin   ONNX Runtime's ten scores for each held-out image

README.md describes the three .bin formats byte by byte.

Requirements: Python 3.11 or newer and these packages (the committed files were made
with exactly these versions; others close by should do). threadpoolctl, imported as
well, comes with scikit-learn.

    pip install numpy==2.4.6 scikit-learn==1.9.1 onnx==1.23.2 onnxruntime==1.31.1

How to run (about half a minute on one core, no network access needed):

    python train.py
    python train.py --output-dir retrained --seed 7 --epochs 20

The same versions, arguments and processor give the same bytes. Another processor may
round differently in the last bit, which training amplifies into different weights.
"""

from __future__ import annotations

import argparse
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import onnx
import onnxruntime as ort
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from layers import CLASSES, SIDE, Floats, Layer, build_network

Bytes: TypeAlias = NDArray[np.uint8]

PIXEL_MAX = 16  # Pixels are whole numbers from 0 (paper) to 16 (ink).
HELD_OUT = 0.25
SMOOTHING = 0.1  # See `cross_entropy`.
# The split has a seed of its own, so that --seed retrains against the same test images.
SPLIT_SEED = 2024
MAGIC = b"DIGITS01"


class Digits(NamedTuple):
    """Images of shape [n, 1, 8, 8] with pixels 0..16, and their labels of shape [n]."""

    images: Bytes
    labels: Bytes


# ------------------------------------------------------------------------------------
# Training.
# ------------------------------------------------------------------------------------


class Adam:
    """Adam with decoupled weight decay (AdamW), which updates arrays in place."""

    def __init__(self, params: list[Floats], weight_decay: float = 1e-3) -> None:
        self.params = params
        self.weight_decay = weight_decay
        self.first = [np.zeros_like(param) for param in params]
        self.second = [np.zeros_like(param) for param in params]
        self.step_count = 0

    def step(self, grads: list[Floats], rate: float) -> None:
        """Move every parameter against its gradient."""
        self.step_count += 1
        beta1, beta2 = 0.9, 0.999
        correction1 = 1.0 - beta1**self.step_count
        correction2 = 1.0 - beta2**self.step_count
        state = zip(self.params, grads, self.first, self.second, strict=True)
        for param, grad, first, second in state:
            first += (1.0 - beta1) * (grad - first)
            second += (1.0 - beta2) * (grad * grad - second)
            move = (first / correction1) / (np.sqrt(second / correction2) + 1e-8)
            param -= rate * (move + self.weight_decay * param)


def cross_entropy(logits: Floats, labels: Bytes) -> tuple[float, Floats]:
    """The mean loss of a batch and its gradient with respect to the logits.

    The target is not "certainly a 3" but "a 3, with a tenth of the belief spread over
    all ten digits". This label smoothing halved the errors in cross-validation on the
    training images: a small network stops memorising the few odd ones among them.
    """
    # Subtracting the largest score changes no probability and keeps exp() in range.
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_total = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    log_probabilities = shifted - log_total
    targets = np.full_like(logits, SMOOTHING / CLASSES)
    targets[np.arange(len(labels)), labels] += 1.0 - SMOOTHING
    loss = -(targets * log_probabilities).sum(axis=1).mean()
    grad = (np.exp(log_probabilities) - targets) / np.float32(len(labels))
    return float(loss), grad


def shift_randomly(images: Floats, rng: np.random.Generator) -> Floats:
    """Move each image by -1, 0 or +1 pixel each way; what moves in is blank paper.

    A thousand images are few: shifted copies teach the network that a digit is the same
    digit a pixel further on.
    """
    n = len(images)
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = sliding_window_view(padded, (SIDE, SIDE), axis=(2, 3))
    rows, columns = rng.integers(0, 3, size=(2, n))
    return windows[np.arange(n), :, rows, columns]


def batches(
    count: int, size: int, rng: np.random.Generator
) -> Iterator[NDArray[np.intp]]:
    """Every index once, in random order, `size` at a time."""
    order = rng.permutation(count)
    for start in range(0, count, size):
        yield order[start : start + size]


def train_batch(network: list[Layer], images: Floats, labels: Bytes) -> float:
    """One pass forwards and backwards; the gradients stay in the layers."""
    activation = images
    for layer in network:
        activation = layer.forward(activation)
    loss, grad = cross_entropy(activation, labels)
    for layer in reversed(network):
        grad = layer.backward(grad)
    return loss


def train(data: Digits, seed: int, epochs: int, batch: int, rate: float) -> list[Layer]:
    """Train a fresh network for a fixed number of epochs and return it.

    The held-out images play no part: neither the weights nor the moment to stop depend
    on them, so the accuracy measured on them afterwards is an honest one.
    """
    rng = np.random.default_rng(seed)
    network = build_network(rng)
    adam = Adam([param for layer in network for param in layer.params])
    images = data.images.astype(np.float32) / np.float32(PIXEL_MAX)
    for epoch in range(epochs):
        # Half a cosine, from the full rate down to nearly nothing at the last epoch.
        epoch_rate = rate * 0.5 * (1.0 + np.cos(np.pi * epoch / epochs))
        losses = []
        for picked in batches(len(images), batch, rng):
            shifted = shift_randomly(images[picked], rng)
            losses.append(train_batch(network, shifted, data.labels[picked]))
            adam.step([g for layer in network for g in layer.grads], float(epoch_rate))
        if (epoch + 1) % 10 == 0 or epoch + 1 == epochs:
            print(f"epoch {epoch + 1:3}  training loss {np.mean(losses):.4f}")
    return network


# ------------------------------------------------------------------------------------
# Export and measurement.
# ------------------------------------------------------------------------------------


def fold_scaling(network: list[Layer]) -> None:
    """Let the network take pixels as they are stored, 0..16, instead of 0..1.

    A convolution is linear, so dividing its weights by 16 stands for dividing its input
    by 16; and since 16 is a power of two, this loses no precision.
    """
    network[0].params[0] /= PIXEL_MAX


def export_graph(network: list[Layer]) -> onnx.GraphProto:
    """The layers as a chain of ONNX nodes from `image` to `logits`."""
    nodes, weights = [], []
    current = "image"
    for index, layer in enumerate(network):
        name = f"{layer.op.lower()}_{index}"
        inputs = [current]
        # Not strict: most layers have no parameters at all.
        for suffix, param in zip(("weight", "bias"), layer.params, strict=False):
            inputs.append(f"{name}.{suffix}")
            weights.append(numpy_helper.from_array(param, inputs[-1]))
        current = "logits" if index + 1 == len(network) else f"{name}.out"
        node = helper.make_node(layer.op, inputs, [current], name)
        for key, value in layer.attributes.items():
            node.attribute.append(helper.make_attribute(key, value))
        nodes.append(node)
    image = helper.make_tensor_value_info(
        "image", TensorProto.FLOAT, ["batch", 1, SIDE, SIDE]
    )
    logits = helper.make_tensor_value_info(
        "logits", TensorProto.FLOAT, ["batch", CLASSES]
    )
    return helper.make_graph(nodes, "digits", [image], [logits], initializer=weights)


def export(network: list[Layer]) -> bytes:
    """The whole ONNX file, checked."""
    # The versions are pinned, not left to the installed onnx: old enough for every
    # engine in use, and the same bytes whichever release writes them.
    model = helper.make_model(
        export_graph(network),
        producer_name="digits/train.py",
        ir_version=8,
        opset_imports=[helper.make_opsetid("", 17)],
    )
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def infer(session: ort.InferenceSession, images: Bytes, batch: int) -> Floats:
    """ONNX Runtime's logits for all the images, `batch` images at a time."""
    pixels = images.astype(np.float32)
    parts = [
        session.run(["logits"], {"image": pixels[start : start + batch]})[0]
        for start in range(0, len(pixels), batch)
    ]
    return np.concatenate(parts)


def measure(model: bytes, data: Digits) -> Floats:
    """The logits of the exported file, after checking that batching changes nothing."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    logits = infer(session, data.images, 64)
    for batch in (1, 7):
        # Another batch size may add up in another order, hence not quite the same bits.
        np.testing.assert_allclose(
            infer(session, data.images, batch), logits, rtol=1e-4, atol=1e-4
        )
    return logits


def split_digits() -> tuple[Digits, Digits]:
    """The images to train on and the held-out ones, every digit in proportion."""
    source = load_digits()
    images = source.images.astype(np.uint8).reshape(-1, 1, SIDE, SIDE)
    labels = source.target.astype(np.uint8)
    train_images, test_images, train_labels, test_labels = train_test_split(
        images, labels, test_size=HELD_OUT, random_state=SPLIT_SEED, stratify=labels
    )
    return Digits(train_images, train_labels), Digits(test_images, test_labels)


def write_files(folder: Path, model: bytes, held_out: Digits, logits: Floats) -> None:
    """Write the model and the three files that let any program check its answers."""
    contents = {
        "1/model.onnx": model,
        "test_images.bin": MAGIC
        + struct.pack("<I", len(held_out.labels))
        + held_out.images.tobytes()
        + held_out.labels.tobytes(),
        "expected.bin": logits.argmax(axis=1).astype(np.uint8).tobytes(),
        "expected_logits.bin": logits.astype("<f4").tobytes(),
    }
    (folder / "1").mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        print(f"{name:20} {len(content):6} bytes")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Train the digits network, export it to ONNX and measure it."
    )
    parser.add_argument(
        "--output-dir",
        type=Path,
        default=Path(__file__).resolve().parent,
        help="folder to write to (default: the folder of this script)",
    )
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=60, help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=32, help="default: %(default)s")
    parser.add_argument("--rate", type=float, default=3e-3, help="default: %(default)s")
    parser.add_argument(
        "--minimum-accuracy",
        type=float,
        default=0.97,
        help="write nothing below this held-out accuracy (default: %(default)s)",
    )
    return parser.parse_args()


def main() -> None:
    """Train, export, measure, and write the files if the model is good enough."""
    arguments = parse_arguments()
    training, held_out = split_digits()
    print(f"{len(training.labels)} images to train on, {len(held_out.labels)} held out")
    started = time.perf_counter()
    # One thread: sums are then always added in the same order, so that the weights do
    # not depend on how many cores the machine has.
    with threadpool_limits(limits=1):
        network = train(
            training,
            arguments.seed,
            arguments.epochs,
            arguments.batch,
            arguments.rate,
        )
    print(f"trained in {time.perf_counter() - started:.1f} s")

    fold_scaling(network)
    model = export(network)
    logits = measure(model, held_out)
    correct = int((logits.argmax(axis=1) == held_out.labels).sum())
    accuracy = correct / len(held_out.labels)
    print(f"held-out accuracy {accuracy:.4f} ({correct} of {len(held_out.labels)})")
    # The closest decision: another engine's rounding must stay well below this.
    ranked = np.sort(logits, axis=1)
    margin = (ranked[:, -1] - ranked[:, -2]).min()
    print(f"smallest margin between the two best logits {margin:.4f}")
    if accuracy < arguments.minimum_accuracy:
        raise SystemExit(f"below {arguments.minimum_accuracy}: nothing written")
    write_files(arguments.output_dir, model, held_out, logits)


if __name__ == "__main__":
    main()
