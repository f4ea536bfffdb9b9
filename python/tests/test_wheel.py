"""The installed wheel: what lies in it, who serves ONNX by itself, and what it says when nobody can."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest
from conftest import BACKENDS

import inferlay
from inferlay import onnxruntime as runtime

PACKAGE = Path(inferlay.__file__).resolve().parent
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

pytestmark = pytest.mark.skipif(not (PACKAGE / "_lib").is_dir(), reason="this is the checkout, not an installed wheel")

# Without the standard places of packages, and without a Python in sight: as on a machine that has nothing.
SERVE = """
import sys
import inferlay
assert inferlay._numpy.numpy is None
with inferlay.Server(sys.argv[1]) as server:
    digits = server.model("digits")
    image = [[[[float((row * column) % 17) for column in range(8)] for row in range(8)]]]
    (logits,) = digits(image=image)["logits"].tolist()
    assert len(logits) == 10
    print(digits.config["backend"])
"""

# One operator that tract does not have, written by hand: a node `y = NoSuch(x)`, ten floats in and out.
LOAD = """
import sys
import inferlay
try:
    inferlay.load(bytes.fromhex(sys.argv[1]))
except inferlay.Unsupported as error:
    print(error)
server = inferlay.Server(models={"model": {"model.onnx": bytes.fromhex(sys.argv[1])}}, progress=False)
print(server.models[0]["reason"])
"""


def field(number: int, content: bytes) -> bytes:
    """A field of a protobuf message that holds bytes."""
    return bytes([number << 3 | 2, len(content)]) + content


def value(name: bytes) -> bytes:
    """An input or output of ten floats."""
    return field(1, name) + field(2, field(1, b"\x08\x01" + field(2, field(1, b"\x08\x0a"))))


def model(operator: bytes) -> bytes:
    """An ONNX file of one operator."""
    node = field(1, b"x") + field(2, b"y") + field(4, operator)
    graph = field(1, node) + field(2, b"g") + field(11, value(b"x")) + field(12, value(b"y"))
    return b"\x08\x08" + field(7, graph) + field(8, b"\x10\x11")


def bare(folder: Path, code: str, *arguments: str) -> List[str]:
    """What a program says that finds this package and the standard library and nothing else."""
    (folder / "inferlay").symlink_to(PACKAGE)
    command = [sys.executable, "-S", "-c", code, *arguments]
    done = subprocess.run(command, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_it_holds_libraries_headers_and_licences() -> None:
    assert {path.name for path in (PACKAGE / "_lib").glob("*.so")} == {"libinferlay.so"}
    backends = {path.stem.rpartition("backend_")[2] for path in BACKENDS.glob("libinferlay_backend_*.so")}
    assert {"tract", "onnxruntime"} <= backends
    headers = {path.name for path in (PACKAGE / "include").iterdir()}
    assert headers == {"inferlay.h", "inferlay.hpp", "inferlay_backend.h"}
    files = importlib.metadata.files("inferlay") or []
    licences = {path.name for path in files if path.parent.name == "licenses"}
    assert {"LICENSE-MIT", "LICENSE-APACHE", "THIRD-PARTY.txt"} <= licences


def test_its_header_is_that_of_the_library(repository_root: Path) -> None:
    for name in ("inferlay.h", "inferlay.hpp", "inferlay_backend.h"):
        assert (PACKAGE / "include" / name).read_bytes() == (repository_root / "include" / name).read_bytes()


def test_it_needs_no_other_package_but_for_its_extras() -> None:
    required = importlib.metadata.requires("inferlay") or []
    assert required and all("extra ==" in line for line in required)
    assert importlib.metadata.version("inferlay") == inferlay.__version__


def test_onnx_is_served_by_the_runtime_where_it_is_installed(onnxruntime_backend: str) -> None:
    with inferlay.Server(EXAMPLES / "models", progress=False) as server:
        assert server.model("digits").config["backend"] == "onnxruntime"


def test_onnx_is_served_by_tract_where_nothing_is_installed(tmp_path: Path) -> None:
    assert bare(tmp_path, SERVE, str(EXAMPLES / "models")) == ["tract"]


def test_an_operator_that_tract_lacks_names_the_extra_to_install(tmp_path: Path) -> None:
    raised, told = bare(tmp_path, LOAD, model(b"NoSuch").hex())
    for said in (raised, told):
        assert "NoSuch" in said and "`onnxruntime` may: pip install 'inferlay[onnxruntime]'" in said


def test_where_the_runtime_is_installed_no_extra_is_advised(onnxruntime_backend: str) -> None:
    text = f"tract does not have them; {runtime.HINT}"
    assert runtime.advised(text) == text


@pytest.mark.parametrize("variable", runtime.VARIABLES)
def test_a_variable_that_names_the_runtime_goes_before_the_package(variable: str) -> None:
    code = "import inferlay, sys; print(inferlay.load(sys.argv[1]).config['backend'])"
    model = str(EXAMPLES / "models" / "digits" / "1" / "model.onnx")
    environment: Dict[str, Any] = {**os.environ, variable: "/nowhere/libonnxruntime.so"}
    command = [sys.executable, "-c", code, model]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout == "tract\n", done.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(["models", str(EXAMPLES / "models")], "digits"), (["--help"], "inferlay")],
    ids=["models", "help"],
)
def test_its_command_is_installed(arguments: List[str], expected: str) -> None:
    command: Tuple[str, ...] = (str(Path(sys.executable).with_name("inferlay")), *arguments)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and expected in done.stdout, done.stderr


def blocks(text: str, language: str) -> List[str]:
    """The programs that a page shows in one language."""
    return [part.partition("```")[0] for part in text.split(f"```{language}\n")[1:]]


@pytest.mark.parametrize("number", [0, 1], ids=["load", "asyncio"])
def test_the_programs_of_the_readme_run(onnxruntime_backend: str, repository_root: Path, number: int) -> None:
    programs = blocks((repository_root / "README.md").read_text(encoding="utf-8"), "python")
    assert len(programs) == 2
    command = [sys.executable, "-c", programs[number]]
    done = subprocess.run(command, cwd=repository_root, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout, done.stderr
