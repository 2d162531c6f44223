"""Counts the instructions that each operator of the assignment executes, by callgrind.

Needs valgrind with its headers and a C compiler.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import torch

from bench.workload.batch import make_workload
from bench.workload.candidates import cheapest_candidates, matched_and_cost

CALLER = Path(__file__).with_name("call_operators.py")
CAPABILITIES = ("baseline", "avx2")
NO_CHOICE = "none"  # stands for the capability of an older library, which has none and is counted once
REQUESTS = """
#include <valgrind/callgrind.h>
void start(void) { CALLGRIND_START_INSTRUMENTATION; CALLGRIND_ZERO_STATS; }
void dump(const char* name) { CALLGRIND_DUMP_STATS_AT(name); CALLGRIND_STOP_INSTRUMENTATION; }
"""
PLACES = ("library", "libm", "elsewhere")


def build_requests(folder: Path) -> Path:
    """Builds a library through which Python starts and stops callgrind's counting."""
    source, library = folder / "requests.c", folder / "requests.so"
    source.write_text(REQUESTS)
    subprocess.run([os.environ.get("CC", "cc"), "-O1", "-shared", "-fPIC", "-o", library, source], check=True)
    return library


def save_inputs(path: Path, sizes: dict[str, int]) -> Path:
    """Saves the inputs of the operators. They are made outside callgrind, which is about fifty times slower."""
    w = make_workload(**sizes)
    matched, cost = matched_and_cost(w)
    values, offsets = cheapest_candidates(w)
    names = ("anchors", "level_sizes", "gt_boxes", "gt_labels", "gt_offsets", "class_maps", "box_maps")
    inputs = {name: getattr(w, name) for name in names}
    torch.save({**inputs, "matched": matched, "cost": cost, "values": values, "offsets": offsets}, path)
    return path


def count(capability: str, library: Path, source: Path, inputs: Path, requests: Path) -> list[dict[str, str]]:
    """One row for each operator, from one process that runs with this capability."""
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
    """Instructions of each object file from the lines of a callgrind file, without the instructions of called files."""
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
