"""Runs ONNX's own tests of single operators by ONNX Runtime's Python API, for `node.rs` to compare with.

    node_reference.py FOLDER OUT

FOLDER holds the cases, as the Python package `onnx` ships them. For each set of data, OUT gets a file `CASE.SET` with its
tensors, and at the end `results` says in one line per case how it went here:

    CASE <tab> passed | failed | foreign <tab> why

`foreign` are cases with inputs or outputs that are no tensors, or of element types that Inferlay has not; whether they
pass here is not compared. The comparison is that of the SDK's conformance suite, with the same tolerance.
"""

import ctypes
import pathlib
import struct
import sys

import numpy as np
import onnx
import onnx.numpy_helper
import onnxruntime

# ONNX's own runner allows a relative error of 1e-3.
TOLERANCE = 1e-3

# The element types that both have: ONNX's number, our name, and that of the runtime's Python API.
TYPES = [
    (1, "FP32", "float"), (2, "UINT8", "uint8"), (3, "INT8", "int8"), (4, "UINT16", "uint16"), (5, "INT16", "int16"),
    (6, "INT32", "int32"), (7, "INT64", "int64"), (8, "BYTES", "string"), (9, "BOOL", "bool"), (10, "FP16", "float16"),
    (11, "FP64", "double"), (12, "UINT32", "uint32"), (13, "UINT64", "uint64"), (16, "BF16", "bfloat16"),
]
OURS = {number: name for number, name, _ in TYPES}
PYTHONS = {f"tensor({name})" for _, _, name in TYPES}
# The one type that numpy has not.
BFLOAT16 = 16


def read_set(folder, model):
    """The inputs and outputs of a set: (number of the element type, array) or None for what is no tensor."""

    def read(kind, ports):
        found = []
        for index, port in enumerate(ports):
            path = folder / f"{kind}_{index}.pb"
            if not path.is_file():
                break
            if port.type.WhichOneof("value") != "tensor_type":
                found.append(None)
                continue
            proto = onnx.TensorProto.FromString(path.read_bytes())
            found.append((proto.data_type, onnx.numpy_helper.to_array(proto)))
        return found

    return read("input", model.graph.input), read("output", model.graph.output)


def content(number, array):
    """The bytes of a tensor: its elements, or each text with its length before it."""
    if OURS.get(number) != "BYTES":
        return np.ascontiguousarray(array).tobytes()
    texts = [text if isinstance(text, bytes) else str(text).encode() for text in array.reshape(-1)]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def write_set(path, inputs, outputs):
    with path.open("wb") as file:
        for kind, tensors in (("input", inputs), ("output", outputs)):
            for tensor in tensors:
                if tensor is None or tensor[0] not in OURS:
                    file.write(f"{kind} OTHER 0 -\n".encode())
                    continue
                raw, dims = content(*tensor), ",".join(map(str, tensor[1].shape))
                file.write(f"{kind} {OURS[tensor[0]]} {len(raw)} {dims or '-'}\n".encode() + raw)


def run_brain_floats(session, names, inputs, outputs):
    """A run with values of a type that numpy has not, by their bits."""

    def feed(number, array):
        if number != BFLOAT16:
            return onnxruntime.OrtValue.ortvalue_from_numpy(array)
        bits = np.ascontiguousarray(array).view(np.uint16)
        return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, BFLOAT16)

    def fetch(value, number, expected):
        if number != BFLOAT16:
            return value.numpy()
        bits = ctypes.string_at(value.data_ptr(), 2 * int(np.prod(value.shape(), dtype=np.int64)))
        return np.frombuffer(bits, expected.dtype).reshape(value.shape())

    feeds = {name: feed(*tensor) for name, tensor in zip(names, inputs, strict=True)}
    found = session.run_with_ort_values(None, feeds)
    return [fetch(value, *tensor) for value, tensor in zip(found, outputs, strict=True)]


def difference(found, expected):
    if found.shape != expected.shape:
        return f"found shape {found.shape}, expected {expected.shape}"
    if expected.dtype.kind in "OSU":
        text = lambda one: one if isinstance(one, bytes) else str(one).encode()
        pairs = zip(found.reshape(-1), expected.reshape(-1))
        return None if all(text(a) == text(b) for a, b in pairs) else "texts differ"
    if found.dtype != expected.dtype:
        return f"found {found.dtype}, expected {expected.dtype}"
    if expected.dtype.kind == "f" or expected.dtype.name == "bfloat16":
        a, b = found.astype(np.float64), expected.astype(np.float64)
        with np.errstate(invalid="ignore"):
            near = np.abs(a - b) <= TOLERANCE * np.maximum(np.abs(b), 1.0)
        same = (a == b) | (np.isnan(a) & np.isnan(b)) | near
        return None if same.all() else "numbers differ"
    return None if (found == expected).all() else "elements differ"


def run(session, inputs, outputs):
    names = [port.name for port in session.get_inputs()]
    if any(number == BFLOAT16 for number, _ in inputs + outputs):
        found = run_brain_floats(session, names, inputs, outputs)
    else:
        found = session.run(None, {name: array for name, (_, array) in zip(names, inputs, strict=True)})
    for index, (value, (_, expected)) in enumerate(zip(found, outputs, strict=True)):
        differs = difference(np.asarray(value), expected)
        if differs:
            return f"output {index}: {differs}"
    return None


def case(folder, out):
    model = onnx.load(folder / "model.onnx")
    sets = sorted(path for path in folder.iterdir() if path.is_dir())
    data = [read_set(path, model) for path in sets]
    for path, (inputs, outputs) in zip(sets, data):
        write_set(out / f"{folder.name}.{path.name}", inputs, outputs)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    for port in session.get_inputs() + session.get_outputs():
        if port.type not in PYTHONS:
            return "foreign", f"'{port.name}' is {port.type}"
    for inputs, outputs in data:
        why = run(session, inputs, outputs)
        if why:
            return "failed", why
    return "passed", ""


def main():
    folder, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    lines = []
    for path in sorted(folder.iterdir()):
        # A case without data would pass without a word.
        if not (path / "model.onnx").is_file() or not any(child.is_dir() for child in path.iterdir()):
            continue
        try:
            outcome, why = case(path, out)
        except Exception as error:  # Whatever the runtime raises is how the case went.
            outcome, why = "failed", str(error)
        lines.append(f"{path.name}\t{outcome}\t{' '.join(why.split())[:300]}\n")
    (out / "results").write_text("".join(lines), encoding="utf-8")


main()
