"""ONNX's own suite: the engine passes the cases that ONNX Runtime's own backend module passes, in one process.

The cases are those of the package `onnx`: of single operators, simple models, models converted from PyTorch, and known
networks without their weights. Each runs once in either backend.
"""

from __future__ import annotations

import unittest
from collections import Counter
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

import pytest

import inferlay

numpy = pytest.importorskip("numpy")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.once

# Requests and answers are tensors, in KServe v2 as here: the model is refused by the name of the input or output.
SEQUENCES = """
    identity_sequence
    if_seq
    loop13_seq
    optional_get_element_sequence
    sequence_insert_at_back
    sequence_insert_at_front
    sequence_map_add_1_sequence_1_tensor
    sequence_map_add_1_sequence_1_tensor_expanded
    sequence_map_add_2_sequences
    sequence_map_add_2_sequences_expanded
    sequence_map_extract_shapes
    sequence_map_extract_shapes_expanded
    sequence_map_identity_1_sequence_1_tensor
    sequence_map_identity_1_sequence_1_tensor_expanded
    sequence_map_identity_1_sequence
    sequence_map_identity_1_sequence_expanded
    sequence_map_identity_2_sequences
    sequence_map_identity_2_sequences_expanded
    split_to_sequence_1
    split_to_sequence_2
    split_to_sequence_nokeepdims
"""
OPTIONALS = """
    identity_opt
    if_opt
    optional_get_element_optional_sequence
    optional_get_element_optional_tensor
    optional_has_element_empty_optional_input
    optional_has_element_optional_input
    optional_has_element_tensor_input
"""
# It has no type of numpy for BF16; here it is that of ml_dtypes.
BFLOAT16 = """
    cast_BFLOAT16_to_FLOAT
    cast_FLOAT_to_BFLOAT16
    castlike_BFLOAT16_to_FLOAT
    castlike_BFLOAT16_to_FLOAT_expanded
    castlike_FLOAT_to_BFLOAT16
    castlike_FLOAT_to_BFLOAT16_expanded
    range_bfloat16_type_positive_delta
    range_bfloat16_type_positive_delta_expanded
    celu_bfloat16
    compress_bfloat16
    einsum_batch_matmul_bfloat16
    einsum_sum_bfloat16
    einsum_transpose_bfloat16
    reversesequence_bfloat16
    unique_bfloat16_sorted_without_axis
"""

# Fewer than this mean that the suite is not there, not that a case fails.
PASSES_MIN = 900

Outcome = Tuple[str, str]


class Ran(NamedTuple):
    """How a case ended here, and in ONNX Runtime's own module."""

    ours: Outcome
    theirs: Outcome


def expected() -> Dict[str, Tuple[str, str]]:
    """What ends differently, by name: how it ends here, and what is said by the one that fails."""
    names = [(SEQUENCES, "failed", "found a sequence, expected a tensor")]
    names += [(OPTIONALS, "failed", "found an optional value, expected a tensor")]
    names += [(BFLOAT16, "passed", "umpy")]
    return {f"test_{name}_cpu": (here, said) for listed, here, said in names for name in listed.split()}


def outcome(case: Any, name: str) -> Outcome:
    """How a case ends, and what it says unless it passes."""
    result = unittest.TestResult()
    case(name).run(result)
    if result.skipped:
        return "skipped", result.skipped[0][1]
    failed = result.failures + result.errors
    return ("failed", failed[0][1].strip().splitlines()[-1]) if failed else ("passed", "")


@pytest.fixture(scope="module")
def ran(onnxruntime_backend: str, tmp_path_factory: Any) -> Iterator[Dict[str, Ran]]:
    """Every case for the CPU, in both."""
    import onnx.backend.test
    import onnxruntime.backend

    from inferlay import onnx_backend

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONNX_HOME", str(tmp_path_factory.mktemp("onnx")))
        patch.setitem(onnx_backend.InferlayBackend.options, "backends", onnxruntime_backend)
        # By default it skips what the newest operators need, which it has.
        patch.setattr(onnxruntime.backend.backend.OnnxRuntimeBackend, "allowReleasedOpsetsOnly", False)
        ours = onnx.backend.test.BackendTest(onnx_backend, __name__).test_cases
        theirs = onnx.backend.test.BackendTest(onnxruntime.backend, __name__).test_cases
        yield {
            name: Ran(outcome(cases, name), outcome(theirs[group], name))
            for group, cases in ours.items()
            for name in dir(cases)
            if name.startswith("test_") and name.endswith("_cpu")
        }


def test_what_passes_is_what_passes_in_the_runtimes_own_module(ran: Dict[str, Ran]) -> None:
    listed = expected()
    differing: List[str] = []
    for name, (ours, theirs) in ran.items():
        if (ours[0] == "passed") != (theirs[0] == "passed") and name not in listed:
            differing.append(f"{name}: here {ours}, there {theirs}")
    assert not differing, "\n".join(differing)
    counts = Counter(ours[0] for ours, _ in ran.values())
    assert counts["passed"] >= PASSES_MIN, counts


def test_what_differs_does_so_for_the_reason_that_is_listed(ran: Dict[str, Ran]) -> None:
    found = {name: case for name, case in ran.items() if name in expected()}
    assert found, "none of the cases that differ is in this version of onnx"
    for name, (ours, theirs) in found.items():
        here, said = expected()[name]
        # With another version of the runtime both may come to the same.
        if (ours[0] == "passed") != (theirs[0] == "passed"):
            assert ours[0] == here and said in (theirs if here == "passed" else ours)[1], (name, ours, theirs)


def add() -> Any:
    """A model of two inputs."""
    info = onnx.helper.make_tensor_value_info
    inputs = [info(name, onnx.TensorProto.FLOAT, [2]) for name in "ab"]
    node = onnx.helper.make_node("Sub", ["a", "b"], ["c"])
    graph = onnx.helper.make_graph([node], "sub", inputs, [info("c", onnx.TensorProto.FLOAT, [2])])
    return onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 17)])


A, B = [numpy.array(values, numpy.float32) for values in ([3, 4], [1, 1])]


def test_a_model_is_prepared_once_and_run_often(onnxruntime_backend: str, tmp_path: Path) -> None:
    from inferlay import onnx_backend

    (tmp_path / "sub.onnx").write_bytes(add().SerializeToString())
    for model in (add(), add().SerializeToString(), tmp_path / "sub.onnx"):
        prepared = onnx_backend.prepare(model, "CPU", backends=onnxruntime_backend)
        for inputs in ([A, B], (A, B), {"b": B, "a": A}):
            assert [output.tolist() for output in prepared.run(inputs)] == [[2, 3]]
    with pytest.raises(inferlay.InvalidArgument, match="found 1 inputs, expected 2: a, b"):
        prepared.run(A)
    (found,) = onnx_backend.run_model(add(), [A, B], backends=onnxruntime_backend)
    assert found.tolist() == [2, 3]


def test_a_dim_that_varies_is_no_batch(onnxruntime_backend: str) -> None:
    from inferlay import onnx_backend

    info, kind = onnx.helper.make_tensor_value_info, onnx.TensorProto.INT64
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Unique", ["x"], ["y"])], "unique", [info("x", kind, ["n"])], [info("y", kind, ["m"])]
    )
    model = onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 17)])
    prepared = onnx_backend.prepare(model, "CPU", backends=onnxruntime_backend)
    for values in ([7], [1, 2, 2, 1, 3], [5] * 1000):
        assert prepared.run(numpy.array(values))[0].tolist() == sorted(set(values))


def test_an_operator_is_run_alone(onnxruntime_backend: str) -> None:
    from inferlay import onnx_backend

    node = onnx.helper.make_node("Sub", ["a", "b"], ["c"])
    options = {"opset_version": 17, "backends": onnxruntime_backend}
    for info in (None, [(numpy.float32, (2,))]):
        (found,) = onnx_backend.run_node(node, [A, B], outputs_info=info, **options)
        assert found.tolist() == [2, 3]
    same = onnx.helper.make_node("Identity", ["a"], ["b"])
    (texts,) = onnx_backend.run_node(same, numpy.array(["a", "\u2713"], object), **options)
    assert texts.tolist() == ["a", "\u2713"]


def test_what_the_interface_asks_for_devices_and_models_is_answered(onnxruntime_backend: str) -> None:
    from inferlay import onnx_backend

    assert onnx_backend.supports_device("CPU") and not onnx_backend.supports_device("CUDA:1")
    assert not onnx_backend.supports_device("none") and onnx_backend.is_compatible(add())
    with pytest.raises(inferlay.Unsupported, match="found device 'CUDA', expected 'CPU'"):
        onnx_backend.prepare(add(), "CUDA")
    with pytest.raises(onnx.checker.ValidationError):
        onnx_backend.prepare(onnx.ModelProto(), "CPU")
