"""The process of one or more steps: ``python -m gpu_checks.step [--dry-run] FOLDER OUTCOMES NAME...``

Writes a line of JSON to the file OUTCOMES after each step.
"""

from __future__ import annotations

import argparse
import json
import time
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path

from gpu_checks.context import Context, CouldNotRun
from gpu_checks.device import Card, DryRun
from gpu_checks.parts import STEPS, Step


def main(arguments: list[str] | None = None, steps: Mapping[str, Step] = STEPS) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("folder", type=Path)
    parser.add_argument("outcomes", type=Path)
    parser.add_argument("names", nargs="+")
    options = parser.parse_args(arguments)
    context = Context(DryRun() if options.dry_run else Card(), options.dry_run, options.folder)
    run_steps([steps[name] for name in options.names], context, options.outcomes)


def run_steps(steps: Iterable[Step], context: Context, outcomes: Path) -> None:
    for step in steps:
        print(f"--- {step.name}", flush=True)
        start = time.monotonic()
        outcome = outcome_of(step, context)
        with outcomes.open("a") as file:
            print(json.dumps({"step": step.name, "seconds": time.monotonic() - start, **outcome}), file=file)


def outcome_of(step: Step, context: Context) -> dict[str, str]:
    try:
        seen = step.check(context)
    except CouldNotRun as reason:
        if context.dry:
            return {"status": "skipped", "text": f"dry run ({reason})"}
        return {"status": "not run", "text": str(reason)}
    except Exception as error:
        traceback.print_exc()
        return {"status": "FAILED", "text": str(error) or type(error).__name__}
    if context.dry and step.shows_on_a_gpu_only:
        return {"status": "skipped", "text": "dry run (its code ran on the CPU)"}
    return {"status": "passed", "text": seen}


if __name__ == "__main__":
    main()
