"""What checks and measures on a GPU is tried here without one."""

import csv
import importlib.util
import os
import re
import shutil
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


def bench_module(name):
    """A module of the benches with those it imports, which are not on the path of the tests."""
    sys.path.insert(0, str(BENCH))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(BENCH))


@pytest.fixture
def one_thread(monkeypatch):
    """What the runner changes of torch is as before afterwards. Nothing is compiled, and memory is a test of its own:
    both take longer than the rest."""
    torch = importlib.import_module("torch")
    threads = torch.get_num_threads()
    monkeypatch.setattr(bench_module("case"), "extra_memory", lambda run, device: 1)
    with importlib.import_module("torch._dynamo.config").patch(disable=True):
        yield
    torch.set_num_threads(threads)


def test_every_bench_runs_and_its_peers_agree(tmp_path, one_thread):
    run, report = bench_module("run"), bench_module("report")
    outcomes, machine, summaries = run.run(run.BENCHES, run.Effort(run.SMALL, rounds=1, seconds=0))
    run.write(tmp_path, outcomes, machine, [*report.report(outcomes, machine), *summaries])
    with (tmp_path / "bench.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == report.COLUMNS
    assert {row["op"] for row in rows if row["peer"] == "ours"} == {
        "box_iou", "aligned_box_iou", "match_anchors", "gmm_em", "assign_cost", "sigmoid_focal_loss", "focal_kl_loss",
        "paa_assign", "training step",
    }  # fmt: skip
    for row in rows:
        if row["note"]:
            assert row["note"].startswith("not importable") and not row["median_ms"], row
        else:
            assert 0 < float(row["p20_ms"]) <= float(row["median_ms"]) <= float(row["p80_ms"]), row
            assert float(row["ratio"]) > 0 and row["version"], row
    text = (tmp_path / "table.md").read_text()
    assert "Shares of a training step" in text and "**ours**" in text
    assert {path.name for path in tmp_path.glob("*.png")} == {"ratios.png", "roofline.png"}
    run.write(tmp_path / "step", [outcome for outcome in outcomes if outcome.case.floor is None], machine, [])
    assert {path.name for path in (tmp_path / "step").glob("*.png")} == {"ratios.png"}


def test_the_scaling_bench_runs(tmp_path, one_thread):
    small = ["--small", "--rounds", "1", "--seconds", "0", "--output", str(tmp_path)]
    assert bench_module("bench_scaling").main(small) == 0
    with (tmp_path / "scaling.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12 and all(float(row["median_ms"]) > 0 for row in rows)
    assert "slope of time" in (tmp_path / "scaling.md").read_text() and (tmp_path / "scaling.png").is_file()


def test_the_command_becomes_the_runner(monkeypatch, tmp_path, capsys):
    command, cli = importlib.import_module("colad_ops.bench_command"), importlib.import_module("colad_ops.cli")
    became = []
    monkeypatch.setattr(command.os, "execv", lambda path, arguments: became.append(arguments))
    assert cli.main(["bench", "iou", "--small"]) == 0
    assert became == [[sys.executable, str(BENCH / "run.py"), "iou", "--small"]]
    monkeypatch.setattr(command, "RUNNER", tmp_path / "run.py")
    assert cli.main(["bench"]) == 1
    assert "the benches are in the source tree" in capsys.readouterr().err


def test_the_runner_sets_the_allocator_once(monkeypatch):
    run, became = bench_module("run"), []
    monkeypatch.setattr(run.os, "execve", lambda path, arguments, environment: became.append((arguments, environment)))
    run.run_again_with(run.ENVIRONMENT, ["iou"])
    ((arguments, environment),) = became
    assert arguments[1:] == [str(BENCH / "run.py"), "iou"] and environment.items() >= run.ENVIRONMENT.items()
    for name, value in run.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    run.run_again_with(run.ENVIRONMENT, ["iou"])
    assert len(became) == 1


def outcome(ours, peers, **case):
    """Of a case whose callables took so many microseconds."""
    m, timing = bench_module("case"), bench_module("harness").Timing
    made = m.Case("op", "what", int, [m.Peer(name, "1", int) for name in peers], lambda a, b: None, **case)
    timings = {name: timing(took, took, took) for name, took in {m.OURS: ours, **peers}.items()}
    return m.Outcome(made, 1, timings, {m.OURS: 1000})


def test_ratios_shares_and_goals():
    m, floor = bench_module("case"), bench_module("machine").Floor
    goals = [
        m.Goal("times", 2, "peer"), m.Goal("times", 5, "peer"), m.Goal("times", 2, "absent"), m.Goal("ms", 0.05),
        m.Goal("ms", 0.2), m.Goal("extra", 999), m.Goal("extra", 1000),
    ]  # fmt: skip
    o = outcome(100.0, {"peer": 400.0}, floor=floor(25e-6, "because"), goals=goals)
    assert o.ratio("peer") == 4 and o.ratio("absent") is None and o.share_of_floor == 0.25
    assert [goal.reached(o) for goal in goals] == [True, False, None, False, True, False, True]
    report = bench_module("report")
    assert [verdict.split(": ")[-1] for verdict in next(iter(report.cells(o)))[-1].split("; ")].count("unknown") == 1
    machine = bench_module("machine").Machine("A (R) CPU @ 3.0", "", None, 1, 2e9, 1e9)
    assert machine.folder == "a-r-cpu-3-0"
    assert machine.floor(4e6).seconds == pytest.approx(2e-3)
    assert machine.floor(4e6, flops=1e6, double_flops=1e6).seconds == pytest.approx(3e-3)


def test_a_peer_that_disagrees_raises_and_one_that_cannot_is_missing():
    m, harness, torch = bench_module("case"), bench_module("harness"), importlib.import_module("torch")
    machine = bench_module("machine").Machine("any", "", torch.device("cpu"), 1, 1e9, 1e9)
    sample = harness.sample_on(machine.device, 1)

    def equal(ours, peers):
        assert ours == peers, f"{peers} instead of {ours}"

    def run(*peers):
        return m.run_case(m.Case("op", "what", lambda: 1, peers, equal), machine, sample, rounds=1, seconds=0)

    with pytest.raises(AssertionError, match="op what: liar disagrees with ours: 2 instead of 1"):
        run(m.Peer("liar", "1", lambda: 2))
    o = run(
        m.Peer("other", "1", lambda: 2, same=False), m.Peer("breaks", "1", lambda: 1 / 0), m.Peer("no", "", None, "why")
    )
    assert set(o.timings) == {m.OURS, "other"}
    assert o.missing == {"breaks": "raised ZeroDivisionError: division by zero", "no": "why"}


def test_extra_memory_is_what_a_call_takes_beyond_its_result():
    memory, torch = bench_module("memory"), importlib.import_module("torch")
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux tells")
    n = 4_000_000  # bytes of each of two temporaries and of the result

    def call():
        first = torch.ones(n, dtype=torch.uint8)
        second = first + 1
        return first + second

    extra = memory.extra_memory(call, torch.device("cpu"))
    assert 1.8 * n < extra < 2.5 * n
    small = memory.extra_memory(lambda: torch.ones(8), torch.device("cpu"))
    assert small < n / 10


def test_the_twins_stand_in_everywhere_and_go_again():
    twins, losses = bench_module("twins"), importlib.import_module("colad_ops.detection.losses")
    paa = importlib.import_module("colad_ops.detection.paa")
    before = paa.paa_assign, losses.sigmoid_focal_loss
    with twins.torch_twins():
        assert paa.paa_assign.__name__ == "paa_assign_reference"
        assert losses.sigmoid_focal_loss.__name__ == "sigmoid_focal_loss_reference"
    assert (paa.paa_assign, losses.sigmoid_focal_loss) == before


def test_the_slope_is_that_of_the_larger_half():
    scaling = bench_module("bench_scaling")
    assert scaling.slope([1, 10, 100, 1000], [7, 7, 5e4, 5e6]) == pytest.approx(2)
    assert scaling.slope([1, 10], [1, 1]) == 0 and scaling.slope([1, 10], [1, None]) is None


CALLGRIND = """\
desc: Trigger: Client Request: gmm_em
positions: line
events: Ir
summary: 1234

ob=(1) /here/libcolad_ops.so
fl=(1) a.cpp
fn=(1) fit
10 100
+2 20
cob=(2) /usr/lib/libm.so.6
cfn=(2) exp
calls=3 0
* 14
fe=(3) b.h
12 3

ob=(2)
fn=(2)
5 14

ob=(1)
fn=(1)
-1 7
totals: 144
"""


def test_instructions_are_counted_where_they_are():
    instructions = bench_module("instructions")
    found = instructions.instructions_of_objects(CALLGRIND.splitlines())
    assert found == {"/here/libcolad_ops.so": 130, "/usr/lib/libm.so.6": 14}
    places = [instructions.place_of(name, Path("/here/libcolad_ops.so")) for name in (*found, "/other/libc.so.6")]
    assert places == ["library", "libm", "elsewhere"]


def test_the_instructions_of_every_operator_are_counted(capsys):
    instructions = bench_module("instructions")
    if shutil.which("valgrind") is None or not Path("/usr/include/valgrind/callgrind.h").is_file():
        pytest.skip("no valgrind with its headers")
    assert instructions.main(["--small"]) == 0
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()[2:12]]
    assert [row[1] for row in rows] == 5 * ["baseline"] + 5 * ["avx2"]
    wide = {row[0]: float(row[2]) for row in rows[5:]}
    assert all(0 < wide[row[0]] <= float(row[2]) for row in rows[:5])
    parts = sum(wide[name] for name in ("match_anchors", "assign_cost", "split_candidates"))
    assert 0 < wide["paa_assign"] <= 1.01 * parts
