"""The benches lie in the source tree, beside the package. Where they are missing, their tests are skipped."""

from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


def pytest_pycollect_makemodule() -> None:
    if not (ROOT / "bench").is_dir() or not (ROOT / "gpu_checks").is_dir():
        pytest.skip("not run from the source tree")


@pytest.fixture
def one_thread(monkeypatch):
    """Restores the number of threads that the runner sets. Nothing is compiled and no memory is measured: both take
    longer than the rest, and memory has a test of its own."""
    threads = torch.get_num_threads()
    monkeypatch.setattr("bench.measure.case.extra_memory", lambda run, device: 1)
    with torch._dynamo.config.patch(disable=True):
        yield
    torch.set_num_threads(threads)


@pytest.fixture
def context(tmp_path):
    """Of a dry run of the GPU checks."""
    from gpu_checks.context import Context
    from gpu_checks.device import DryRun

    return Context(DryRun(), True, tmp_path)
