"""Without numpy, and in places where Python is different: each in an interpreter of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import inferlay

WITHOUT_NUMPY = """
import sys
sys.modules["numpy"] = sys.modules["ml_dtypes"] = None
import array, asyncio
import inferlay
kinds = {kind.name: {"config.yaml": {"backend": "null", "input": [
    {"name": "x", "data_type": "TYPE_" + kind.name.replace("BYTES", "STRING"), "dims": [-1]}]}}
    for kind in inferlay.DataType}
kinds["grid"] = {"config.yaml": {"backend": "null", "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [2, 2]}]}}
with inferlay.Server(models=kinds, progress=False) as server:
    assert inferlay._numpy.numpy is None
    for name in kinds:
        value = {"BOOL": [True, False], "BYTES": [b"a", b""], "grid": [[1, 2], [3, 4]]}.get(name, [1, 2])
        response = server.infer(name, {"x": value})
        assert isinstance(response["x"], inferlay.Tensor)
        assert response["x"].tolist() == value, (name, response["x"].tolist())
        assert server.infer(name, response)["x"].tolist() == value
        assert len(bytes(response["x"].memoryview())) == response["x"].nbytes
    model = server.model("FP32")
    assert model(array.array("f", [1, 2]))["x"].tolist() == [1, 2]
    assert model(memoryview(array.array("f", [1, 9, 2]))[::2])["x"].tolist() == [1, 2]
    into = array.array("f", [0, 0])
    model.infer([1, 2], out={"x": into})
    assert into.tolist() == [1, 2]
    for wrong in (["a"], [[1], [1, 2]], [[1], 2], 1j, None, array.array("d", [1])):
        try:
            model(wrong)
        except inferlay.InvalidArgument as error:
            assert "x" in str(error), error
        else:
            raise AssertionError(wrong)
    try:
        server.infer("INT8", {"x": [300]})
    except inferlay.InvalidArgument:
        pass
    else:
        raise AssertionError("300 is no INT8")
    asyncio.run(model.infer_async([1, 2]))
    try:
        response["x"].numpy()
    except ImportError as error:
        assert "numpy is not installed" in str(error)
    class Shared:
        def __init__(self, tensor): self.tensor = tensor
        def __dlpack_device__(self): return self.tensor.__dlpack_device__()
        def __dlpack__(self, **keywords): return self.tensor.__dlpack__(**keywords)
    assert model(Shared(server.infer("FP32", [1, 2])["x"]))["x"].tolist() == [1, 2]
    @server.register("same", inputs={"x": ("FP32", [2])}, outputs={"y": ("FP32", [2])})
    def same(x):
        return [number * 2 for number in x.tolist()]
    assert server.infer("same", [1, 2])["y"].tolist() == [2, 4]
print("fine")
"""

BUFFER = """
import inferlay
echo = {"config.yaml": {"backend": "null", "input": [{"name": "x", "data_type": "TYPE_INT64", "dims": [2]}]}}
with inferlay.Server(models={"echo": echo}, progress=False) as server:
    tensor = server.infer("echo", [1, 2]).tensor("x")
assert memoryview(tensor).tolist() == [1, 2] and memoryview(tensor).readonly
print("fine")
"""

SUBINTERPRETER = """
import inferlay
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
number = interpreters.create()
code = '''
try:
    import inferlay
except ImportError:
    raise SystemExit("refused")
raise SystemExit("imported")
'''
try:
    found = interpreters.run_string(number, code)
    text = "" if found is None else str(getattr(found, "formatted", found))
except Exception as error:
    text = str(error)
assert "refused" in text, text
print("fine")
"""

AT_EXIT = """
import asyncio, sys, threading
import numpy
import inferlay
slow = {"config.yaml": {"backend": "null", "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [2]}],
        "parameters": {"delay_us": 20000}, "instance_group": [{"count": 1, "kind": "KIND_CPU"}]}}
server = inferlay.Server(models={"slow": slow}, progress=False)
model = server.model("slow")
kept = model.infer([1, 2])["x"]
futures = [model.submit(numpy.zeros(2, numpy.float32)) for _ in range(100)]
async def main():
    tasks = [asyncio.ensure_future(model.infer_async([1, 2])) for _ in range(10)]
    await asyncio.sleep(0)
    END
server.register("same", lambda x: x, inputs={"x": ("FP32", [2])}, outputs={"y": ("FP32", [2])})([1, 2])
threading.Thread(target=lambda: model.infer([1, 2])).start()
threading.Thread(target=lambda: model.infer_many([[1, 2]] * 10), daemon=True).start()
asyncio.run(main())
"""


# The servers are gone, so that the child has nothing that refuses: it must not touch the threads of its parent.
FORK = """
import gc, logging, os, sys
import inferlay
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
echo = {"config.yaml": {"backend": "null", "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [2]}]}}
server = inferlay.Server(models={"echo": echo}, progress=False)
server.model("echo").submit([1, 2]).result()
server.close()
del server
gc.collect()
pid = os.fork()
if pid == 0:
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
with inferlay.Server(models={"echo": echo}, progress=False) as server:
    assert server.model("echo").submit([1, 2]).result(60)["x"].tolist() == [1, 2]
from inferlay import notices
assert notices.notices()._watcher.thread.is_alive()
print("fine")
"""


def run(code: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(Path(inferlay.__file__).parents[1]), "PYTHONFAULTHANDLER": "1"}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)


def check(code: str) -> None:
    done = run(code)
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr


def test_numpy_is_not_needed() -> None:
    check(WITHOUT_NUMPY)


def test_the_child_of_a_fork_leaves_the_threads_of_its_parent() -> None:
    pytest.importorskip("numpy")
    check(FORK)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="classes of Python have had buffers since CPython 3.12")
def test_a_tensor_is_a_buffer() -> None:
    check(BUFFER)


def test_a_subinterpreter_is_refused() -> None:
    check(SUBINTERPRETER)


@pytest.mark.parametrize(
    ("end", "code"), [("pass", 0), ("sys.exit(3)", 3), ("raise ValueError", 1), ("await asyncio.gather(*tasks)", 0)]
)
def test_the_interpreter_ends_as_it_would_with_requests_in_flight(end: str, code: int) -> None:
    done = run(AT_EXIT.replace("END", end))
    assert done.returncode == code, done.stderr
    assert "Fatal" not in done.stderr, done.stderr


def test_a_server_that_nobody_closed_ends_with_the_interpreter() -> None:
    done: Any = run("import inferlay\nserver = inferlay.Server(progress=False)\nprint('fine')")
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")
