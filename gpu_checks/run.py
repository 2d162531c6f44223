"""Runs all checks; ``run.sh`` finds the library and starts this."""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path

import torch

import colad_ops
from bench.paths import RESULTS, ROOT
from bench.workload.batch import SMALL, make_workload
from bench.workload.every_operator import operator_calls
from gpu_checks.cuda_tests import last_line, run_tests
from gpu_checks.invariants import check_graph, check_memory, check_no_sync
from gpu_checks.run_every_operator import COMMAND
from gpu_checks.sanitizer import SANITIZER_SECONDS, TOOLS, sanitize
from gpu_checks.steps import Steps
from gpu_checks.table import driver, write_csv
from gpu_checks.timing import ROUNDS, measure


def main() -> int:
    parser = argparse.ArgumentParser(prog="gpu_checks/run.sh", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="the same on the CPU, tiny, without what needs a GPU")
    dry = parser.parse_args().dry_run
    if not dry and not torch.cuda.is_available():
        print("torch finds no CUDA device; --dry-run tries the command itself on the CPU", file=sys.stderr)
        return 1
    device = torch.device("cpu" if dry else "cuda")
    card = "dry run" if dry else torch.cuda.get_device_name()
    folder = Path(tempfile.mkdtemp(prefix="gpu_check_")) if dry else RESULTS / re.sub(r"\W+", "_", card)
    folder.mkdir(parents=True, exist_ok=True)
    steps = Steps(folder / "gpu_check.log", dry)
    steps.say(f"{card}, torch {torch.__version__}, driver {driver()}, {colad_ops.build_info()}")

    w = make_workload(**SMALL) if dry else make_workload()
    steps.run("tests", lambda: run_tests(steps, dry), needs_gpu=True)
    steps.run("every operator", lambda: every_operator(steps, device))
    steps.run("no sync", lambda: check_no_sync(w, device), needs_gpu=True)
    steps.run("CUDA graph", lambda: check_graph(w, device), needs_gpu=True)
    if dry:
        for name in ("memory", *TOOLS):
            steps.say(f"{name}: skipped: dry run")
    else:
        steps.run("memory", lambda: check_memory([make_workload(images=4, objects=30), w], device))
    rounds = 3 if dry else ROUNDS
    table = folder / "gpu_check.csv"
    steps.run("benches", lambda: write_csv(table, measure(operator_calls(w, device), device, rounds)))
    for tool in () if dry else TOOLS:
        steps.run(tool, lambda tool=tool: sanitize(steps, tool))
    steps.say(f"Failed: {', '.join(steps.failed) or 'nothing'}. Not run: {', '.join(steps.left_out) or 'nothing'}.")
    steps.say(f"Results in {folder if dry else folder.relative_to(ROOT)}")
    return 1 if steps.failed else (2 if steps.left_out else 0)


def every_operator(steps: Steps, device: torch.device) -> str:
    status, output = steps.child([*COMMAND, device], SANITIZER_SECONDS)
    if status != 0:
        raise RuntimeError(last_line(output))
    return last_line(output)


if __name__ == "__main__":
    sys.exit(main())
