"""Two small commands.

    python -m inferlay models <repository>                  what a folder of models serves, and what it does not
    python -m inferlay run <repository> <model> <input>     asks a model with the arrays of a .json, .npy or .npz file

``repository`` may also be one file of a model. An input of JSON maps names to nested lists, or has the form of KServe
v2. What is written is strict JSON, which has no numbers that are not finite: these are the texts ``"NaN"``,
``"Infinity"`` and ``"-Infinity"``, as protobuf writes them, and are read as such too.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import zipfile
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ._numpy import numpy
from .dtypes import DataType
from .errors import Error, InvalidArgument
from .model import Model, signature
from .response import Response
from .server import Server
from .tensors import nested

FRACTIONS = (DataType.FP16, DataType.FP32, DataType.FP64, DataType.BF16)
UNBOUNDED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs a command; what it exits with.

    >>> main(["models", "nowhere"])
    1
    """
    said = parser().parse_args(arguments)
    path = said.repository
    where: Dict[str, Any] = {"models": path} if os.path.isfile(path) else {"repository": path}
    try:
        with Server(backends=said.backends or None, **where) as server:
            return int(said.run(server, said))
    except (Error, OSError) as error:
        sys.stderr.write(f"inferlay: {error}\n")
        return 1


def parser() -> argparse.ArgumentParser:
    """What the command line may say."""
    made = argparse.ArgumentParser(prog="inferlay", description="a model server that is a library")
    commands = made.add_subparsers(required=True, metavar="command")
    models = commands.add_parser("models", help="list the models of a repository")
    models.add_argument("--json", action="store_true", help="print JSON")
    models.set_defaults(run=list_models)
    run = commands.add_parser("run", help="ask a model")
    run.set_defaults(run=run_model)
    for command in (models, run):
        command.add_argument("repository", help="a folder of models, or the file of one")
        command.add_argument("--backends", action="append", metavar="FOLDER", help="where backends are")
    run.add_argument("model", help="its name")
    run.add_argument("input", help="a file: .json, .npy or .npz; - for JSON on stdin")
    run.add_argument("--version", type=int, default=0, help="of the model; the highest by default")
    run.add_argument("--output", metavar="FILE", help="where the outputs go: .json or .npz; JSON on stdout by default")
    return made


def list_models(server: Server, said: argparse.Namespace) -> int:
    """Prints every version of every model; 1 when one does not serve."""
    rows = server.models
    if said.json:
        print(json.dumps(rows, indent=2))
    else:
        cells = [["model", "version", "state", "inputs", "outputs"]] + [row(server, one) for one in rows]
        widths = [max(len(line[column]) for line in cells) for column in range(5)]
        for line in cells:
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
        for one in rows:
            if one["reason"]:
                print(f"{one['name']}: {one['reason']}")
    return 0 if all(one["state"] == "READY" for one in rows) else 1


def row(server: Server, told: Mapping[str, Any]) -> List[str]:
    """A line of the table."""
    inputs = outputs = ""
    if told["state"] == "READY":
        model = server.model(told["name"], told["version"])
        inputs, outputs = signature(model.inputs), signature(model.outputs)
    return [told["name"], str(told["version"]), told["state"], inputs, outputs]


def run_model(server: Server, said: argparse.Namespace) -> int:
    """Asks a model with what a file holds, and writes what it answers."""
    if said.output and not said.output.endswith((".json", ".npz")):
        raise InvalidArgument(f"{said.output}: found another kind of file, expected .json or .npz")
    model = server.model(said.model, said.version)
    response = model.infer(read(said.input, model))
    if said.output and said.output.endswith(".npz"):
        numpy = need_numpy(said.output)
        # Strings as numpy has them, which are read without unpickling anything.
        arrays = {name: array.astype("S") if array.dtype.hasobject else array for name, array in response.items()}
        numpy.savez(said.output, **arrays)
        return 0
    text = json.dumps(written(response), indent=None if not said.output else 2, allow_nan=False)
    if said.output:
        with open(said.output, "w", encoding="utf-8") as target:
            target.write(text + "\n")
    else:
        print(text)
    return 0


def read(path: str, model: Model) -> Any:
    """The inputs that a file holds."""
    if path.endswith((".npy", ".npz")):
        return arrays(path)
    try:
        if path == "-":
            told = json.load(sys.stdin)
        else:
            with open(path, encoding="utf-8") as source:
                told = json.load(source)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"{path}: found no JSON: {error}") from error
    if isinstance(told, dict) and isinstance(told.get("inputs"), list):
        told = dict(shaped(one, model) for one in told["inputs"])
    elif not isinstance(told, dict) and len(model.inputs) == 1:
        told = {next(iter(model.inputs)): told}
    if not isinstance(told, dict):
        return told
    fractions = [name for name, port in model.inputs.items() if port.dtype in FRACTIONS]
    return {name: numbers(data) if name in fractions else data for name, data in told.items()}


def numbers(data: Any) -> Any:
    """Nested lists, with the numbers that are not finite as such.

    >>> numbers([1.5, ["NaN", "-Infinity"]])
    [1.5, [nan, -inf]]
    """
    if isinstance(data, list):
        return [numbers(item) for item in data]
    return UNBOUNDED.get(data, data) if isinstance(data, str) else data


def texts(data: Any) -> Any:
    """Nested lists, with the numbers that are not finite as texts.

    >>> texts([1.5, [math.nan, -math.inf]])
    [1.5, ['NaN', '-Infinity']]
    """
    if isinstance(data, list):
        return [texts(item) for item in data]
    if math.isfinite(data):
        return data
    return "NaN" if math.isnan(data) else "Infinity" if data > 0 else "-Infinity"


def arrays(path: str) -> Any:
    """What a file of arrays holds: one, or several by name."""
    module = need_numpy(path)
    try:
        if path.endswith(".npy"):
            with open(path, "rb") as source:
                return module.lib.format.read_array(source, allow_pickle=False)
        with zipfile.ZipFile(path), module.load(path) as held:
            return dict(held)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidArgument(f"{path}: found no arrays: {error}") from error


def shaped(told: Any, model: Model) -> Tuple[str, Any]:
    """The name of an input in the form of KServe v2 and its data, which may be flat."""
    if not isinstance(told, dict) or not isinstance(told.get("name"), str) or "data" not in told:
        raise InvalidArgument(f"inputs: found {json.dumps(told)[:80]}, expected name, datatype, shape and data")
    name, data, shape = told["name"], told["data"], told.get("shape")
    if name in model.inputs and told.get("datatype", model.inputs[name].dtype.name) != model.inputs[name].dtype.name:
        expected = model.inputs[name].dtype
        raise InvalidArgument(f"input {name!r}: found {told['datatype']}, expected {expected}")
    if shape is None or (isinstance(data, list) and data and isinstance(data[0], list)):
        return name, data
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise InvalidArgument(f"input {name!r}: found shape {shape!r}, expected a list of whole numbers")
    if not isinstance(data, list):
        raise InvalidArgument(f"input {name!r}: found {data!r} as data, expected a list")
    if len(data) != math.prod(shape):
        raise InvalidArgument(f"input {name!r}: found {len(data)} elements, expected {math.prod(shape)} for {shape}")
    return name, nested(data, tuple(shape))


def written(response: Response) -> Dict[str, Any]:
    """A response in the form of KServe v2."""
    outputs = []
    for name in response:
        tensor = response.tensor(name)
        if tensor.dtype is DataType.BYTES:
            data = [text.decode("utf-8", "replace") for text in tensor.elements()]
        else:
            data = texts(tensor.tolist()) if tensor.dtype in FRACTIONS else tensor.tolist()
        outputs.append({"name": name, "datatype": tensor.dtype.name, "shape": list(tensor.shape), "data": data})
    return {"model_name": response.model, "model_version": str(response.version), "outputs": outputs}


def need_numpy(path: str) -> Any:
    """The module numpy, which files of arrays need."""
    if numpy is None:
        raise InvalidArgument(f"{path}: arrays in files need numpy, which is not installed; JSON does without")
    return numpy


__all__ = ["main"]
