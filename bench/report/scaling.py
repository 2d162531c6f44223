"""The table and the CSV rows of the scaling bench."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence

import torch

from bench.measure.machine import Machine
from bench.measure.scaling import Axis, Point, slopes
from bench.report.csv_files import commit
from bench.report.tables import show, table

COLUMNS = (
    "machine", "cpu_capability", "torch", "commit", "date", "op", "against", "size", "median_ms", "p20_ms", "p80_ms",
    "memory_bytes",
)  # fmt: skip
HEADER = ("op", "against", "sizes", "ms", "memory, MB", "slope of time", "slope of memory")
NOTE = (
    "One thread, CPU time of the process. Memory is the rise of the peak during a call, results included. A slope is "
    "that of log(time) or log(memory) against log(size), by least squares over the larger half of the sizes, where "
    "what a call costs whatever its size counts least: 1 is linear."
)


def lines(results: Sequence[tuple[Axis, list[Point]]]) -> list[str]:
    cells = []
    for axis, points in results:
        fitted = ("" if value is None else f"{value:.2f}" for value in slopes(points))
        memory = ("?" if point.memory is None else show(point.memory / 1e6) for point in points)
        times = (show(point.timing.median / 1e3) for point in points)
        sizes = (f"{point.size:,}" for point in points)
        cells.append((axis.op, axis.against, *(" / ".join(x) for x in (sizes, times, memory)), *fitted))
    return [*table(HEADER, cells, text=HEADER[:5]), "", NOTE]


def csv_rows(results: Sequence[tuple[Axis, list[Point]]], machine: Machine) -> Iterator[dict[str, str]]:
    for axis, points in results:
        for point in points:
            times = {f"{name}_ms": f"{getattr(point.timing, name) / 1e3:.5g}" for name in ("median", "p20", "p80")}
            yield {
                "machine": machine.name, "cpu_capability": machine.capability, "torch": torch.__version__,
                "commit": commit(), "date": datetime.date.today().isoformat(), "op": axis.op, "against": axis.against,
                "size": str(point.size), "memory_bytes": "" if point.memory is None else str(point.memory), **times,
            }  # fmt: skip
