"""Measures small calls as multiples of ``torch.add`` on the same tensors: ``python -m bench.run calls``.

All calls take turns, and the best of many samples counts, in CPU time of the thread: other processes only make a
sample longer. Writes ``calls.csv`` to ``bench/results/<machine>/``.
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from bench.cases.small_calls import SmallCall, small_calls
from bench.measure.machine import folder_of, machine_name
from bench.measure.timing import best_of
from bench.paths import RESULTS
from bench.report.csv_files import commit, write_csv

COLUMNS = ("machine", "torch", "commit", "date", "op", "what", "us", "add_us", "multiple", "goal")


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    calls = small_calls()
    runs = {(i, name): run for i, call in enumerate(calls) for name, run in (("us", call.run), ("add_us", call.add))}
    best = best_of(runs, options.rounds)
    machine = machine_name(torch.device("cpu"))
    rows = [row_of(call, best[i, "us"], best[i, "add_us"], machine) for i, call in enumerate(calls)]
    folder = options.output or RESULTS / folder_of(machine)
    print("\n".join(lines(rows)))
    print(f"\nWritten to {write_csv(folder / 'calls.csv', rows, COLUMNS)}")
    return 0


def row_of(call: SmallCall, us: float, add_us: float, machine: str) -> dict[str, str]:
    return {
        "machine": machine, "torch": torch.__version__, "commit": commit(),
        "date": datetime.date.today().isoformat(), "op": call.op, "what": call.what, "us": f"{us:.4g}",
        "add_us": f"{add_us:.4g}", "multiple": f"{us / add_us:.3g}",
        "goal": "" if call.goal is None else f"{call.goal:g}",
    }  # fmt: skip


def lines(rows: Iterable[dict[str, str]]) -> list[str]:
    """The rows as a table in Markdown."""
    shown = ("op", "what", "us", "add_us", "multiple", "goal")
    return [
        "| operator | call | us | torch.add, us | multiple | goal |", "|---|---|---|---|---|---|",
        *("| " + " | ".join(row[name] for name in shown) + " |" for row in rows),
    ]  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.run calls", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200, help="samples of each call; default: %(default)s")
    parser.add_argument("--output", type=Path, help="default: bench/results/<machine>")
    return parser
