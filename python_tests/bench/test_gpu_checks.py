"""What checks and measures on a GPU, tried without one."""

import csv
import os
import re
import subprocess
import sys

import pytest

from bench.paths import ROOT
from colad_ops._library import LIBRARY
from gpu_checks.cuda_tests import not_collected

RUN = ROOT / "gpu_checks" / "run.sh"


def test_the_gpu_check_runs_dry(tmp_path):
    environment = {**os.environ, "PYTHON": sys.executable, "COLAD_LIBRARY": str(LIBRARY), "TMPDIR": str(tmp_path)}
    result = subprocess.run(["bash", RUN, "--dry-run"], env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    for step in ("tests", "no sync", "CUDA graph", "memory", "memcheck", "racecheck", "initcheck", "synccheck"):
        assert f"{step}: skipped: dry run" in result.stdout
    (folder,) = tmp_path.glob("gpu_check_*")
    assert "Failed: nothing. Not run: nothing." in (folder / "gpu_check.log").read_text()
    with (folder / "gpu_check.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(float(row["ours_us"]) > 0 and int(row["bytes"]) > 0 for row in rows)
    assert {row["op"] for row in rows} == set(re.findall(r"^\| `(\w+)` \| [^|]*\| \d", roofline(), re.MULTILINE))


def roofline() -> str:
    text = (ROOT / "bench" / "ROOFLINE.md").read_text()
    return text[text.index("<!-- roofline") : text.index("<!-- end of roofline")]


def test_the_gpu_check_without_a_library_says_so(tmp_path):
    copy = tmp_path / "gpu_checks"
    copy.mkdir()
    (copy / "run.sh").write_text(RUN.read_text())
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\n")  # finds no package
    python.chmod(0o755)
    environment = {k: v for k, v in os.environ.items() if k != "COLAD_LIBRARY"} | {"PYTHON": str(python)}
    result = subprocess.run(["bash", copy / "run.sh"], env=environment, capture_output=True, text=True)
    assert result.returncode == 1 and "No libcolad_ops.so" in result.stderr


COLLECTED = """\
python_tests/test_a.py::test_it
_________________ ERROR collecting python_tests/test_b.py _________________
E   ModuleNotFoundError: No module named '{package}'
=========================== short test summary info ============================
SKIPPED [1] python_tests/test_c.py:9: the demo extra is not installed
ERROR python_tests/test_b.py
1/7 tests collected (6 deselected), 1 error in 0.10s
"""


def test_files_without_their_packages_are_left_out_and_say_why():
    assert not_collected(COLLECTED.format(package="mpmath")) == {
        "python_tests/test_b.py": "mpmath is not installed",
        "python_tests/test_c.py": "the demo extra is not installed",
    }
    with pytest.raises(RuntimeError, match="python_tests/test_b.py cannot be imported"):
        not_collected(COLLECTED.format(package="colad_ops.ops.gone"))
