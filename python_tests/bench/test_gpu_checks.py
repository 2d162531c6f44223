"""The command that checks and measures on a GPU, tried without one."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.paths import ROOT
from bench.workload.batch import SMALL
from colad_ops._library import LIBRARY
from gpu_checks import run
from gpu_checks.context import Context, CouldNotRun
from gpu_checks.cuda_tests import not_collected
from gpu_checks.device import DryRun
from gpu_checks.machine import describe_card
from gpu_checks.parts import PART_SECONDS, PARTS, STEPS, Step
from gpu_checks.step import outcome_of
from gpu_checks.steps import Runner

RUN = ROOT / "gpu_checks" / "run.sh"


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_gpu_check_runs_dry(tmp_path):
    environment = {**os.environ, "PYTHON": sys.executable, "COLAD_LIBRARY": str(LIBRARY), "TMPDIR": str(tmp_path)}
    result = subprocess.run(["bash", RUN, "--dry-run"], env=environment, capture_output=True, text=True, timeout=300)
    (folder,) = tmp_path.glob("gpu_check_*")
    log = (folder / "dry_run.log").read_text()
    assert result.returncode == 0, result.stdout + result.stderr + log
    outcomes = dict(re.findall(r"^(.+?): (passed|skipped: dry run)\b", result.stdout, re.MULTILINE))
    assert list(outcomes) == list(STEPS)
    assert {name for name, how in outcomes.items() if how != "passed"} == {
        name for name, step in STEPS.items() if step.shows_on_a_gpu_only
    }
    assert "Failed: nothing. Not run: nothing." in result.stdout and "lowest_driver" in log

    benches = rows_of(folder / "gpu_check.csv")
    assert all(float(row["ours_us"]) > 0 and int(row["bytes"]) > 0 and int(row["launches"]) > 0 for row in benches)
    operators = set(re.findall(r"^\| `(\w+)` \| [^|]*\| \d", roofline(), re.MULTILINE))
    assert {row["op"] for row in benches} == operators
    kernels = rows_of(folder / "kernels.csv")
    assert {row["op"] for row in kernels} == operators - {"batched_nms"}  # its size depends on the data
    assert {"whole replay", "gaps", "paa_assign"} <= {row["kernel"] for row in kernels}
    assert [row["objects"] for row in rows_of(folder / "em_slope.csv")] == [str(SMALL["objects"]), "1000"]
    assert len(rows_of(folder / "batches.csv")) == 5
    assert {row["error"] for row in rows_of(folder / "sweep.csv")} == {"", "does not compile"}
    peers = [row["peer"] for path in folder.glob("peers_*.csv") for row in rows_of(path)]
    assert {"ours", "torchvision", "torch.compile"} <= set(peers)


def roofline() -> str:
    text = (ROOT / "bench" / "ROOFLINE.md").read_text()
    return text[text.index("<!-- roofline") : text.index("<!-- end of roofline")]


def test_the_parts_are_listed_and_fit_into_a_call(capsys):
    assert run.main(["--list"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == list(PARTS)
    assert all(step.seconds <= PART_SECONDS < 300 for step in STEPS.values())
    assert sum(len(part.steps) for part in PARTS.values()) == len(STEPS)  # no two of one name


def test_a_part_that_does_not_exist_is_refused(capsys):
    with pytest.raises(SystemExit) as end:
        run.main(["--dry-run", "exakt"])
    assert end.value.code == 2 and "no part exakt; there are tests, exact, " in capsys.readouterr().err


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


# In place of gpu_checks.step: what a step can do to its process.
STEP_PROCESS = """
import json, os, subprocess, sys, time
folder, outcomes, *names = sys.argv[1:]
for name in names:
    print("this is", name, flush=True)
    if name == "crashes":
        os.abort()
    if name == "hangs":
        started = subprocess.Popen(["sleep", "1000"])
        print("started", started.pid, flush=True)
        time.sleep(1000)
    with open(outcomes, "a") as file:
        status = {"fails": "FAILED", "needs more": "not run"}.get(name, "passed")
        print(json.dumps({"step": name, "status": status, "text": "seen", "seconds": 0.5}), file=file)
"""


def test_a_step_that_ends_its_process_or_hangs_does_not_stop_the_others(tmp_path, capfd):
    names = ["works", "crashes", "hangs", "fails", "needs more", "works too"]
    steps = [Step(name, check=str, seconds=2) for name in names]
    runner = Runner(tmp_path, dry=False, command=(sys.executable, "-c", STEP_PROCESS))
    log = tmp_path / "part.log"
    runner.run_part(steps, log, "a part")
    assert runner.failed == ["crashes", "hangs", "fails"] and runner.left_out == ["needs more"]
    said = capfd.readouterr().out
    card = describe_card()
    assert said.splitlines() == [
        "a part",
        card,
        "works: passed: seen [0.5 s]",
        "crashes: FAILED: its process ended with -6: see the log [0.0 s]",
        "hangs: FAILED: did not end within 2 s: see the log [0.0 s]",
        "fails: FAILED: seen [0.5 s]",
        "needs more: not run: seen [0.5 s]",
        "works too: passed: seen [0.5 s]",
        card,
    ]
    text = log.read_text()
    assert all(line in text for line in said.splitlines()) and "this is works too" in text
    (left,) = re.findall(r"started (\d+)", text)
    assert not running(int(left)), "a program that the step started still runs"


def running(process_id: int) -> bool:
    """Not as a zombie, which nobody has waited for."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_part_ends_when_its_time_is_over(tmp_path, monkeypatch):
    monkeypatch.setattr("gpu_checks.steps.PART_SECONDS", 0)
    runner = Runner(tmp_path, dry=False, command=("false",))
    runner.run_part([Step("late", check=str)], tmp_path / "part.log", "a part")
    assert runner.failed == ["late"]
    assert "the 0 s of the part are over" in (tmp_path / "part.log").read_text()


def raises(error: Exception):
    def check(context):
        raise error

    return check


def test_the_outcome_of_a_step(tmp_path):
    real, dry = (Context(DryRun(), is_dry, tmp_path) for is_dry in (False, True))
    seen = Step("step", lambda context: "seen", shows_on_a_gpu_only=True)
    assert outcome_of(seen, real) == {"status": "passed", "text": "seen"}
    assert outcome_of(seen, dry) == {"status": "skipped", "text": "dry run (its code ran on the CPU)"}
    missing = Step("step", raises(CouldNotRun("no tool")))
    assert outcome_of(missing, real) == {"status": "not run", "text": "no tool"}
    assert outcome_of(missing, dry) == {"status": "skipped", "text": "dry run (no tool)"}
    assert outcome_of(Step("step", raises(AssertionError())), dry) == {"status": "FAILED", "text": "AssertionError"}
    assert outcome_of(Step("step", raises(ValueError("bad"))), real) == {"status": "FAILED", "text": "bad"}


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
