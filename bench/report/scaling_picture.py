"""Draws time and memory against size, with their slopes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from bench.measure.machine import Machine
from bench.measure.scaling import Axis, Point, slopes
from bench.report.pictures import OUR_COLOUR
from colad_ops.demo.style import new_figure, save_figure

MEMORY_COLOUR = "#0072b2"
COLUMNS = 3


def draw_scaling(results: Sequence[tuple[Axis, list[Point]]], machine: Machine, path: Path) -> Path:
    """A panel for each axis, with logarithmic scales."""
    rows = math.ceil(len(results) / COLUMNS)
    figure = new_figure(4.6 * COLUMNS, 0.6 + 3.6 * rows)
    figure.suptitle(f"colad_ops on {machine}, one thread", fontsize=11)
    panels = figure.subplots(rows, COLUMNS, squeeze=False)
    for panel, (axis, points) in zip(panels.flat, results):
        of_time, of_memory = slopes(points)
        sizes = [point.size for point in points]
        panel.plot(
            sizes, [p.timing.median / 1e3 for p in points], "o-", color=OUR_COLOUR, label=_label("time", of_time)
        )
        panel.set(xscale="log", yscale="log", xlabel=axis.against, title=axis.op)
        panel.set_ylabel("milliseconds", color=OUR_COLOUR)
        panel.set_ylim(whole_decades([p.timing.median / 1e3 for p in points]))
        panel.grid(alpha=0.3)
        handles = panel.get_lines()
        if all(point.memory for point in points):
            right = panel.twinx()
            memory = [p.memory / 1e6 for p in points]
            handles += right.plot(sizes, memory, "s--", color=MEMORY_COLOUR, label=_label("memory", of_memory))
            right.set(yscale="log", ylim=whole_decades(memory))
            right.set_ylabel("MB", color=MEMORY_COLOUR)
        panel.legend(handles=handles, loc="best", fontsize=8)
    for panel in list(panels.flat)[len(results) :]:
        panel.set_axis_off()
    return save_figure(figure, path)


def whole_decades(values: Sequence[float]) -> tuple[float, float]:
    """Axis limits at whole decades, at least two decades apart, so that a value that hardly grows looks flat."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return 10.0 ** min(low, high - 2), 10.0**high


def _label(name: str, slope: float | None) -> str:
    return name if slope is None else f"{name}, slope {slope:.2f}"
