"""Says which packages are tried, and prints the table of adapted against stock heads."""

from __future__ import annotations

from importlib import metadata

import pytest

import colad_ops
from python_tests.integrations import stock_table

PACKAGES = ("torch", "torchvision", "mmdet", "mmengine", "mmcv-lite", "timm", "transformers", "lightning")


def pytest_report_header() -> list[str]:
    return [f"integrations: {', '.join(_versions())}", f"colad_ops {colad_ops.__version__} from {colad_ops.__file__}"]


def _versions() -> list[str]:
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            found.append(f"no {package}")
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if stock_table.ROWS:
        terminalreporter.section(stock_table.TITLE)
        terminalreporter.write_line("\n".join(stock_table.ROWS))
