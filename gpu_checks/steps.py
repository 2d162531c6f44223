"""Runs the steps of a part in processes of their own, writes a log, and records which of them failed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.paths import ROOT
from gpu_checks.machine import describe_card, describe_software
from gpu_checks.parts import PART_SECONDS, Step

COMMAND = (sys.executable, "-m", "gpu_checks.step")


class Runner:
    """Runs parts. A step that fails, or ends its process, does not stop the later steps."""

    def __init__(self, folder: Path, dry: bool, command: Sequence[str] = COMMAND) -> None:
        self.folder, self.dry, self.command = folder, dry, command
        self.failed: list[str] = []
        self.left_out: list[str] = []

    def run_part(self, steps: Sequence[Step], log: Path, header: str) -> None:
        until = time.monotonic() + PART_SECONDS
        with log.open("w") as self.log:
            print(describe_software(), file=self.log)
            self.say(f"{header}\n{describe_card()}")
            # Nothing can be spoiled in a dry run. One process saves the start of the others.
            for together in [steps] if self.dry else [[step] for step in steps]:
                left = until - time.monotonic()
                if left < 1:
                    self.report(together, {}, f"the {PART_SECONDS} s of the part are over")
                    continue
                self.run_process(together, round(min(left, sum(step.seconds for step in together))))
            self.say(describe_card())  # warm, which changes its clocks

    def say(self, text: str) -> None:
        print(text, flush=True)
        print(text, file=self.log, flush=True)

    def run_process(self, steps: Sequence[Step], seconds: int) -> None:
        outcomes = Path(tempfile.mkstemp(prefix="outcomes_")[1])
        command = [*self.command, *(["--dry-run"] if self.dry else []), self.folder, outcomes]
        process = subprocess.Popen(
            [*map(str, command), *(step.name for step in steps)], cwd=ROOT, stdout=self.log, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            ended = f"its process ended with {process.wait(seconds)}"
        except subprocess.TimeoutExpired:
            ended = f"did not end within {seconds} s"
        finally:
            kill_group(process.pid)  # also what the step has started
            process.wait()
        lines = [json.loads(line) for line in outcomes.read_text().splitlines()]
        outcomes.unlink()
        self.report(steps, {line["step"]: line for line in lines}, ended)

    def report(self, steps: Sequence[Step], outcomes: dict[str, dict], ended: str) -> None:
        """``ended`` is why a step without an outcome has none."""
        for step in steps:
            outcome = outcomes.get(step.name, {"status": "FAILED", "text": f"{ended}: see the log", "seconds": 0.0})
            if outcome["status"] == "FAILED":
                self.failed.append(step.name)
            if outcome["status"] == "not run":
                self.left_out.append(step.name)
            self.say(f"{step.name}: {outcome['status']}: {outcome['text']} [{outcome['seconds']:.1f} s]")


def kill_group(process_id: int) -> None:
    try:
        os.killpg(process_id, signal.SIGKILL)
    except ProcessLookupError:
        pass  # all of it has ended
