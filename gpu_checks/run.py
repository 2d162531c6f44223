"""Checks on a GPU, in parts that each take at most five minutes. Without a name all parts run."""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path

import torch

from bench.paths import RESULTS
from gpu_checks.device import Card
from gpu_checks.machine import describe_software
from gpu_checks.parts import PARTS, Part
from gpu_checks.steps import Runner


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="gpu_checks/run.sh", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; default: all")
    parser.add_argument("--list", action="store_true", help="say what the parts are, and run nothing")
    parser.add_argument("--dry-run", action="store_true", help="the same on the CPU, tiny, without what needs a GPU")
    parser.add_argument("--output", type=Path, help="folder of the results; default: bench/results/<card>")
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(f"{name:10} {part.what}: {names_of(part)}" for name, part in PARTS.items()))
        return 0
    unknown = [name for name in options.parts if name not in PARTS]
    if unknown:
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if not options.dry_run and not torch.cuda.is_available():
        print("torch finds no CUDA device; --dry-run tries the command itself on the CPU", file=sys.stderr)
        return 1
    folder = options.output or default_folder(options.dry_run)
    folder.mkdir(parents=True, exist_ok=True)
    runner = Runner(folder.absolute(), options.dry_run)
    print(describe_software())
    parts = {name: PARTS[name] for name in options.parts or PARTS}
    for name, part in {"dry_run": merged(parts)}.items() if options.dry_run else parts.items():
        runner.run_part(part.steps, folder / f"{name}.log", f"=== {name}: {part.what}")
    print(f"Failed: {', '.join(runner.failed) or 'nothing'}. Not run: {', '.join(runner.left_out) or 'nothing'}.")
    print(f"Results in {folder}")
    return 1 if runner.failed else (2 if runner.left_out else 0)


def merged(parts: dict[str, Part]) -> Part:
    return Part(", ".join(parts), tuple(step for part in parts.values() for step in part.steps))


def names_of(part: Part) -> str:
    return ", ".join(step.name for step in part.steps)


def default_folder(dry: bool) -> Path:
    return Path(tempfile.mkdtemp(prefix="gpu_check_")) if dry else RESULTS / re.sub(r"\W+", "_", Card().name)


if __name__ == "__main__":
    sys.exit(main())
