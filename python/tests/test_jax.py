"""Arrays of jax as inputs, and outputs as arrays of jax, where it is installed."""

from __future__ import annotations

from typing import Any

import pytest

import inferlay

numpy = pytest.importorskip("numpy")
jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")

# Without a flag jax has no numbers of 64 bits.
KINDS = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "FP16": "float16",
    "FP32": "float32",
    "BF16": "bfloat16",
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_array_goes_in_and_comes_out(server: inferlay.Server, kind: str) -> None:
    value = jnp.array([0, 1, 1]).astype(KINDS[kind])
    shared = jnp.from_dlpack(server.infer(kind, value).tensor("x"))
    assert shared.dtype == value.dtype and shared.tolist() == value.tolist()
    assert [device.platform for device in shared.devices()] == ["cpu"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_array_is_lent_and_not_copied(kind: str) -> None:
    value = jnp.array([0, 1, 1]).astype(KINDS[kind])
    found, address, _, shape, _, _, _ = inferlay.inputs.lend(value, inferlay.DataType[kind])
    assert (found, address, shape) == (inferlay.DataType[kind], value.unsafe_buffer_pointer(), (3,))


VIEWS = {
    "transposed": lambda: jnp.arange(6.0).reshape(2, 3).T,
    "every other": lambda: jnp.arange(12.0).reshape(3, 4)[:, ::2],
    "repeated": lambda: jnp.broadcast_to(jnp.ones((1, 1)), (2, 3)),
    "empty": lambda: jnp.zeros((0, 3)),
    "computed": lambda: jax.jit(lambda x: x @ x.T)(jnp.ones((3, 2))),
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_read_as_jax_reads_it(server: inferlay.Server, name: str) -> None:
    value = VIEWS[name]()
    answer = server.infer("grid", value)
    assert answer["x"].tolist() == value.tolist() and answer["x"].shape == value.shape


def test_a_scalar_and_a_list_of_arrays_are_inputs(server: inferlay.Server) -> None:
    assert server.infer("scalar", jnp.array(2.5))["x"] == 2.5
    assert server.infer("grid", [jnp.ones(2), jnp.zeros(2)])["x"].tolist() == [[1, 1], [0, 0]]


def test_an_output_outlives_its_response_in_jax(server: inferlay.Server) -> None:
    shared = jnp.from_dlpack(server.infer("FP32", jnp.ones(1000)).tensor("x"))
    server.close()
    assert float(shared.sum()) == 1000


def deleted() -> Any:
    value = jnp.ones(2)
    value.delete()
    return value


REFUSED: Any = [
    (deleted, "ArrayImpl that does not share its memory"),
    (lambda: jnp.zeros(2, jnp.complex64), "type code 5 of 64 bits"),
    (lambda: jnp.zeros(2, jnp.bfloat16), "found BF16, expected FP32"),
    (lambda: jnp.zeros(2, jnp.int32), "found INT32, expected FP32"),
    (lambda: jax.random.key(0), "numpy cannot read: .*PRNGKey"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_jax_does_not_share_is_refused_with_its_reason(server: inferlay.Server, make: Any, message: str) -> None:
    with pytest.raises(inferlay.InvalidArgument, match=f"input 'x': .*{message}"):
        server.infer("FP32", make())
    assert server.infer("FP32", jnp.ones(2))["x"].tolist() == [1, 1]


@pytest.mark.parametrize("trace", [jax.jit, lambda f: jax.grad(lambda x: f(x).sum())], ids=["jit", "grad"])
def test_what_is_traced_is_refused(server: inferlay.Server, trace: Any) -> None:
    with pytest.raises(inferlay.InvalidArgument, match="Tracer that numpy cannot read: .*traced array"):
        trace(lambda x: server.infer("FP32", x)["x"])(jnp.ones(2))


def test_a_program_of_jax_may_call_a_model_back(server: inferlay.Server) -> None:
    shape = jax.ShapeDtypeStruct((2,), "float32")

    @jax.jit
    def program(x: Any) -> Any:
        return 2 * jax.pure_callback(lambda x: server.infer("FP32", x)["x"], shape, x)

    assert program(jnp.ones(2)).tolist() == [2, 2]


def test_a_function_answers_with_arrays(server: inferlay.Server) -> None:
    ports = {"x": ("FP32", [2])}
    double = server.register("double", lambda x: jnp.asarray(x) * 2, inputs=ports, outputs=ports)
    assert double([1, 2])["x"].tolist() == [2, 4]
