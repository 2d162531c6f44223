"""Writes the tables of ROOFLINE.md between their markers: ``python -m bench.report.roofline``.

``--architectures 90`` compiles the kernels of the last table for these only, which takes a quarter of the time.

The operators are computed from the counts of the workload, from launches counted in the emulator, and the cycles of EM
from the machine code. The other tables are what the compiler made of the kernels, which are compiled in
``build/cubins``.
"""

from __future__ import annotations

import argparse
import re

import torch

from bench.measure.hot_loop_list import measure_hot_loops
from bench.measure.kernel_model import CYCLES_US, MEMORY
from bench.measure.kernel_work import operator_work
from bench.measure.launches import CountLaunches
from bench.measure.sass.hot_loops import Figures
from bench.measure.sass.ptxas import resources
from bench.paths import ROOT
from bench.report import kernel_table
from bench.report.sass_tables import hot_loops_table, times_table
from bench.workload.batch import SMALL, make_workload
from bench.workload.every_operator import OperatorCall, operator_calls

DOCUMENT = ROOT / "bench" / "ROOFLINE.md"
FLOPS, LAUNCH = 67e6, 4.0  # float32 flops of a microsecond of an H100; us of a launch


def roofline(calls: list[OperatorCall], launches: list[int], loops: dict[str, Figures]) -> list[str]:
    lines = [
        "| operator | on | MB | Mflop | launches | bytes us | flops us | EM us | floor us | with launches us "
        "| measured us |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for call, count in zip(calls, launches, strict=True):
        short, long = call.em_iterations
        moved, computed = call.bytes / MEMORY, call.flops / FLOPS
        chain = max(short * loops["em_32"].cycles, long * loops["em_64"].cycles) / CYCLES_US
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architectures", type=int, nargs="+", help="default: those of CMakeLists.txt")
    arguments = parser.parse_args()
    text = DOCUMENT.read_text()
    w = make_workload()
    loops = measure_hot_loops()
    text = replace_between(text, "roofline", roofline(operator_calls(w, torch.device("cpu")), count_launches(), loops))
    text = replace_between(text, "model", times_table(operator_work(w)))
    text = replace_between(text, "loops", hot_loops_table(loops))
    of_kernels = [r for log in kernel_table.logs(arguments.architectures) for r in resources(log)]
    text = replace_between(text, "kernels", kernel_table.table(of_kernels))
    DOCUMENT.write_text(text)


if __name__ == "__main__":
    main()
