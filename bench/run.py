"""Measures the operators against their peers: ``python -m bench.run [NAME ...]``. Without a name, all benches run.

It checks that the results agree, prints one table, and writes ``bench.csv``, ``table.md``, ``ratios.png`` and
``roofline.png`` to ``bench/results/<machine>/``. One thread is measured by the CPU time of the process, which other
processes change little. Cases that use threads are also measured with two threads, by wall time.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from bench import run_calls, run_instructions, run_scaling
from bench.cases import BENCHES
from bench.measure.case import Outcome, run_case
from bench.measure.machine import Machine, measure_machine
from bench.measure.timing import sample_on
from bench.paths import RESULTS
from bench.report.csv_files import csv_rows, write_csv
from bench.report.tables import report
from bench.workload.batch import BATCH, SMALL

ENVIRONMENT = {
    # The allocator keeps freed memory. Otherwise the page faults of a new tensor of tens of MB take longer than its
    # arithmetic.
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
    "OMP_NUM_THREADS": "1",  # also for peers that do not use torch's number of threads
    "TORCHINDUCTOR_COMPILE_THREADS": "1",  # no pool of compiler processes during measurements
}
ROUNDS = 30


@dataclass(frozen=True)
class Effort:
    """``sizes`` of the workload; the largest number of ``rounds`` and the ``seconds`` for each callable of a case."""

    sizes: dict[str, int]
    rounds: int
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] == ["instructions"]:
        return run_instructions.main(arguments[1:])
    for name, other in (("scaling", run_scaling), ("calls", run_calls)):
        if arguments[:1] == [name]:
            run_again_with(ENVIRONMENT, arguments)
            return other.main(arguments[1:])
    options = _parser().parse_args(arguments)
    run_again_with(ENVIRONMENT, arguments)
    sizes = SMALL if options.small else BATCH
    outcomes, machine, summaries = run(options.names or BENCHES, Effort(sizes, options.rounds, options.seconds))
    folder = options.output or RESULTS / machine.folder
    text = [*report(outcomes, machine), *summaries]
    print("\n" + "\n".join(text))
    write(folder, outcomes, machine, text)
    print(f"\nWritten to {folder}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.run",
        description="Time the operators against their peers. `scaling`, `calls` and `instructions` have a --help of "
        "their own.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHES)}; default: all", default=[])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="at most; default: %(default)s")
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="for ours and for each peer of a case; default: %(default)s"
    )
    parser.add_argument("--small", action="store_true", help="a tiny workload: does everything run?")
    parser.add_argument("--output", type=Path, help="default: bench/results/<machine>")
    return parser


def run_again_with(environment: dict[str, str], arguments: Sequence[str]) -> None:
    """Replaces this process by one with this environment, unless the process already has it. Libraries read the
    environment only when they start."""
    if any(os.environ.get(name) != value for name, value in environment.items()):
        command = [sys.executable, "-m", "bench.run", *arguments]
        os.execve(sys.executable, command, {**os.environ, **environment})


def run(names: Sequence[str], effort: Effort) -> tuple[list[Outcome], Machine, list[str]]:
    """The outcomes of the named benches, and the lines that these benches add to the table."""
    unknown = sorted(set(names) - set(BENCHES))
    if unknown:
        raise SystemExit(
            f"bench.run: no bench of the name {', '.join(unknown)}; there are {', '.join(BENCHES)}, scaling, "
            "calls, instructions"
        )
    device = torch.device("cpu")
    torch.set_num_threads(1)
    machine = measure_machine(device, threads=1)
    outcomes, summaries = [], []
    for name in names:
        try:
            bench = importlib.import_module(f"bench.cases.{name}")
            cases = bench.cases(effort.sizes, machine)
        except ModuleNotFoundError as error:
            print(f"{name}: left out, {error}", file=sys.stderr)
            continue
        own = []
        for case in cases:
            for threads in (1, 2) if case.two_threads else (1,):
                torch.set_num_threads(threads)
                began = time.monotonic()
                sample = sample_on(device, threads)
                with_threads = replace(machine, threads=threads)
                own.append(run_case(case, with_threads, sample, effort.rounds, effort.seconds))
                print(f"{case.op}, {case.what}, {threads} threads: {time.monotonic() - began:.1f} s", flush=True)
            torch.set_num_threads(1)
        outcomes += own
        if hasattr(bench, "summary"):
            summaries += bench.summary(own)
    return outcomes, machine, summaries


def write(folder: Path, outcomes: Sequence[Outcome], machine: Machine, text: Sequence[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "bench.csv", (row for outcome in outcomes for row in csv_rows(outcome, machine)))
    (folder / "table.md").write_text("\n".join(text) + "\n")
    try:
        from bench.report.pictures import draw_ratios, draw_roofline
    except ModuleNotFoundError as error:
        print(f"no pictures: {error}")
        return
    draw_ratios(outcomes, machine, folder / "ratios.png")
    if any(outcome.share_of_lower_bound is not None for outcome in outcomes):
        draw_roofline(outcomes, machine, folder / "roofline.png")


if __name__ == "__main__":
    sys.exit(main())
