"""Runs the tests of ``python_tests`` that need a CUDA device. None of them may be skipped."""

from __future__ import annotations

import re
import sys

from gpu_checks.commands import last_line, run_command
from gpu_checks.context import Context

TESTS, DRY_TESTS = "python_tests", "python_tests/ops"
PYTEST = (
    sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-p", "gpu_checks.only_cuda_tests",
)  # fmt: skip
TEST_SECONDS = 240
OUR_PACKAGES = ("colad_ops", "bench", "gpu_checks", "python_tests")


def run_tests(context: Context) -> str:
    tests = DRY_TESTS if context.dry else TESTS
    _, output = run_command([*PYTEST, tests, "--collect-only", "--continue-on-collection-errors"], TEST_SECONDS)
    left_out = not_collected(output)
    for reason in sorted(set(left_out.values())):
        files = ", ".join(file for file, why in left_out.items() if why == reason)
        print(f"left out, {reason}: {files}")
    if not context.dry:
        ignored = [f"--ignore={file}" for file in left_out]
        status, output = run_command([*PYTEST, tests, *ignored], TEST_SECONDS, FAIL_WITHOUT_CUDA="1")
        if status != 0 or "skipped" in last_line(output):
            raise RuntimeError(last_line(output))
    return last_line(output)


def not_collected(output: str) -> dict[str, str]:
    """Test files that need a package which is not installed, with the reason, from the output of pytest.

    Raises:
        RuntimeError: a file cannot be imported for another reason.
    """
    reasons = dict(re.findall(r"^SKIPPED \[\d+\] (\S+?):\d+: (.*)$", output, re.MULTILINE))
    blocks = re.split(r"_+ ERROR collecting (\S+) _+", output)[1:]
    for file, text in zip(blocks[::2], blocks[1::2]):
        missing = re.search(r"ModuleNotFoundError: No module named '(\w+)", text)
        if missing is None or missing[1] in OUR_PACKAGES:
            raise RuntimeError(f"{file} cannot be imported: see the log")
        reasons[file] = f"{missing[1]} is not installed"
    return reasons
