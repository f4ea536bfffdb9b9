"""Ctrl-C: programs end as Python's own do, whatever is in flight."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import inferlay

PROGRAM = """
import asyncio
import inferlay
slow = {"config.yaml": {"backend": "null", "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [2]}],
        "parameters": {"delay_us": 300000}, "instance_group": [{"count": 1, "kind": "KIND_CPU"}]}}
server = inferlay.Server(models={"slow": slow}, progress=False)
model = server.model("slow")
async def ask():
    tasks = [asyncio.ensure_future(model.infer_async([1, 2])) for _ in range(100)]
    await asyncio.sleep(0)
    print("asked", flush=True)
    await asyncio.gather(*tasks)
def many():
    futures = [model.submit([1, 2]) for _ in range(100)]
    print("asked", flush=True)
    model.infer_many([[1, 2]] * 100)
def futures():
    waiting = [model.submit([1, 2]) for _ in range(100)]
    print("asked", flush=True)
    waiting[-1].result()
"""


@pytest.mark.parametrize("call", ["asyncio.run(ask())", "many()", "futures()"])
def test_an_interrupt_ends_the_program_as_pythons_own(call: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(inferlay.__file__).parents[1]), "PYTHONFAULTHANDLER": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM + call],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "asked\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert "KeyboardInterrupt" in said and "Fatal" not in said, said
    assert process.returncode == -signal.SIGINT, said
