"""Counts the instructions of the assignment: ``python -m bench.run instructions``.

Callgrind counts on one thread, on the batch of the benches: 8 images, 58 objects. The counts do not depend on other
load on the machine. Callgrind does not support AVX-512: the CPU that it emulates has AVX2 at most. An older library is
counted with the Python code of its own commit, on the same inputs: ``--library OLD/libcolad_ops.so --source OLD``.
``--write`` saves the table in ``bench/results/<machine>/``.
"""

from __future__ import annotations

import argparse
import datetime
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from bench.measure.instructions import CAPABILITIES, NO_CHOICE, PLACES, build_requests, count, save_inputs
from bench.measure.machine import folder_of, machine_name
from bench.paths import RESULTS, ROOT
from bench.report.csv_files import commit, write_csv
from bench.report.tables import table
from bench.workload.batch import BATCH, SMALL
from colad_ops._library import LIBRARY

COLUMNS = ("machine", "torch", "commit", "date", "op", "cpu_capability", *PLACES)
HEADER = ("op", "vectors", "library, M", "libm, M", "elsewhere, M")
NOTE = (
    "Millions of instructions of one call with one thread: in libcolad_ops.so, in the C library's exp, log and pow, "
    "and elsewhere (Python, torch's dispatcher, allocation, memset)."
)


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        requests = build_requests(Path(folder))
        inputs = save_inputs(Path(folder) / "inputs.pt", SMALL if options.small else BATCH)
        rows = []
        for capability in CAPABILITIES:
            rows += count(capability, options.library.resolve(), options.source.resolve(), inputs, requests)
            if rows[-1]["cpu_capability"] == NO_CHOICE:
                break
    lines = [[row["op"], row["cpu_capability"], *(f"{int(row[c]) / 1e6:.3f}" for c in PLACES)] for row in rows]
    print("\n".join([*table(HEADER, lines, HEADER[:2]), "", NOTE]))
    if options.write:
        machine = machine_name(torch.device("cpu"))
        today = datetime.date.today().isoformat()
        about = {"machine": machine, "torch": torch.__version__, "commit": commit(), "date": today}
        path = RESULTS / folder_of(machine) / "instructions.csv"
        print(f"\nWritten to {write_csv(path, (about | row for row in rows), COLUMNS)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.run instructions", description=__doc__.split(":")[0])
    parser.add_argument("--library", type=Path, default=LIBRARY, help="default: the one that colad_ops loads")
    parser.add_argument("--source", type=Path, default=ROOT, help="source tree with its Python code; default: this one")
    parser.add_argument("--small", action="store_true", help="a tiny workload: does everything run?")
    parser.add_argument("--write", action="store_true", help="bench/results/<machine>/instructions.csv")
    return parser
