"""Models of ONNX, answered as ONNX Runtime's own interface answers them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Tuple

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


def whole(content: bytes, backends: str) -> inferlay.Server:
    """A server of one model that takes any shape, and no batches."""
    files = {"model.onnx": content, "config.yaml": {"max_batch_size": 0}}
    return inferlay.Server(models={"whole": files}, backends=backends, strict=True, progress=False)


NUMBERS = [dtype for dtype in TYPES if dtype != "str"]
VALUES = {"bool": [False, True, True], "float16": [-2, 0.5, 65504], "float32": [-2, 0.5, 3e38]}
VALUES["float64"] = [-2, 0.5, 1e300]


def extremes(dtype: str) -> Any:
    """Elements of a type, among them the least and the largest that it has."""
    if dtype in VALUES:
        return numpy.array(VALUES[dtype], dtype)
    info = numpy.iinfo(dtype)
    return numpy.array([info.min, 1, info.max], dtype)


@pytest.mark.parametrize("dtype", NUMBERS)
def test_every_type_becomes_every_other_as_by_the_runtime(onnxruntime_backend: str, dtype: str) -> None:
    kinds = {name: onnx.helper.np_dtype_to_tensor_dtype(numpy.dtype(name)) for name in NUMBERS}
    x = onnx.helper.make_tensor_value_info("x", kinds[dtype], ["n"])
    outputs = [onnx.helper.make_tensor_value_info(name, kind, ["n"]) for name, kind in kinds.items()]
    nodes = [onnx.helper.make_node("Cast", ["x"], [name], to=kind) for name, kind in kinds.items()]
    graph = onnx.helper.make_graph(nodes, "casts", [x], outputs)
    made = onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 17)])
    value, content = extremes(dtype), made.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    with inferlay.load(content, backends=onnxruntime_backend, progress=False) as model:
        found = model(x=value)
        for name, expected in zip(kinds, session.run([*kinds], {"x": value})):
            assert found[name].dtype == expected.dtype and found[name].tobytes() == expected.tobytes(), name


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(), (0,), (1, 3, 1), (2, 0, 3), (2, 2, 2, 2)], ids=str)
def test_every_type_is_answered_in_every_shape_as_by_the_runtime(
    onnxruntime_backend: str, dtype: str, shape: Tuple[int, ...]
) -> None:
    value = numpy.full(shape, "\u2713" if dtype == "str" else 1, "object" if dtype == "str" else dtype)
    content = identity(dtype, [None] * len(shape))
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"x": value})
    with whole(content, onnxruntime_backend) as server:
        found = server.infer("whole", {"x": value})["y"]
    assert found.shape == expected.shape and found.dtype == expected.dtype
    texts = [one.decode() for one in found.ravel()] if dtype == "str" else found.ravel().tolist()
    assert texts == expected.ravel().tolist()


def test_bfloat16_is_rounded_as_by_the_runtime(onnxruntime_backend: str) -> None:
    """The runtime has no bfloat16 at its border in Python: there a model goes to it and back."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    float32, bfloat16 = onnx.TensorProto.FLOAT, onnx.TensorProto.BFLOAT16
    x, y, z = (onnx.helper.make_tensor_value_info(n, k, ["n"]) for n, k in zip("xyz", (float32, bfloat16, float32)))
    there = onnx.helper.make_node("Cast", ["x"], ["y"], to=bfloat16)
    back = onnx.helper.make_node("Cast", ["y"], ["z"], to=float32)
    models = []
    for outputs in ([z], [y, z]):
        graph = onnx.helper.make_graph([there, back], "round", [x], outputs)
        opsets = [onnx.helper.make_opsetid("", 17)]
        models.append(onnx.helper.make_model(graph, ir_version=8, opset_imports=opsets).SerializeToString())
    value = numpy.random.default_rng(1).standard_normal(1000).astype(numpy.float32) * 1e20
    (expected,) = onnxruntime.InferenceSession(models[0], providers=["CPUExecutionProvider"]).run(None, {"x": value})
    with whole(models[1], onnxruntime_backend) as server:
        found = server.infer("whole", {"x": value})
    assert found["y"].dtype == ml_dtypes.bfloat16
    assert found["z"].tolist() == found["y"].astype(numpy.float32).tolist() == expected.tolist()


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
        assert server.load_file(path)([2.0])["y"].tolist() == [2]


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
