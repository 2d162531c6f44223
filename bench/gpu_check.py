"""The steps of gpu_check.sh, which see."""

from __future__ import annotations

import argparse
import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE), str(ROOT)]

import torch  # noqa: E402
from gpu_harness import ROUNDS, Measured, measure  # noqa: E402
from items import make_items  # noqa: E402
from laws import check_graph, check_memory, check_no_sync  # noqa: E402
from workload import SMALL, make_workload  # noqa: E402

import colad_ops  # noqa: E402

SECONDS = 470  # for all steps: below 8 minutes
SANITIZERS = ("memcheck", "racecheck", "initcheck", "synccheck")
SANITIZER_SECONDS = 75  # for each of the four tools
TEST_SECONDS = 150
COLUMNS = (
    "op", "what", "mode", "ours_us", "p20_us", "p80_us", "copy_us", "launches", "bytes", "share_of_copy", "torch",
    "driver", "commit",
)  # fmt: skip


class CouldNotRun(Exception):
    """A step that this machine cannot run; the message is the reason."""


class Steps:
    """Runs steps one after the other, whatever became of those before, and remembers their outcome."""

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
        """Exit status and output of a command; the output goes to the log too."""
        seconds = max(1, min(seconds, round(self.until - time.monotonic())))
        process = subprocess.Popen(
            list(map(str, command)), cwd=ROOT, env={**os.environ, "PYTHONPATH": str(HERE), **environment},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
        )  # fmt: skip
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # the tool and the Python it runs
            output, _ = process.communicate()
            raise RuntimeError(f"did not end within {seconds} s") from None
        finally:
            print(output, file=self.file, flush=True)
        return process.returncode, output


def test_files() -> list[str]:
    """Files with tests for a GPU: the operators' contracts, and those that ask for the fixture."""
    folder = ROOT / "python_tests"
    asks = re.compile(r"def test_\w+\([^)]*\bcuda\b")
    files = sorted(folder.rglob("test_*.py"))
    return [str(p.relative_to(ROOT)) for p in files if p.parent.name == "ops" or asks.search(p.read_text())]


def importable(steps: Steps, files: list[str]) -> list[str]:
    """Those whose imports are installed; the others are named in the log."""
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "only_cuda"]
    _, output = steps.child([*pytest, "--collect-only", "--continue-on-collection-errors", *files], TEST_SECONDS)
    blocks = re.split(r"_+ ERROR collecting (\S+) _+", output)[1:]
    for file, text in zip(blocks[::2], blocks[1::2]):
        missing = re.search(r"ModuleNotFoundError: No module named '(\w+)", text)
        if missing is None or missing[1] == "colad_ops":
            raise RuntimeError(f"{file} cannot be imported: see the log")
        steps.say(f"tests: {file} left out, it needs {missing[1]}")
        files = [f for f in files if f != file]
    return files


def run_tests(steps: Steps, dry: bool) -> str:
    files = importable(steps, test_files())
    if dry:
        return f"{len(files)} files collected"
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "only_cuda", "-rs"]
    status, output = steps.child([*pytest, *files], TEST_SECONDS, FAIL_WITHOUT_CUDA="1")
    summary = output.strip().splitlines()[-1]
    if status != 0 or "skipped" in summary:
        raise RuntimeError(summary)
    return summary


def every_operator(steps: Steps, device: torch.device) -> str:
    status, output = steps.child([sys.executable, HERE / "every_operator.py", device], SANITIZER_SECONDS)
    summary = output.strip().splitlines()[-1]
    if status != 0:
        raise RuntimeError(summary)
    return summary


def find_sanitizer() -> str:
    found = shutil.which("compute-sanitizer") or next(
        (str(p) for p in sorted(Path("/usr/local").glob("cuda*/bin/compute-sanitizer"))), None
    )
    if found is None:
        raise CouldNotRun("no compute-sanitizer on PATH or under /usr/local/cuda")
    return found


def sanitize(steps: Steps, tool: str) -> str:
    sanitizer = find_sanitizer()
    command = [sanitizer, "--tool", tool, "--error-exitcode", "99"]
    if tool != "initcheck":  # which has to see what torch's kernels write
        command += only_our_kernels(sanitizer)
    # Every tensor an allocation of its own, so that its end is an end to the tool too.
    status, output = steps.child(
        [*command, sys.executable, HERE / "every_operator.py", "cuda"],
        SANITIZER_SECONDS,
        PYTORCH_NO_CUDA_MEMORY_CACHING="1",
    )
    summary = re.findall(r"=+ (.*SUMMARY.*)", output)
    if not summary:
        raise RuntimeError(f"{tool} ended with {status} and gave no summary: see the log")
    if status == 99 and tool == "initcheck" and not re.search(r"^=+ .*\bcolad", output, re.MULTILINE):
        return f"{summary[-1]}, none of them in our kernels"
    if status != 0:
        raise RuntimeError(f"{tool} ended with {status}, {summary[-1]}: see the log")
    return summary[-1]


def only_our_kernels(sanitizer: str) -> list[str]:
    """torch's kernels take most of the time. The option's name depends on the version."""
    known = subprocess.run([sanitizer, "--help"], capture_output=True, text=True).stdout
    for option in ("--kernel-name", "--kernel-regex"):
        if re.search(rf"{option}(?![-\w])", known):
            return [option, "kernel_substring=colad"]
    return []


def driver() -> str:
    if shutil.which("nvidia-smi") is None:
        return "none"
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True).stdout.split("\n")[0].strip() or "none"


def write_csv(path: Path, measured: list[Measured]) -> str:
    common = {"torch": torch.__version__, "driver": driver(), "commit": colad_ops.build_info()["commit"]}
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for m in measured:
            writer.writerow({
                "op": m.item.op, "what": m.item.what, "mode": m.mode, "ours_us": f"{m.ours.median:.2f}",
                "p20_us": f"{m.ours.p20:.2f}", "p80_us": f"{m.ours.p80:.2f}", "copy_us": f"{m.copy.median:.2f}",
                "launches": "" if m.launches is None else m.launches, "bytes": m.item.bytes,
                "share_of_copy": f"{m.copy.median / m.ours.median:.3f}", **common,
            })  # fmt: skip
    return f"{len(measured)} rows in {path.name}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="the same on the CPU, tiny, without what needs a GPU")
    dry = parser.parse_args().dry_run
    if not dry and not torch.cuda.is_available():
        print("torch finds no CUDA device; --dry-run tries the command itself on the CPU", file=sys.stderr)
        return 1
    device = torch.device("cpu" if dry else "cuda")
    card = "dry run" if dry else torch.cuda.get_device_name()
    folder = Path(tempfile.mkdtemp(prefix="gpu_check_")) if dry else HERE / "results" / re.sub(r"\W+", "_", card)
    folder.mkdir(parents=True, exist_ok=True)
    steps = Steps(folder / "gpu_check.log", dry)
    steps.say(f"{card}, torch {torch.__version__}, driver {driver()}, {colad_ops.build_info()}")

    w = make_workload(**SMALL) if dry else make_workload()
    steps.run("tests", lambda: run_tests(steps, dry), needs_gpu=True)
    steps.run("every operator", lambda: every_operator(steps, device))
    steps.run("no sync", lambda: check_no_sync(w, device), needs_gpu=True)
    steps.run("CUDA graph", lambda: check_graph(w, device), needs_gpu=True)
    if dry:
        for name in ("memory", *SANITIZERS):
            steps.say(f"{name}: skipped: dry run")
    else:
        steps.run("memory", lambda: check_memory([make_workload(images=4, objects=30), w], device))
    rounds = 3 if dry else ROUNDS
    table = folder / "gpu_check.csv"
    steps.run("benches", lambda: write_csv(table, measure(make_items(w, device), device, rounds)))
    for tool in () if dry else SANITIZERS:
        steps.run(tool, lambda tool=tool: sanitize(steps, tool))
    steps.say(f"Failed: {', '.join(steps.failed) or 'nothing'}. Not run: {', '.join(steps.left_out) or 'nothing'}.")
    steps.say(f"Results in {folder if dry else folder.relative_to(ROOT)}")
    return 1 if steps.failed else (2 if steps.left_out else 0)


if __name__ == "__main__":
    sys.exit(main())
