"""Which CUDA kernels the emulator ran, as one table at the end of the test run (``conftest.py``)."""

from __future__ import annotations

from collections import Counter

SEEDS = range(5)
"""One order of the threads each."""
KERNELS: dict[str, Counter] = {}
"""Launches of each kernel by operator and case."""


def lines() -> list[str]:
    """Kernel, cases, launches that equalled the CPU, in Markdown."""
    rows = ["kernel | of | cases | launches | orders of threads each | equal to the CPU", "---|---|---|---|---|---"]
    for kernel, counter in sorted(KERNELS.items()):
        operators = sorted({operator for operator, _ in counter})
        rows.append(f"{kernel} | {', '.join(operators)} | {len(counter)} | {counter.total()} | {len(SEEDS)} | all")
    return rows
