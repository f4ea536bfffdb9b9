"""The blocks of Python in the README run, one after the other, in a folder with models.

A block that needs more than the library says so in a comment before it: ``<!-- needs: backend, numpy -->``. Where that
is not there, it is left out.
"""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import inspect
import json
import re
import shutil
import types
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

import pytest
from conftest import BACKENDS, Examples, echo, port

import inferlay

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCK = re.compile(
    r"(?:^<!-- needs: (?P<needs>[^\n]*) -->\n\n)?^```python\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
# One image in a batch, as the digits take it.
IMAGE = [[[[0.0] * 8] * 8]]
NEEDS = {
    "backend": BACKENDS.is_dir(),
    "numpy": importlib.util.find_spec("numpy") is not None,
    "onnx": importlib.util.find_spec("onnx") is not None,
}


class Block(NamedTuple):
    """A block of Python, and the line that it begins at."""

    line: int
    needs: Tuple[str, ...]
    text: str


def blocks() -> List[Block]:
    """The blocks of the README, in order."""
    readme = README.read_text()
    found = []
    for match in BLOCK.finditer(readme):
        needs = tuple((match["needs"] or "").split(", ")) if match["needs"] else ()
        found.append(Block(readme.count("\n", 0, match.start("text")), needs, match["text"]))
    return found


def run(block: Block, names: Dict[str, Any]) -> None:
    """Runs a block, which may await at its top, with the lines of the README in what it raises."""
    text = "\n" * block.line + block.text
    code = compile(text, str(README), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if code.co_flags & inspect.CO_COROUTINE:
        asyncio.run(types.FunctionType(code, names)())
    else:
        exec(code, names)


def write_models(folder: Path) -> None:
    """Models `digits` and `detector`, the latter in versions 1 and 3, that echo; and an ONNX file."""
    config = json.dumps(echo(port("image", "FP32", [1, 8, 8]), max_batch_size=8)["config.yaml"])
    for place in ("digits/1", "detector/1", "detector/3"):
        (folder / "models" / place).mkdir(parents=True)
        (folder / "models" / place).with_name("config.yaml").write_text(config)
    shutil.copy(Examples.DIGITS, folder / "model.onnx")


def test_every_block_runs(tmp_path: Path, monkeypatch: Any) -> None:
    write_models(tmp_path)
    monkeypatch.chdir(tmp_path)
    changes = inferlay.Server.changes

    def told(server: inferlay.Server) -> inferlay.Changes:
        """Changes, of which there is one to come."""
        made = changes(server)
        server.load("digits", wait=False)
        return made

    monkeypatch.setattr(inferlay.Server, "changes", told)
    names: Dict[str, Any] = {"inferlay": inferlay, "array": IMAGE, "image": IMAGE, "images": [IMAGE] * 3}
    names["inputs"] = {"image": IMAGE}
    if NEEDS["onnx"]:
        names["onnx"] = importlib.import_module("onnx")
    ran = 0
    for block in blocks():
        if all(NEEDS[need] for need in block.needs):
            run(block, names)
            ran += 1
        if "digits" in names:
            names.setdefault("model", names["digits"])
    assert ran >= len([block for block in blocks() if not block.needs]) >= 6
    assert callable(names["double"])


def test_what_a_block_needs_is_known() -> None:
    assert {need for block in blocks() for need in block.needs} <= set(NEEDS)
    assert README.read_text().count("```python") == len(blocks())


def test_a_block_that_fails_is_told_of_with_its_line() -> None:
    block = blocks()[-1]
    with pytest.raises(NameError) as raised:
        run(Block(block.line, (), "nothing_of_that_name"), {})
    assert raised.traceback[-1].lineno == block.line
