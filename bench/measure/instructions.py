"""Counts the instructions of the assignment, which do not depend on what else the machine does: ``python -m
bench.measure.instructions``.

One thread, by callgrind, on the workload of the benches: 8 images, 58 objects. Callgrind knows no AVX-512: its CPU
offers AVX2 at most. An older library is counted with the Python code of its own commit, on the same inputs:
``--library OLD/libcolad_ops.so --source OLD``. ``--write`` keeps the table in ``bench/results/<machine>/``.

Needs valgrind with its headers and a C compiler.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from bench.measure.machine import folder_of, machine_name
from bench.paths import RESULTS, ROOT
from bench.report.tables import commit, table, write_csv
from bench.workload.batch import BATCH, SMALL, make_workload
from bench.workload.candidates import cheapest_candidates, matched_and_cost
from colad_ops._library import LIBRARY

CALLER = Path(__file__).with_name("call_operators.py")
CAPABILITIES = ("baseline", "avx2")
NO_CHOICE = "none"  # of an older library, which is counted once
REQUESTS = """
#include <valgrind/callgrind.h>
void start(void) { CALLGRIND_START_INSTRUMENTATION; CALLGRIND_ZERO_STATS; }
void dump(const char* name) { CALLGRIND_DUMP_STATS_AT(name); CALLGRIND_STOP_INSTRUMENTATION; }
"""
PLACES = ("library", "libm", "elsewhere")
COLUMNS = ("machine", "torch", "commit", "date", "op", "cpu_capability", *PLACES)
HEADER = ("op", "vectors", "library, M", "libm, M", "elsewhere, M")
NOTE = (
    "Millions of instructions of one call with one thread: in libcolad_ops.so, in the C library's exp, log and pow, "
    "and elsewhere (Python, torch's dispatcher, allocation, memset)."
)


def main(arguments: Sequence[str] | None = None) -> int:
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
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--library", type=Path, default=LIBRARY, help="default: the one that colad_ops loads")
    parser.add_argument("--source", type=Path, default=ROOT, help="tree of its Python; default: this one")
    parser.add_argument("--small", action="store_true", help="a tiny workload: does everything run?")
    parser.add_argument("--write", action="store_true", help="bench/results/<machine>/instructions.csv")
    return parser


def build_requests(folder: Path) -> Path:
    """A library through which Python tells callgrind when to count."""
    source, library = folder / "requests.c", folder / "requests.so"
    source.write_text(REQUESTS)
    subprocess.run([os.environ.get("CC", "cc"), "-O1", "-shared", "-fPIC", "-o", library, source], check=True)
    return library


def save_inputs(path: Path, sizes: dict[str, int]) -> Path:
    """What the operators are given, made here: callgrind is some fifty times as slow."""
    w = make_workload(**sizes)
    matched, cost = matched_and_cost(w)
    values, offsets = cheapest_candidates(w)
    names = ("anchors", "level_sizes", "gt_boxes", "gt_labels", "gt_offsets", "class_maps", "box_maps")
    inputs = {name: getattr(w, name) for name in names}
    torch.save({**inputs, "matched": matched, "cost": cost, "values": values, "offsets": offsets}, path)
    return path


def count(capability: str, library: Path, source: Path, inputs: Path, requests: Path) -> list[dict[str, str]]:
    """A row an operator, of one process that runs with that capability where the library knows any."""
    out = requests.parent / f"callgrind.{capability}"
    environment = {
        **os.environ, "COLAD_CPU_CAPABILITY": capability, "COLAD_LIBRARY": str(library), "PYTHONPATH": str(source),
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    command = [
        "valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}",
        sys.executable, str(CALLER), str(inputs), str(requests),
    ]  # fmt: skip
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(result.stderr)
    rows = []
    found = json.loads(result.stdout.splitlines()[-1])
    for dump in sorted(out.parent.glob(f"{out.name}.*"), key=lambda path: int(path.suffix[1:])):
        text = dump.read_text()
        trigger = re.search(r"^desc: Trigger: Client Request: (\w+)$", text, re.MULTILINE)
        if trigger:  # the last one is the end of the process
            counts = instructions_of_objects(text.splitlines())
            assert counts.total() == int(re.search(r"^totals: (\d+)$", text, re.MULTILINE)[1])
            places = dict.fromkeys(PLACES, 0)
            for name, instructions in counts.items():
                places[place_of(name, library)] += instructions
            rows.append(
                {"op": trigger[1], "cpu_capability": found or NO_CHOICE, **{k: str(v) for k, v in places.items()}}
            )
    return rows


def place_of(name: str, library: Path) -> str:
    if name == str(library):
        return "library"
    return "libm" if Path(name).name.startswith("libm.so") else "elsewhere"


def instructions_of_objects(lines: Iterable[str]) -> Counter[str]:
    """Executed in each object file, what it calls not counted, from the lines of a callgrind file."""
    counts: Counter[str] = Counter()
    names: dict[str, str] = {}
    here, is_call = "", False
    for line in lines:
        if match := re.match(r"(c?ob)=(\(\d+\))(?: (.*))?$", line):
            kind, number, name = match.groups()
            names[number] = name if name is not None else names[number]
            here = names[number] if kind == "ob" else here
        elif line.startswith("calls="):
            is_call = True  # the next line is what the call cost
        elif re.match(r"[\d+*-]", line):
            counts[here] += 0 if is_call else int(line.split()[1])
            is_call = False
    return counts


if __name__ == "__main__":
    sys.exit(main())
