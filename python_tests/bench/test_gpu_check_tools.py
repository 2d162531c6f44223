"""What the checks on a GPU ask of torch, nvidia-smi, compute-sanitizer and pytest. Stand-ins answer here."""

from unittest.mock import create_autospec

import pytest
import torch

from gpu_checks import machine, sanitizer
from gpu_checks.context import Context
from gpu_checks.cuda_tests import run_tests
from gpu_checks.device import Card, DryRun


def test_what_a_card_is_asked_for_exists_in_torch(monkeypatch):
    """Each function gets arguments that it takes. What the calls do, only a card can show."""
    names = (
        "synchronize", "empty_cache", "mem_get_info", "memory_allocated", "max_memory_allocated", "_sleep",
        "reset_peak_memory_stats", "set_sync_debug_mode", "Stream", "Event", "stream", "current_stream", "CUDAGraph",
        "graph", "get_device_name",
    )  # fmt: skip
    fakes = {name: create_autospec(getattr(torch.cuda, name)) for name in names}
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    fakes["memory_allocated"].return_value, fakes["max_memory_allocated"].return_value = 100, 350
    fakes["mem_get_info"].return_value = (7, 9)
    fakes["Event"].return_value.elapsed_time.return_value = 0.25
    fakes["Event"].return_value.query.return_value = False
    monkeypatch.setattr(Card, "device", torch.device("cpu"))
    card, runs = Card(), []
    assert card.free_bytes() == 7 and card.peak_bytes(lambda: runs.append("peak")) == 250
    assert card.start(lambda: runs.append("timed"), busy=True)() == 250.0
    with card.busy_side_stream() as still_pending:
        assert still_pending()
    with card.beside_other_work(), card.waiting_is_an_error():
        fakes["set_sync_debug_mode"].assert_called_with("error")
    fakes["set_sync_debug_mode"].assert_called_with("default")
    card.graph(lambda: runs.append("captured"))()
    fakes["CUDAGraph"].return_value.replay.assert_called_once_with()
    profiles = iter([[], list("abc"), list("abcd")])  # the first two are incomplete
    monkeypatch.setattr("gpu_checks.device.kernels_of", lambda recorded, kind: next(profiles))
    assert card.kernels(lambda: runs.append("profiled"), times=2) == [["a", "b"], ["c", "d"]]
    assert runs == ["peak", "timed", *["captured"] * 4, *["profiled"] * 7]
    profiles = iter([list("abc")] * 3)
    with pytest.raises(RuntimeError, match="the profiler saw 3 kernels in 2 equal calls"):
        card.kernels(lambda: None, times=2)
    card.put_under_load()
    card.synchronize()
    assert card.name is fakes["get_device_name"].return_value


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """A folder at the front of PATH, and a function that writes a program into it."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")

    def write(name: str, text: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)

    return write


def test_the_card_is_described_by_nvidia_smi(tools, monkeypatch):
    tools("nvidia-smi", 'case "$1" in *name*) echo "A card, 580.1, P0";; *sm) echo "1980 MHz";; *) echo 580.1;; esac')
    assert machine.describe_card() == "name A card, driver_version 580.1, pstate P0"
    assert machine.driver() == "580.1" and machine.megahertz() == 1980.0
    tools("nvidia-smi", "echo 'Field \"x\" is not a valid field to query.'; exit 2")
    assert machine.describe_card() == "no nvidia-smi" and machine.driver() == "none" and machine.megahertz() is None


def sanitizer_that_says(tools, text: str, status: int) -> None:
    tools(
        "compute-sanitizer",
        f"[ $1 = --help ] && echo '  --kernel-name arg' && exit\necho \"$@\"\n{text}\nexit {status}",
    )


def test_a_sanitizer_is_run_and_its_summary_read(tools, context, capfd):
    sanitizer_that_says(tools, "echo '========= ERROR SUMMARY: 0 errors'", 0)
    assert sanitizer.sanitize(context, "memcheck") == "ERROR SUMMARY: 0 errors"
    called = capfd.readouterr().out
    assert "--tool memcheck --error-exitcode 99 --kernel-name kernel_substring=colad" in called
    assert "-m gpu_checks.run_every_operator cpu" in called
    assert sanitizer.sanitize(context, "initcheck") and "kernel_substring" not in capfd.readouterr().out


def test_what_a_sanitizer_finds_is_a_failure(tools, context):
    summary = "echo '========= ERROR SUMMARY: 2 errors'"
    sanitizer_that_says(tools, summary, 99)
    with pytest.raises(RuntimeError, match="racecheck ended with 99, ERROR SUMMARY: 2 errors"):
        sanitizer.sanitize(context, "racecheck")
    assert sanitizer.sanitize(context, "initcheck") == "ERROR SUMMARY: 2 errors, none of them in our kernels"
    sanitizer_that_says(tools, f"echo '=========     at void colad::first'\n{summary}", 99)
    with pytest.raises(RuntimeError, match="initcheck ended with 99"):
        sanitizer.sanitize(context, "initcheck")
    sanitizer_that_says(tools, "", 1)
    with pytest.raises(RuntimeError, match="memcheck ended with 1 and gave no summary"):
        sanitizer.sanitize(context, "memcheck")


def test_cuda_tests_that_fail_or_skip_are_a_failure(context, monkeypatch):
    outputs = iter(["collected", "10 passed", "collected", "9 passed, 1 skipped", "collected", "1 failed"])
    statuses = iter([0, 0, 0, 0, 0, 1])
    monkeypatch.setattr("gpu_checks.cuda_tests.run_command", lambda *a, **k: (next(statuses), next(outputs)))
    real = Context(DryRun(), False, context.folder)
    assert run_tests(real) == "10 passed"
    for message in ("1 skipped", "1 failed"):
        with pytest.raises(RuntimeError, match=message):
            run_tests(real)
