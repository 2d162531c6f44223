"""Measures how time and memory grow with anchors, objects, classes and images: ``python -m bench.run scaling``.

Writes ``scaling.csv``, ``scaling.md`` and ``scaling.png`` to ``bench/results/<machine>/``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from bench.cases.scaling import axes
from bench.measure.machine import measure_machine
from bench.measure.scaling import measure_axis
from bench.paths import RESULTS
from bench.report.csv_files import write_csv
from bench.report.scaling import COLUMNS, csv_rows, lines


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    machine = measure_machine(torch.device("cpu"), threads=1)
    results = [(axis, measure_axis(axis, machine, options.rounds, options.seconds)) for axis in axes(options.small)]
    folder = options.output or RESULTS / machine.folder
    write_csv(folder / "scaling.csv", csv_rows(results, machine), COLUMNS)
    text = lines(results)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.run scaling", description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="two tiny points an axis: does everything run?")
    parser.add_argument("--rounds", type=int, default=10, help="at most; default: %(default)s")
    parser.add_argument("--seconds", type=float, default=0.5, help="for each point; default: %(default)s")
    parser.add_argument("--output", type=Path, help="default: bench/results/<machine>")
    return parser
