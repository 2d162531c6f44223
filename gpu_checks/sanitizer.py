"""Runs every operator under the tools of compute-sanitizer."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from gpu_checks.commands import run_command
from gpu_checks.context import Context, CouldNotRun
from gpu_checks.run_every_operator import COMMAND

SANITIZER_SECONDS = 140  # time limit for each of the four tools


def sanitize(context: Context, tool: str) -> str:
    sanitizer = find_sanitizer()
    command = [sanitizer, "--tool", tool, "--error-exitcode", "99"]
    if tool != "initcheck":  # initcheck has to see the writes of torch's kernels
        command += only_our_kernels(sanitizer)
    # Without torch's cache every tensor is an allocation of its own, so the tool knows where it ends.
    without_cache = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    status, output = run_command([*command, *COMMAND, context.device.device], SANITIZER_SECONDS, **without_cache)
    summary = re.findall(r"=+ (.*SUMMARY.*)", output)
    if not summary:
        raise RuntimeError(f"{tool} ended with {status} and gave no summary: see the log")
    if status == 99 and tool == "initcheck" and not re.search(r"^=+ .*\bcolad", output, re.MULTILINE):
        return f"{summary[-1]}, none of them in our kernels"
    if status != 0:
        raise RuntimeError(f"{tool} ended with {status}, {summary[-1]}: see the log")
    return summary[-1]


def find_sanitizer() -> str:
    found = shutil.which("compute-sanitizer") or next(
        (str(p) for p in sorted(Path("/usr/local").glob("cuda*/bin/compute-sanitizer"))), None
    )
    if found is None:
        raise CouldNotRun("no compute-sanitizer on PATH or under /usr/local/cuda")
    return found


def only_our_kernels(sanitizer: str) -> list[str]:
    """The option that excludes torch's kernels, which would take most of the time. Its name depends on the version."""
    known = subprocess.run([sanitizer, "--help"], capture_output=True, text=True).stdout
    for option in ("--kernel-name", "--kernel-regex"):
        if re.search(rf"{option}(?![-\w])", known):
            return [option, "kernel_substring=colad"]
    return []
