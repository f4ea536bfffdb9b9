"""The bench, which must work and add up; what it measures is not judged here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, List

import pytest

import inferlay

pytest.importorskip("numpy")

pytestmark = pytest.mark.once


def bench(root: Path, backends: str, *arguments: str) -> str:
    """What a short run prints."""
    package = str(Path(inferlay.__file__).parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    ended = subprocess.run(
        [sys.executable, str(root / "python" / "benches"), "--network", "digits", "--rounds", "1", *arguments],
        env={**os.environ, "PYTHONPATH": path, "INFERLAY_BACKENDS": backends},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_every_way_to_ask_is_measured_and_compared(onnxruntime_backend: str, repository_root: Path) -> None:
    told: Any = json.loads(bench(repository_root, onnxruntime_backend, "--requests", "128", "--json"))
    names: List[str] = [name.split(":")[-1] for name in told["cases"]]
    engine = ["infer/1", "async/1", "async/64", "many/64"]
    assert names == ["floor/64", "session/1", "session/32", "pool/64", "floor-net/64", *engine]
    assert all(case["req_per_s"] > 0 for case in told["cases"].values())
    assert told["cases"]["digits:infer/1"]["mean_batch"] == 1
    assert told["cases"]["digits:many/64"]["mean_batch"] > 1
    assert told["cases"]["digits:pool/64"]["of pool/64"] == 1
    assert len(told["aims"]) == 6


def test_other_ways_to_await_answer_in_full_too(onnxruntime_backend: str, repository_root: Path) -> None:
    asked = ("--requests", "128", "--json", "--designs", "--case", "ed/64")
    told: Any = json.loads(bench(repository_root, onnxruntime_backend, *asked))
    assert [*told["cases"]] == [f"digits:{name}/64" for name in ("threaded", "polled", "joined")]
    assert all(case["mean_batch"] > 1 for case in told["cases"].values())


def test_cases_are_chosen_by_name_and_shown_in_a_table(onnxruntime_backend: str, repository_root: Path) -> None:
    printed = bench(repository_root, onnxruntime_backend, "--requests", "64", "--case", "pool", "--case", "infer/1")
    assert [line.split()[0] for line in printed.splitlines() if line.startswith("digits:")] == [
        "digits:pool/64",
        "digits:infer/1",
    ]
