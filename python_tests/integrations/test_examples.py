"""The examples run at small size and print what their docstrings say, but for the figures."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NEEDS = {
    "torchvision_lad": ("torchvision",),
    "lightning_module": ("lightning",),
    "mmdet_paa_config": ("mmdet", "pkg_resources"),  # mmengine finds mmdet's configurations with it: setuptools < 81
}
BEFORE = {"mmdet_paa_config": "import python_tests.integrations.mmcv_ext; "}
SMALL = {
    "own_head": "steps=26",
    "torchvision_lad": "steps=1",
    "lightning_module": "steps=1",
}

pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="not run from the source tree")


def names() -> list[str]:
    return sorted(file.stem for file in EXAMPLES.glob("*.py"))


def expected_lines(name: str) -> list[str]:
    """The indented lines of the docstring."""
    docstring = ast.get_docstring(ast.parse((EXAMPLES / f"{name}.py").read_text()))
    return [line.strip() for line in docstring.splitlines() if line.startswith("    ")]


def without_figures(line: str) -> str:
    return re.sub(r"[\s-]+", " ", re.sub(r"\d+(\.\d+)?(e[+-]?\d+)?", "N", line)).strip()


@pytest.mark.parametrize("name", names())
def test_an_example_prints_what_it_says(name):
    for package in ("torchvision", *NEEDS.get(name, ())):  # only the environment of make test-integrations runs them
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    code = BEFORE.get(name, "") + (
        f"import {name}; {name}.main({SMALL[name]})"
        if name in SMALL
        else f"import runpy; runpy.run_path('{name}.py', run_name='__main__')"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=EXAMPLES, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    expected = {without_figures(line) for line in expected_lines(name)}
    printed = {without_figures(line) for line in run.stdout.splitlines()}
    assert expected, "the docstring has no expected output"
    missing = expected - printed
    assert not missing, f"not printed: {missing}, but:\n{run.stdout}"
