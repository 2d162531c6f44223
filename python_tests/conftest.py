"""CUDA tests skip where there is no CUDA device, but must run where one is promised (FAIL_WITHOUT_CUDA=1)."""

import os

import pytest
import torch

from python_tests.golden import golden_table
from python_tests.simt import kernel_table


@pytest.fixture
def cuda() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    if os.environ.get("FAIL_WITHOUT_CUDA") == "1":
        pytest.fail("FAIL_WITHOUT_CUDA=1, but torch finds no CUDA device")
    pytest.skip("no CUDA device")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Gives every law of an OpContract its cases of the operator."""
    if "case" in metafunc.fixturenames and hasattr(metafunc.cls, "cases_of"):
        cases = metafunc.cls.cases_of(metafunc.function.__name__)
        metafunc.parametrize("case", cases, ids=[case.name for case in cases])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the golden tests compared and which CUDA kernels were run on the CPU, if any were."""
    tables = {"golden sets": golden_table.lines() if golden_table.TABLE else []}
    tables["CUDA kernels in the emulator"] = kernel_table.lines() if kernel_table.KERNELS else []
    for title, lines in tables.items():
        if lines:
            terminalreporter.section(title)
            terminalreporter.write_line("\n".join(lines))
