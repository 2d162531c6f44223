"""Writes the tables of ROOFLINE.md between their markers: ``python -m bench.report.roofline``.

The first table is computed from the counts of the workload and from launches counted in the emulator. The second table
is the report of ptxas on the kernels, which are compiled in ``build/ptxas`` unless a log is given.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import torch

from bench.measure.launches import CountLaunches
from bench.paths import ROOT
from bench.report.ptxas_table import build_log, table
from bench.workload.batch import SMALL, make_workload
from bench.workload.every_operator import OperatorCall, operator_calls

DOCUMENT = ROOT / "bench" / "ROOFLINE.md"
# The model of an H100: bytes/us of a device copy, float32 flops/us, us for a launch, us for an iteration of EM.
COPY, FLOPS, LAUNCH, EM_ITERATION = 3.0e6, 67e6, 4.0, 0.3


def roofline(calls: list[OperatorCall], launches: list[int]) -> list[str]:
    lines = [
        "| operator | on | MB | Mflop | launches | bytes us | flops us | EM us | floor us | with launches us "
        "| measured us |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for call, count in zip(calls, launches, strict=True):
        moved, computed, chain = call.bytes / COPY, call.flops / FLOPS, call.em_iterations * EM_ITERATION
        bound = max(moved, computed) + chain
        lines.append(
            f"| `{call.op}` | {call.what} | {call.bytes / 1e6:.2f} | {call.flops / 1e6:.1f} | {count} | {moved:.1f} "
            f"| {computed:.1f} | {f'{chain:.1f}' if chain else ''} | {bound:.1f} | {bound + LAUNCH * count:.1f} | |"
        )
    return lines


def count_launches() -> list[int]:
    """Launches of every call, on a tiny workload. The number of launches of an operator does not depend on sizes."""
    counts = []
    for call in operator_calls(make_workload(**SMALL), torch.device("cpu")):
        with CountLaunches() as launched:
            call.run()
        counts.append(launched.count)
    return counts


def replace_between(text: str, name: str, lines: list[str]) -> str:
    pattern = rf"(<!-- {name}: .*? -->\n).*?(<!-- end of {name} -->)"
    found, times = re.subn(pattern, lambda m: m[1] + "\n".join(lines) + "\n" + m[2], text, flags=re.DOTALL)
    if times != 1:
        raise SystemExit(f"{DOCUMENT.name} should have one pair of markers for {name}, got {times}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ptxas-log", type=Path, help="read this instead of compiling")
    parser.add_argument("--no-ptxas", action="store_true", help="leave the second table as it is")
    arguments = parser.parse_args()
    text = DOCUMENT.read_text()
    calls = operator_calls(make_workload(), torch.device("cpu"))
    text = replace_between(text, "roofline", roofline(calls, count_launches()))
    if not arguments.no_ptxas:
        log = arguments.ptxas_log.read_text() if arguments.ptxas_log else build_log()
        text = replace_between(text, "ptxas", table(log))
    DOCUMENT.write_text(text)


if __name__ == "__main__":
    main()
