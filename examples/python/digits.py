"""Handwritten digits from end to end: 450 images, and a picture of what was taken for what.

From the root of the repository: ``python examples/python/digits.py [confusion.png]``. ``INFERLAY_BACKENDS`` names the
folder of the backends where they do not lie beside the library. The picture has a row for each true digit and a column
for each that was found, with the mean image of each digit as their headings; the darker a square, the more images.
"""

import os
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np

import inferlay

MODELS = Path("examples/models")
# Pixels of a square of the picture, and of the gap around it.
SQUARE, GAP = 24, 2


def png(pixels: Any) -> bytes:
    """Grey pixels as a file."""
    height, width = pixels.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def picture(matrix: Any, headings: Any) -> Any:
    """A matrix as grey squares, the logarithm of a count as their darkness, below and beside headings of 8x8 pixels."""
    step = SQUARE + 2 * GAP
    canvas: Any = np.full((11 * step, 11 * step), 255, np.uint8)

    def draw(row: int, column: int, square: Any) -> None:
        top, left = row * step + GAP, column * step + GAP
        canvas[top : top + SQUARE, left : left + SQUARE] = square

    shades = 240 - 240 * np.log1p(matrix) / np.log1p(matrix.max())
    for true in range(10):
        heading = (255 - headings[true] / 16 * 255).repeat(SQUARE // 8, 0).repeat(SQUARE // 8, 1)
        draw(true + 1, 0, heading)
        draw(0, true + 1, heading)
        for found in range(10):
            draw(true + 1, found + 1, shades[true, found])
    return canvas


raw = np.fromfile(MODELS / "digits" / "test_images.bin", np.uint8)[12:]
count = len(raw) // 65
images, labels = raw[: count * 64].reshape(count, 1, 8, 8).astype(np.float32), raw[count * 64 :]

with inferlay.Server(MODELS, backends=os.environ.get("INFERLAY_BACKENDS"), strict=True) as server:
    # Requests of up to 64 images; the engine may join and batch them further.
    batches = np.array_split(images, range(64, count, 64))
    responses = server.model("digits").infer_many([{"image": batch} for batch in batches])
found = np.concatenate([response["logits"] for response in responses]).argmax(1)

confusion: Any = np.zeros((10, 10), int)
np.add.at(confusion, (labels, found), 1)
print("true digit by row, found digit by column:")
print(confusion)
if len(sys.argv) > 1:
    headings = np.stack([images[labels == digit].mean(0)[0] for digit in range(10)])
    Path(sys.argv[1]).write_bytes(png(picture(confusion, headings)))
    print("drawn to", sys.argv[1])
print(f"accuracy: {100 * np.trace(confusion) / count:.2f} %")
