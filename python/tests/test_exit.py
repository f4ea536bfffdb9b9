"""The end of the interpreter, whatever is in flight: the code is Python's own, and nothing crashes.

Each case is a program of its own: a way to have requests in flight, and a way to end. With `INFERLAY_SOAK=1` each runs
20 times.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SOAK

import inferlay

RUNS = 20 if SOAK else 2

PROGRAM = """
import asyncio, signal, sys, threading
import inferlay

# As in a terminal: what was started in the background may ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)

slow = {"config.yaml": {"backend": "null", "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [2]}],
        "parameters": {"delay_us": 30000}, "instance_group": [{"count": 1, "kind": "KIND_CPU"}]}}
server = inferlay.Server(models={"slow": slow}, progress=False)
model = server.model("slow")

def ask():
    model.infer([1, 2])

def ask_for_ever():
    while True:
        try:
            model.infer([1, 2])
        except inferlay.Error:
            pass

def threads():
    for _ in range(4):
        threading.Thread(target=ask).start()
        threading.Thread(target=ask_for_ever, daemon=True).start()
    end()

def futures():
    waiting = [model.submit([1, 2]) for _ in range(50)]
    end()
    print(len(waiting))

def lists():
    threading.Thread(target=lambda: model.infer_many([[1, 2]] * 10, return_errors=True), daemon=True).start()
    ask()
    end()

def loop():
    async def main():
        tasks = [asyncio.ensure_future(model.infer_async([1, 2])) for _ in range(50)]
        await asyncio.sleep(0)
        end()
        await asyncio.sleep(0)
        print(len(tasks))
    asyncio.run(main())

def function():
    begun, ports = threading.Event(), {"x": ("FP32", [2])}
    def same(x):
        begun.set()
        return x
    served = server.register("same", same, inputs=ports, outputs=ports, max_batch_size=2, instances=2)
    waiting = [served.submit([[1, 2]]) for _ in range(500)]
    begun.wait()
    end()
    print(len(waiting))
"""

ENDS = {
    "normally": ("pass", 0),
    "by exception": ("raise ValueError('the end')", 1),
    "by sys.exit": ("sys.exit(3)", 3),
    "by sys.exit in a thread": ("threading.Thread(target=sys.exit, args=(3,)).start()", 0),
    "by SIGINT": ("signal.raise_signal(signal.SIGINT)", -signal.SIGINT),
}


def start(code: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": str(Path(inferlay.__file__).parents[1]), "PYTHONFAULTHANDLER": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=pipe, stderr=pipe, text=True)


def check_end(process: "subprocess.Popen[str]", code: int) -> None:
    _, said = process.communicate(timeout=120)
    assert process.returncode == code and "Fatal" not in said, (process.returncode, said)
    assert ("KeyboardInterrupt" in said) == (code == -signal.SIGINT), said


@pytest.mark.parametrize("way", ["threads", "futures", "lists", "loop", "function"])
@pytest.mark.parametrize("end", ENDS)
def test_the_interpreter_ends_as_pythons_own_whatever_is_in_flight(way: str, end: str) -> None:
    line, code = ENDS[end]
    for _ in range(RUNS):
        check_end(start(f"{PROGRAM}\ndef end():\n    {line}\n{way}()\n"), code)


WAITING = {
    "threads": """
thread = threading.Thread(target=model.infer_many, args=([[1, 2]] * 10,))
thread.start()
print("asked", flush=True)
thread.join()
""",
    "futures": """
waiting = [model.submit([1, 2]) for _ in range(100)]
print("asked", flush=True)
waiting[-1].result()
""",
    "lists": """
print("asked", flush=True)
model.infer_many([[1, 2]] * 100)
""",
    "loop": """
async def main():
    tasks = [asyncio.ensure_future(model.infer_async([1, 2])) for _ in range(100)]
    await asyncio.sleep(0)
    print("asked", flush=True)
    await asyncio.gather(*tasks)
asyncio.run(main())
""",
}


@pytest.mark.parametrize("way", WAITING)
def test_an_interrupt_ends_a_program_that_waits_for_answers(way: str) -> None:
    for _ in range(RUNS):
        process = start(PROGRAM + WAITING[way])
        assert process.stdout is not None and process.stdout.readline() == "asked\n"
        process.send_signal(signal.SIGINT)
        check_end(process, -signal.SIGINT)


def test_the_interpreter_ends_though_a_function_that_is_told_never_does() -> None:
    code = """
server.subscribe(lambda change: threading.Event().wait())
server.remove("slow")
while model.is_ready:
    pass
"""
    for _ in range(RUNS):
        check_end(start(PROGRAM + code), 0)
