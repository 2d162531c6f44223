"""Runs the checks one after the other, writes a log, and records which of them failed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from bench.paths import ROOT

SECONDS = 470  # for all steps together: below 8 minutes


class CouldNotRun(Exception):
    """This machine cannot run the step; the message is the reason."""


class Steps:
    """Runs steps. A step that fails does not stop the later steps."""

    def __init__(self, log: Path, dry: bool) -> None:
        self.dry = dry
        self.file = log.open("w")
        self.until = time.monotonic() + SECONDS
        self.failed: list[str] = []
        self.left_out: list[str] = []

    def say(self, text: str) -> None:
        print(text, flush=True)
        print(text, file=self.file, flush=True)

    def run(self, name: str, step: Callable[[], str], needs_gpu: bool = False) -> None:
        start = time.monotonic()
        try:
            outcome = f"passed: {step()}"
            if self.dry and needs_gpu:
                outcome = "skipped: dry run (its code ran on the CPU)"
        except CouldNotRun as reason:
            self.left_out.append(name)
            outcome = f"not run: {reason}"
        except Exception as error:
            self.failed.append(name)
            self.say(traceback.format_exc())
            outcome = f"FAILED: {error}"
        self.say(f"{name}: {outcome} [{time.monotonic() - start:.1f} s]")

    def child(self, command: list, seconds: int, **environment: str) -> tuple[int, str]:
        """Runs a command in the root of the source tree. Returns exit status and output. The output is also in the
        log."""
        seconds = max(1, min(seconds, round(self.until - time.monotonic())))
        process = subprocess.Popen(
            list(map(str, command)), cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
        )  # fmt: skip
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # also the Python process that the tool runs
            output, _ = process.communicate()
            raise RuntimeError(f"did not end within {seconds} s") from None
        finally:
            print(output, file=self.file, flush=True)
        return process.returncode, output
