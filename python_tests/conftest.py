"""CUDA tests skip where there is no CUDA device, but must run where one is promised (FAIL_WITHOUT_CUDA=1)."""

import os

import golden_table
import pytest
import torch


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
    """What the golden tests compared, if any ran."""
    if golden_table.TABLE:
        terminalreporter.section("golden sets")
        for line in golden_table.lines():
            terminalreporter.write_line(line)
