"""What the tests share: models of the backend `null`, which echoes, and servers of them."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

import inferlay
from inferlay import _library
from inferlay import onnxruntime as runtime

# Where a wheel has them.
BACKENDS = _library.PATH.parent / "inferlay" / "backends"
TYPES = [kind for kind in inferlay.DataType]
# Whether tests that may take long do so.
SOAK = os.environ.get("INFERLAY_SOAK") == "1"


def port(name: str, kind: str, dims: Any) -> Dict[str, Any]:
    """An input of a config."""
    return {"name": name, "data_type": f"TYPE_{'STRING' if kind == 'BYTES' else kind}", "dims": dims}


def echo(*ports: Dict[str, Any], **keys: Any) -> Dict[str, Any]:
    """The files of a model whose outputs are its inputs."""
    return {"config.yaml": {"backend": "null", "input": list(ports), **keys}}


class Gate:
    """A model `slow`, one request after the other, whose executions wait until the gate is open."""

    def __init__(self, server: inferlay.Server) -> None:
        self.begun, self.opened = threading.Event(), threading.Event()
        self.executed: List[Any] = []
        ports = {"x": ("FP32", [2])}
        self.model: inferlay.Model = server.register("slow", self._run, inputs=ports, outputs=ports)

    def _run(self, x: Any) -> Any:
        self.executed.append(x.tolist())
        self.begun.set()
        self.opened.wait()
        return x


class Examples:
    """What the examples in docstrings see without making it. A plugin, as they lie outside the folder of tests."""

    DIGITS = Path(__file__).resolve().parents[2] / "examples" / "models" / "digits" / "1" / "model.onnx"

    @pytest.fixture(autouse=True)
    def names(self, request: pytest.FixtureRequest, doctest_namespace: Dict[str, Any]) -> Iterator[None]:
        """A server of its own for each example that names something of it."""
        if not isinstance(request.node, pytest.DoctestItem):
            yield
            return
        test: Any = request.node.dtest
        if "digits_onnx" in test.docstring and not BACKENDS.is_dir():
            pytest.skip("there is no installed wheel, and so no backend that serves ONNX")
        models = {"echo": echo(port("x", "FP32", [2])), "texts": echo(port("x", "BYTES", [-1]))}
        with inferlay.Server(models=models, progress=False) as server:
            model = server.model("echo")
            doctest_namespace.update(
                inferlay=inferlay,
                numpy=inferlay._numpy.numpy,
                echo=models["echo"],
                ports={"x": ("FP32", [2])},
                digits_onnx=str(self.DIGITS),
                server=server,
                model=model,
                response=model([1.0, 2.0]),
            )
            yield


def pytest_configure(config: pytest.Config) -> None:
    """Makes the names of examples known to all of them."""
    config.pluginmanager.register(Examples())


def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    """Puts last what imports libraries whose threads stay: other tests fork, which such threads do not survive."""
    items.sort(key=lambda item: item.path.stem in ("test_jax", "test_torch"))


@pytest.fixture
def server() -> Iterator[inferlay.Server]:
    """A server of models that echo: `pair` of two floats, `rows` in batches, and one for each type."""
    models: Dict[str, Any] = {kind.name: echo(port("x", kind.name, [-1])) for kind in TYPES}
    models["pair"] = echo(port("x", "FP32", [2]))
    models["rows"] = echo(port("x", "FP32", [2]), max_batch_size=8)
    models["two"] = echo(port("a", "FP32", [2]), port("b", "INT64", [1]))
    models["grid"] = echo(port("x", "FP32", [-1, -1]))
    models["scalar"] = echo(port("x", "FP32", []))
    with inferlay.Server(models=models, progress=False) as made:
        yield made


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate, which is opened at the end."""
    with inferlay.Server(progress=False) as server:
        made = Gate(server)
        yield made
        made.opened.set()


@pytest.fixture(scope="session")
def repository_root() -> Path:
    """The root of the repository."""
    return Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def onnxruntime_backend() -> str:
    """The directory of the backend `onnxruntime`: of an installed wheel, or where the tests are told."""
    directory = os.environ.get("INFERLAY_BACKENDS") or str(BACKENDS)
    if not Path(directory).is_dir():
        pytest.skip("there is no installed wheel, and INFERLAY_BACKENDS does not say where the backend onnxruntime is")
    if runtime.library() is None:
        pytest.skip("the package onnxruntime is not installed")
    return directory
