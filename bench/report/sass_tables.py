"""Tables of the machine code: the hot loops, and the modelled times of kernels."""

from __future__ import annotations

from bench.measure.hot_loop_list import HOT_LOOPS
from bench.measure.kernel_model import DEPENDENT_GAP, GAP, OperatorWork
from bench.measure.kernel_times import time_kernels
from bench.measure.sass.hot_loops import Figures


def hot_loops_table(figures: dict[str, Figures]) -> list[str]:
    lines = ["| hot loop | instructions | cycles | loads in flight | waits for |", "|---|--:|--:|--:|---|"]
    for name, f in figures.items():
        x = HOT_LOOPS[name]
        waits = sorted(f.waited.items(), key=lambda kind: -kind[1])[:3]
        words = ", ".join(f"{kind} {cycles}" for kind, cycles in waits)
        way = f" ({x.elements} at once)" if x.elements > 1 else ""
        lines.append(f"| {x.what} | {f.instructions / x.elements:.1f} | {f.cycles:,}{way} | {f.loads} | {words} |")
    return lines


def times_table(works: dict[str, OperatorWork]) -> list[str]:
    lines = [
        "| operator | kernel | bytes us | issue us | longest warp us | all warps us | model us |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for operator, work_of_operator in works.items():
        total = GAP * work_of_operator.other_launches
        kernels = work_of_operator.kernels
        for work, (name, t) in zip(kernels, time_kernels(kernels), strict=True):
            total += t.us + (DEPENDENT_GAP if work.dependent else GAP)
            cells = " | ".join(f"{x:.1f}" for x in (t.bytes, t.issue, t.longest_warp, t.all_warps, t.us))
            lines.append(f"| {operator} | `{name}` | {cells} |")
        launches = len(kernels) + work_of_operator.other_launches
        lines.append(f"| **{operator}** | with {launches} gaps | | | | | **{total:.1f}** |")
    return lines
