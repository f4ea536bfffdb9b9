"""Tensors of torch as inputs, and outputs as tensors of torch, where it is installed."""

from __future__ import annotations

from typing import Any

import pytest

import inferlay

numpy = pytest.importorskip("numpy")
torch = pytest.importorskip("torch")

KINDS = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "BF16": "bfloat16",
}
each_kind = pytest.mark.parametrize("kind", [kind for kind, dtype in KINDS.items() if hasattr(torch, dtype)])


@each_kind
def test_a_tensor_goes_in_and_comes_out(server: inferlay.Server, kind: str) -> None:
    value = torch.tensor([0, 1, 1]).to(getattr(torch, KINDS[kind]))
    answer = server.infer(kind, value).tensor("x")
    shared = torch.from_dlpack(answer)
    assert shared.dtype is value.dtype and shared.device.type == "cpu"
    assert torch.equal(shared, value) and shared.data_ptr() == answer._address


@each_kind
def test_a_dense_tensor_is_lent_and_not_copied(kind: str) -> None:
    value = torch.tensor([0, 1, 1]).to(getattr(torch, KINDS[kind]))
    found, address, size, shape, _, _, _ = inferlay.inputs.lend(value, inferlay.DataType[kind])
    assert (found, address, shape) == (inferlay.DataType[kind], value.data_ptr(), (3,))
    assert size == value.numel() * value.element_size()


STRIDED = {
    "transposed": lambda: torch.arange(6.0).reshape(2, 3).T,
    "every other": lambda: torch.arange(12.0).reshape(3, 4)[:, ::2],
    "expanded": lambda: torch.ones(1, 1).expand(2, 3),
    "behind others": lambda: torch.arange(6.0)[1:5].reshape(2, 2),
    "empty": lambda: torch.zeros(0, 3),
    "negated": lambda: torch.imag(torch.tensor([[1 + 2j, 3 - 4j]]).conj()),
}


@pytest.mark.parametrize("name", STRIDED)
def test_a_view_is_read_as_torch_reads_it(server: inferlay.Server, name: str) -> None:
    value = STRIDED[name]()
    answer = server.infer("grid", value)
    assert answer["x"].tolist() == value.tolist() and answer["x"].shape == tuple(value.shape)


def test_a_scalar_and_a_list_of_tensors_are_inputs(server: inferlay.Server) -> None:
    assert server.infer("scalar", torch.tensor(2.5))["x"] == 2.5
    assert server.infer("grid", [torch.ones(2), torch.zeros(2)])["x"].tolist() == [[1, 1], [0, 0]]


def test_an_output_outlives_its_response_in_torch(server: inferlay.Server) -> None:
    shared = torch.from_dlpack(server.infer("FP32", torch.ones(1000)).tensor("x"))
    server.close()
    assert shared.sum().item() == 1000


REFUSED: Any = [
    (lambda: torch.ones(2, requires_grad=True), "Tensor that does not share its memory: .*gradient.*detach"),
    (lambda: torch.nn.Parameter(torch.ones(2)), "Parameter that does not share its memory: .*gradient.*detach"),
    (lambda: torch.ones(2).to_sparse(), "Tensor that does not share its memory: .*layout"),
    (lambda: torch.ones(2, device="meta"), "Tensor that does not share its memory: .*meta"),
    (lambda: torch.ones(2, dtype=torch.complex64), "type code 5 of 64 bits"),
    (lambda: torch.ones(2, dtype=torch.complex64).conj(), "Tensor that does not share its memory: .*conjugate"),
    (lambda: torch.ones(2, dtype=torch.bfloat16), "found BF16, expected FP32"),
    (lambda: torch.ones(2, dtype=torch.int32), "found INT32, expected FP32"),
    (lambda: [torch.ones(2, requires_grad=True)], "expected a list of FP32: .*requires grad"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_torch_does_not_share_is_refused_with_its_reason(server: inferlay.Server, make: Any, message: str) -> None:
    with pytest.raises(inferlay.InvalidArgument, match=f"input 'x': .*{message}"):
        server.infer("FP32", make())
    detached = torch.ones(2, requires_grad=True).detach()
    assert server.infer("FP32", detached)["x"].tolist() == [1, 1]


def test_a_function_answers_with_tensors(server: inferlay.Server) -> None:
    ports = {"x": ("FP32", [2])}
    double = server.register("double", lambda x: torch.tensor(x) * 2, inputs=ports, outputs=ports)
    assert double([1, 2])["x"].tolist() == [2, 4]
    learn = server.register("learn", lambda x: torch.ones(2, requires_grad=True), inputs=ports, outputs=ports)
    with pytest.raises(inferlay.InvalidArgument, match="output 'x': found Tensor that does not share its memory"):
        learn([1, 2])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no device of CUDA")
def test_a_tensor_on_a_device_is_refused_by_name(server: inferlay.Server) -> None:
    with pytest.raises(inferlay.Unsupported, match="found memory of CUDA, expected host memory"):
        server.infer("FP32", torch.ones(2, device="cuda"))
