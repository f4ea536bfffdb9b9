"""The examples, run as they are from the root of the repository."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

import inferlay

pytest.importorskip("numpy")

pytestmark = pytest.mark.once


def run(root: Path, backends: str, name: str, *arguments: str) -> str:
    """What an example prints."""
    package = str(Path(inferlay.__file__).parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    ended = subprocess.run(
        [sys.executable, str(Path("examples", "python", name)), *arguments],
        cwd=root,
        env={**os.environ, "PYTHONPATH": path, "INFERLAY_BACKENDS": str(Path(backends).resolve())},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def last_line(printed: str) -> str:
    return printed.splitlines()[-1]


def test_every_example_has_a_test(repository_root: Path) -> None:
    found = {path.name for path in (repository_root / "examples" / "python").glob("*.py")}
    assert found == {"hello.py", "asyncio_tasks.py", "digits.py", "exporter.py"}


def test_hello_reads_its_digit(onnxruntime_backend: str, repository_root: Path) -> None:
    assert last_line(run(repository_root, onnxruntime_backend, "hello.py")) == "the digit is 0"


def test_tasks_read_all_images(onnxruntime_backend: str, repository_root: Path) -> None:
    assert last_line(run(repository_root, onnxruntime_backend, "asyncio_tasks.py")) == "accuracy: 99.11 %"


def test_digits_are_counted_and_drawn(onnxruntime_backend: str, repository_root: Path, tmp_path: Path) -> None:
    picture = tmp_path / "confusion.png"
    assert last_line(run(repository_root, onnxruntime_backend, "digits.py", str(picture))) == "accuracy: 99.11 %"
    data = picture.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and data[-8:-4] == b"IEND"
    width, height = struct.unpack(">II", data[16:24])
    (length,) = struct.unpack(">I", data[33:37])
    assert len(zlib.decompress(data[41 : 41 + length])) == height * (width + 1)
