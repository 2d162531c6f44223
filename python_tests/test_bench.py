"""What checks and measures on a GPU is tried here without one."""

import csv
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from colad_ops._library import LIBRARY

BENCH = Path(__file__).parent.parent / "bench"
pytestmark = pytest.mark.skipif(not BENCH.is_dir(), reason="not run from the source tree")

LOG = """\
[1/2] Building CUDA object a_cuda.cu.o
ptxas info    : 28 bytes gmem, 224 bytes cmem[4]
ptxas info    : Compiling entry function '_ZN5colad5firstIfEEvi' for 'sm_80'
ptxas info    : Function properties for _ZN5colad5firstIfEEvi
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 256 bytes smem
ptxas info    : Compiling entry function '_ZN5colad5firstIfEEvi' for 'sm_120'
ptxas info    : Function properties for _ZN5colad5firstIfEEvi
    8 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 38 registers, used 1 barriers, 256 bytes smem
ptxas info    : Compiling entry function '_ZN5colad6secondEv' for 'sm_80'
ptxas info    : Used 8 registers
"""


def load(name):
    spec = importlib.util.spec_from_file_location(name, BENCH / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_gpu_check_runs_dry(tmp_path):
    environment = {**os.environ, "PYTHON": sys.executable, "COLAD_LIBRARY": str(LIBRARY), "TMPDIR": str(tmp_path)}
    result = subprocess.run(
        ["bash", BENCH / "gpu_check.sh", "--dry-run"], env=environment, capture_output=True, text=True, timeout=300
    )
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
    text = (BENCH / "ROOFLINE.md").read_text()
    return text[text.index("<!-- roofline") : text.index("<!-- end of roofline")]


def test_the_table_of_kernels_is_what_the_compiler_said():
    ptxas_table = load("ptxas_table")
    assert ptxas_table.kernels(LOG) == [
        ("_ZN5colad5firstIfEEvi", "sm_80", 40, 256, 0),
        ("_ZN5colad5firstIfEEvi", "sm_120", 38, 256, 20),
        ("_ZN5colad6secondEv", "sm_80", 8, 0, 0),
    ]
    first, second = ptxas_table.table(LOG)[2:]
    assert first.endswith("| sm_80 / sm_120 | 40 / 38 | 256 | 0 / 20 |")
    assert second.endswith("| sm_80 | 8 | 0 | 0 |")
    assert ptxas_table.short_name("void colad::_GLOBAL__N__1a_iou_cu::f<c10::Half>(colad::P)") == "f<Half>"


def test_the_gpu_check_without_a_library_says_so(tmp_path):
    copy = tmp_path / "bench"
    copy.mkdir()
    (copy / "gpu_check.sh").write_text((BENCH / "gpu_check.sh").read_text())
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\n")  # finds no package
    python.chmod(0o755)
    environment = {k: v for k, v in os.environ.items() if k != "COLAD_LIBRARY"} | {"PYTHON": str(python)}
    result = subprocess.run(["bash", copy / "gpu_check.sh"], env=environment, capture_output=True, text=True)
    assert result.returncode == 1 and "No libcolad_ops.so" in result.stderr
