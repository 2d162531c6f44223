"""How time and memory grow with anchors, objects, classes and images: ``python -m bench.run scaling``.

Writes ``scaling.csv``, ``scaling.md`` and ``scaling.png`` to ``bench/results/<machine>/``.
"""

from __future__ import annotations

import argparse
import datetime
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import colad_ops
from bench.cases.loss_training import training
from bench.measure.machine import Machine, measure_machine
from bench.measure.memory import extra_memory, result_bytes
from bench.measure.timing import Timing, compare, sample_on
from bench.paths import RESULTS
from bench.report.tables import commit, show, table, write_csv
from bench.workload.batch import SMALL, cheapest_candidates, make_workload, repeated, views

SIDES = (224, 704, 2208, 6944)  # pictures of about 1e3, 1e4, 1e5 and 1e6 anchors
OBJECTS = (1, 16, 100, 1_000, 10_000, 75_000)
CLASSES = (1, 8, 80, 365, 1_203)
BATCH = (1, 2, 4, 8, 16, 32)
MIXTURES = (58, 1_000, 10_000, 75_000)
OBJECTS_AN_IMAGE = 7
FEW_CLASSES = 16  # where they are not what grows
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


@dataclass(frozen=True)
class Axis:
    """``points`` gives a size and the call to be measured at it, one after the other, so that each frees the last."""

    op: str
    against: str
    points: Callable[[], Iterator[tuple[int, Callable[[], Any]]]]


@dataclass(frozen=True)
class Point:
    size: int
    timing: Timing
    memory: int | None


def assign_axis(against: str, size_of: Callable, workloads: Sequence[dict[str, int]]) -> Axis:
    def points():
        for sizes in workloads:
            w = make_workload(**sizes)
            yield size_of(w), lambda w=w: colad_ops.paa_assign(*w.assign_arguments())

    return Axis("paa_assign", against, points)


def axes(small: bool) -> list[Axis]:
    def first(sizes: Sequence[int]) -> Sequence[int]:
        return sizes[:2] if small else sizes

    picture = {k: SMALL[k] for k in ("height", "width")} if small else {"height": 800, "width": 1344}

    def mixtures():
        values, offsets = cheapest_candidates(make_workload(**{**SMALL, **picture}))
        for count in first(MIXTURES):
            yield count, lambda v=repeated(values, offsets, count): colad_ops.gmm_em(*v)

    def losses():
        for classes in first(CLASSES):
            w = make_workload(images=1, objects=OBJECTS_AN_IMAGE, classes=classes, **picture)
            logits, teacher = torch.cat(w.logits(), dim=1).requires_grad_(), torch.cat(views(w.teacher_maps), dim=1)
            yield classes, training(colad_ops.focal_kl_loss, logits, teacher)

    one = {"images": 1, "objects": OBJECTS_AN_IMAGE}
    sides = [{**one, "height": side, "width": side, "classes": 80} for side in first(SIDES)]
    objects = [{"images": 16, "objects": n, "classes": FEW_CLASSES, **picture} for n in first(OBJECTS)]
    classes = [{**one, "classes": n, **picture} for n in first(CLASSES)]
    batch = [{"images": n, "objects": OBJECTS_AN_IMAGE * n, "classes": 80, **picture} for n in first(BATCH)]
    return [
        assign_axis("anchors, one image of 7 objects", lambda w: len(w.anchors), sides),
        assign_axis("objects, 16 images", lambda w: len(w.gt_boxes), objects),
        assign_axis("classes, one image", lambda w: w.classes, classes),
        assign_axis("images of 7 objects", lambda w: w.images, batch),
        Axis("gmm_em", "objects", mixtures),
        Axis("focal_kl_loss", "classes, one image", losses),
    ]


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
    """Of log(value) against log(size) over the larger half of the sizes; None where a value is not known."""
    half = len(sizes) // 2 if len(sizes) > 3 else 0
    if any(not value for value in values[half:]):
        return None
    x, y = ([math.log(number) for number in numbers[half:]] for numbers in (sizes, values))
    x_mean, y_mean = sum(x) / len(x), sum(y) / len(y)
    return sum((a - x_mean) * (b - y_mean) for a, b in zip(x, y)) / sum((a - x_mean) ** 2 for a in x)


def slopes(points: Sequence[Point]) -> tuple[float | None, float | None]:
    """Of time and of memory."""
    sizes = [point.size for point in points]
    return slope(sizes, [point.timing.median for point in points]), slope(sizes, [point.memory for point in points])


def lines(results: Sequence[tuple[Axis, list[Point]]]) -> list[str]:
    cells = []
    for axis, points in results:
        fitted = ("" if value is None else f"{value:.2f}" for value in slopes(points))
        memory = ("?" if point.memory is None else show(point.memory / 1e6) for point in points)
        times = (show(point.timing.median / 1e3) for point in points)
        sizes = (f"{point.size:,}" for point in points)
        cells.append((axis.op, axis.against, *(" / ".join(x) for x in (sizes, times, memory)), *fitted))
    return table(HEADER, cells, text=HEADER[:5])


def csv_rows(results: Sequence[tuple[Axis, list[Point]]], machine: Machine) -> Iterator[dict[str, str]]:
    for axis, points in results:
        for point in points:
            times = {f"{name}_ms": f"{getattr(point.timing, name) / 1e3:.5g}" for name in ("median", "p20", "p80")}
            yield {
                "machine": machine.name, "cpu_capability": machine.capability, "torch": torch.__version__,
                "commit": commit(), "date": datetime.date.today().isoformat(), "op": axis.op, "against": axis.against,
                "size": str(point.size), "memory_bytes": "" if point.memory is None else str(point.memory), **times,
            }  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.run scaling", description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="two tiny points an axis: does everything run?")
    parser.add_argument("--rounds", type=int, default=10, help="at most; default: %(default)s")
    parser.add_argument("--seconds", type=float, default=0.5, help="for each point; default: %(default)s")
    parser.add_argument("--output", type=Path, help="default: bench/results/<machine>")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    machine = measure_machine(torch.device("cpu"), threads=1)
    results = [(axis, measure_axis(axis, machine, options.rounds, options.seconds)) for axis in axes(options.small)]
    folder = options.output or RESULTS / machine.folder
    write_csv(folder / "scaling.csv", csv_rows(results, machine), COLUMNS)
    text = [*lines(results), "", NOTE]
    (folder / "scaling.md").write_text("\n".join(text) + "\n")
    print("\n" + "\n".join(text))
    try:
        from bench.report.scaling_picture import draw_scaling
    except ModuleNotFoundError as error:
        print(f"no picture: {error}")
    else:
        draw_scaling(results, machine, folder / "scaling.png")
    print(f"\nWritten to {folder}")
    return 0
