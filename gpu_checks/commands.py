"""Runs other programs. Their output goes to the log of the check."""

from __future__ import annotations

import os
import subprocess

from bench.paths import ROOT


def run_command(command: list, seconds: int, **environment: str) -> tuple[int, str]:
    """Exit status and output of a command, which runs in the root of the source tree.

    Raises:
        RuntimeError: the command did not end in time.
    """
    try:
        ended = subprocess.run(
            list(map(str, command)), cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", timeout=seconds,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        print(late.output.decode(errors="replace") if late.output else "", flush=True)
        raise RuntimeError(f"did not end within {seconds} s") from None
    print(ended.stdout, flush=True)
    return ended.returncode, ended.stdout


def last_line(output: str) -> str:
    return (output.strip().splitlines() or ["no output"])[-1]
