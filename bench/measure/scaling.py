"""Measures how time and memory of a call grow with the size of its input."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.measure.machine import Machine
from bench.measure.memory import extra_memory, result_bytes
from bench.measure.timing import Timing, compare, sample_on


@dataclass(frozen=True)
class Axis:
    """The quantity that grows. ``points`` yields a size and the call to measure at this size. It is a generator, so the
    input of one point is freed before the next one is made."""

    op: str
    against: str
    points: Callable[[], Iterator[tuple[int, Callable[[], Any]]]]


@dataclass(frozen=True)
class Point:
    size: int
    timing: Timing
    memory: int | None


def measure_axis(axis: Axis, machine: Machine, rounds: int, seconds: float) -> list[Point]:
    sample = sample_on(machine.device, machine.threads)
    found = []
    for size, run in axis.points():
        timing = compare({"": run}, sample, rounds, seconds)[""]
        extra = extra_memory(run, machine.device)
        found.append(Point(size, timing, None if extra is None else extra + result_bytes(run())))
        print(f"{axis.op} against {axis.against}, {size:,}: {timing.median / 1e3:.3g} ms", flush=True)
    return found


def slope(sizes: Sequence[float], values: Sequence[float | None]) -> float | None:
    """Slope of log(value) against log(size) over the larger half of the sizes; None if a value is not known."""
    half = len(sizes) // 2 if len(sizes) > 3 else 0
    if any(not value for value in values[half:]):
        return None
    x, y = ([math.log(number) for number in numbers[half:]] for numbers in (sizes, values))
    x_mean, y_mean = sum(x) / len(x), sum(y) / len(y)
    return sum((a - x_mean) * (b - y_mean) for a, b in zip(x, y)) / sum((a - x_mean) ** 2 for a in x)


def slopes(points: Sequence[Point]) -> tuple[float | None, float | None]:
    """Slopes of time and of memory."""
    sizes = [point.size for point in points]
    return slope(sizes, [point.timing.median for point in points]), slope(sizes, [point.memory for point in points])
