"""The table of the CUDA kernels that the emulator ran. ``conftest.py`` prints it at the end of the test run."""

from __future__ import annotations

from collections import Counter

SEEDS = range(5)
"""Each seed gives one order of the threads."""
KERNELS: dict[str, Counter] = {}
"""Number of launches of each kernel, by operator and case."""


def lines() -> list[str]:
    """Markdown rows: kernel, cases, number of launches whose results equalled the CPU."""
    rows = ["kernel | of | cases | launches | orders of threads each | equal to the CPU", "---|---|---|---|---|---"]
    for kernel, counter in sorted(KERNELS.items()):
        operators = sorted({operator for operator, _ in counter})
        rows.append(f"{kernel} | {', '.join(operators)} | {len(counter)} | {counter.total()} | {len(SEEDS)} | all")
    return rows
