"""The operators with tensors on a device of torch: see ``card/__init__.py``. The tests of that folder, and all tests of
operators that need a CUDA device, run on an emulated card. They run in one process of their own."""

from __future__ import annotations

import re
import subprocess
import sys

from python_tests import simt

FOLDERS = ("python_tests/simt/card", "python_tests/ops", "python_tests/errors")
PYTEST = (
    sys.executable,
    "-m",
    "pytest",
    *FOLDERS,
    "-q",
    "-p",
    "no:cacheprovider",
    "-p",
    "python_tests.simt.card.plugin",
)


def test_all_tests_that_need_a_card_pass_on_an_emulated_one() -> None:
    simt.build_card(simt.build())
    result = subprocess.run(PYTEST, cwd=simt.REPOSITORY, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-2000:]
    passed = re.fullmatch(r"(\d+) passed, \d+ deselected.*", result.stdout.strip().splitlines()[-1])
    assert passed is not None and int(passed[1]) > 500, result.stdout
