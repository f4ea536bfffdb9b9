"""Models of ONNX, answered as ONNX Runtime's own interface answers them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import inferlay
from inferlay import onnxruntime as runtime

numpy = pytest.importorskip("numpy")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

TYPES = ["bool", "float16", "float32", "float64", "str"]
TYPES += [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]


def identity(dtype: Any, dims: Any = ("n",)) -> bytes:
    """A model whose output is its input."""
    kind = onnx.helper.np_dtype_to_tensor_dtype(numpy.dtype("object" if dtype == "str" else dtype))
    x, y = (onnx.helper.make_tensor_value_info(name, kind, dims) for name in "xy")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "identity", [x], [y])
    model = onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 17)])
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_is_answered_as_by_the_runtime(onnxruntime_backend: str, dtype: str) -> None:
    value = numpy.array(["a", "", "\u2713"] if dtype == "str" else [0, 1, 100], "object" if dtype == "str" else dtype)
    session = onnxruntime.InferenceSession(identity(dtype), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"x": value})
    with inferlay.load(identity(dtype), backends=onnxruntime_backend, progress=False) as model:
        found = model(x=value)["y"]
    if dtype == "str":
        assert [text.decode() for text in found] == expected.tolist()
    else:
        assert found.dtype == expected.dtype and found.tolist() == expected.tolist()


def test_bfloat16_is_answered(onnxruntime_backend: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    kind = onnx.TensorProto.BFLOAT16
    x, y = (onnx.helper.make_tensor_value_info(name, kind, ["n"]) for name in "xy")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "identity", [x], [y])
    model = onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 17)])
    value = numpy.array([0.5, -2], ml_dtypes.bfloat16)
    with inferlay.load(model.SerializeToString(), backends=onnxruntime_backend, progress=False) as served:
        assert served(x=value)["y"].tolist() == [0.5, -2]


def test_a_file_is_loaded_by_its_name_and_called(onnxruntime_backend: str, tmp_path: Path) -> None:
    path = tmp_path / "same.onnx"
    path.write_bytes(identity("float32"))
    with inferlay.load(path, backends=onnxruntime_backend, progress=False) as model:
        assert model.name == "same" and model(numpy.ones(3, numpy.float32))["y"].tolist() == [1, 1, 1]
    with inferlay.Server(models={"other": path}, backends=onnxruntime_backend, progress=False) as server:
        assert server.infer("other", [1.0])["y"].tolist() == [1]
        assert server.load(path)([2.0])["y"].tolist() == [2]


def test_digits_are_recognised_as_by_the_runtime(onnxruntime_backend: str, repository_root: Path) -> None:
    folder = repository_root / "examples" / "models"
    images = numpy.random.default_rng(1).integers(0, 17, (64, 1, 8, 8)).astype(numpy.float32)
    session = onnxruntime.InferenceSession(str(folder / "digits" / "1" / "model.onnx"))
    name = session.get_inputs()[0].name
    (expected,) = session.run(None, {name: images})
    with inferlay.Server(folder, backends=onnxruntime_backend, progress=False) as server:
        model = server.model("digits")
        found = numpy.concatenate([one[next(iter(one))] for one in model.infer_many([image[None] for image in images])])
    numpy.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_the_library_of_the_runtime_is_found_where_pip_put_it() -> None:
    found = runtime.library()
    assert found is not None and Path(found).parent == Path(onnxruntime.__file__).parent / "capi"
