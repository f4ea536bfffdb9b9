"""What a request costs in Python: the engine beside bare calls of ONNX Runtime and beside asyncio alone.

    INFERLAY_LIBRARY=... INFERLAY_BACKENDS=... PYTHONPATH=python/src python python/benches [--pin CORE] [--json]

It needs numpy, onnx and onnxruntime. ``python/README.md`` says what the cases are.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List, NamedTuple


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python python/benches", description=__doc__.splitlines()[0])
    parser.add_argument("--pin", type=int, metavar="CORE", help="keep all threads on one core")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.add_argument("--network", action="append", choices=["digits", "resnet18", "dense"], help="all by default")
    parser.add_argument("--case", action="append", metavar="TEXT", help="only cases whose names hold this")
    parser.add_argument("--designs", action="store_true", help="also other ways to await answers, see designs.py")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--turn-ms", type=int, default=200, help="how long a turn of a case takes about")
    parser.add_argument("--requests", type=int, help="how many requests a turn has, instead")
    return parser.parse_args()


class Aim(NamedTuple):
    """What should be so, of a case and what it is beside."""

    text: str
    case: str
    other: str
    of: str
    limit: float
    is_difference: bool = False


AIMS = [
    Aim("us of processor time above the bare call", "digits:infer/1", "digits:session/1", "cpu_s", 15, True),
    Aim("us of wall time above the bare call", "digits:infer/1", "digits:session/1", "wall_s", 15, True),
    Aim("times the floor of asyncio", "digits:async/64", "floor/64", "wall_s", 1.3),
    Aim("times the floor with the network in it", "digits:async/64", "digits:floor-net/64", "wall_s", 1.3),
    Aim("times the pool's time", "digits:async/64", "digits:pool/64", "wall_s", 1),
    Aim("times the pool's processor time", "digits:async/64", "digits:pool/64", "cpu_s", 1),
    Aim("of the cost of a row alone, in a batch of 32", "dense:session/32", "dense:session/1", "wall_s", 1 / 6),
    Aim("times the pool's time", "dense:async/64", "dense:pool/64", "wall_s", 1 / 3),
]


def machine() -> Dict[str, Any]:
    """What it was measured on."""
    import numpy
    import onnxruntime

    import inferlay

    told = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in told.read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "onnxruntime": onnxruntime.__version__,
        "inferlay": inferlay.__version__,
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def run(asked: argparse.Namespace) -> Dict[str, Any]:
    """Measures all cases of one network after the other, the floor beside each."""
    # Not before the process is on its core.
    from cases import cases_of, floor
    from designs import designs_of
    from measure import above, figures, measure, ratio
    from networks import NETWORKS

    import inferlay

    report: Dict[str, Any] = {"machine": machine(), "cases": {}, "aims": []}
    loop = asyncio.new_event_loop()
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.network or NETWORKS:
            network = NETWORKS[name](Path(folder))
            backends = os.environ.get("INFERLAY_BACKENDS")
            with inferlay.Server(models=network.models(), backends=backends, strict=True) as server:
                cases = [floor(loop), *cases_of(network, server, loop)]
                if asked.designs:
                    cases += designs_of(network, server, loop)
                if asked.case:
                    cases = [case for case in cases if any(text in case.name for text in asked.case)]
                turns = measure(cases, asked.rounds, asked.turn_ms / 1000, asked.requests)
            for case, taken in turns.items():
                told = figures(taken)
                for peer in ("floor/64", f"{name}:session/1", f"{name}:pool/64"):
                    told[f"of {peer.split(':')[-1]}"] = ratio(turns, case, peer, "wall_s") if peer in turns else None
                report["cases"].setdefault(case, told)
            for aim in AIMS:
                if aim.case.startswith(name) and aim.case in turns and aim.other in turns:
                    found = (above if aim.is_difference else ratio)(turns, aim.case, aim.other, aim.of)
                    report["aims"].append({**aim._asdict(), "found": found, "is_kept": found <= aim.limit})
    report["machine"]["load_average_after"] = [round(load, 2) for load in os.getloadavg()]
    return report


def table(report: Dict[str, Any]) -> List[str]:
    """The report for people."""
    lines = [", ".join(f"{name} {value}" for name, value in report["machine"].items()), ""]
    heads = ("case", "req/s", "us", "CPU us", "batch", "of floor/64", "of session/1", "of pool/64")
    lines.append("{:<24}{:>10}{:>12}{:>12}{:>8}{:>13}{:>13}{:>12}".format(*heads))
    for name, told in report["cases"].items():
        others = [told.get(f"of {peer}") for peer in ("floor/64", "session/1", "pool/64")]
        numbers = [told["req_per_s"], told["us_per_req"], told["cpu_us_per_req"], told["mean_batch"], *others]
        widths = ((10, 0), (12, 1), (12, 1), (8, 1), (13, 2), (13, 2), (12, 2))
        cells = ("-".rjust(w) if n is None else f"{n:>{w}.{d}f}" for n, (w, d) in zip(numbers, widths))
        lines.append(f"{name:<24}{''.join(cells)}")
    lines.append("")
    for aim in report["aims"]:
        kept = "pass" if aim["is_kept"] else "MISS"
        lines.append(f"{kept}  {aim['case']} {aim['found']:.2f} {aim['text']}, {aim['limit']:.2f} at most")
    return lines


def main() -> int:
    """Runs the bench."""
    asked = arguments()
    if asked.pin is not None:
        os.sched_setaffinity(0, {asked.pin})
    report = run(asked)
    print(json.dumps(report, indent=1) if asked.json else "\n".join(table(report)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
