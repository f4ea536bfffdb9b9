"""The declarations are those of the header, and the library is the one that they were made for."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import inferlay
from inferlay import _ffi, _library


@pytest.fixture(scope="module")
def generator() -> Any:
    path = Path(__file__).resolve().parents[1] / "tools" / "generate_ffi.py"
    spec = importlib.util.spec_from_file_location("generate_ffi", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["generate_ffi"] = module
    spec.loader.exec_module(module)
    return module


def test_the_declarations_are_those_of_the_header(generator: Any) -> None:
    made = generator.generate(generator.HEADER.read_text(encoding="utf-8"))
    assert made == generator.TARGET.read_text(encoding="utf-8"), "run python/tools/generate_ffi.py"


def test_a_function_that_no_pattern_reads_is_an_error(generator: Any) -> None:
    with pytest.raises(SystemExit, match="inferlay_new_thing"):
        generator.generate("int inferlay_new_thing(int (*f)(void), int b) {\n")


def test_every_function_of_the_header_is_declared(generator: Any) -> None:
    exports = generator.HEADER.parents[1] / "tests" / "capi" / "exports.txt"
    for name in exports.read_text(encoding="utf-8").split():
        assert hasattr(_library.functions, name[len("inferlay_") :]), name


def test_structs_have_the_sizes_of_the_library() -> None:
    assert ctypes.sizeof(_ffi.View) == 80
    assert ctypes.sizeof(_ffi.Event) == 48


def test_only_calls_that_wait_let_go_of_the_interpreter_lock(generator: Any) -> None:
    header = generator.Header(generator.HEADER.read_text(encoding="utf-8"))
    waiting = {function.name for function in header.functions if function.blocks}
    assert {"inferlay_infer", "inferlay_server_new", "inferlay_queue_next_many"} <= waiting
    assert not {"inferlay_infer_queue", "inferlay_response_free", "inferlay_request_cancel"} & waiting


def run(variable: str, code: str = "import inferlay") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "INFERLAY_LIBRARY": variable}
    environment["PYTHONPATH"] = str(Path(inferlay.__file__).parents[1])
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/nowhere/libinferlay.so", "found no shared library at /nowhere/libinferlay.so"),
        (sys.executable, "ImportError: inferlay: "),
    ],
)
def test_a_library_that_is_none_is_an_import_error(path: str, expected: str) -> None:
    done = run(path)
    assert done.returncode == 1
    assert "ImportError" in done.stderr and expected in done.stderr


def test_a_library_of_another_version_is_an_import_error() -> None:
    done = run(
        str(_library.PATH),
        "import sys, types, pathlib\n"
        f"folder = pathlib.Path({str(Path(inferlay.__file__).parent)!r})\n"
        "package = types.ModuleType('inferlay'); package.__path__ = [str(folder)]; sys.modules['inferlay'] = package\n"
        "import inferlay._ffi as ffi; ffi.API_VERSION = 99\n"
        "import inferlay._library\n",
    )
    assert "found API version 1, expected 99" in done.stderr
