"""Tests of the code that `make test-asan` relies on, without a build."""

import os
import shutil
import subprocess
import sys

import pytest

import colad_ops._library
from python_tests.sanitizers.planted_errors import PLANTS
from python_tests.sanitizers.run_operator_tests import FOLDERS, files_of
from python_tests.sanitizers.sanitized_library import ROOT

NAMES_LIBRARY = "import colad_ops; print(colad_ops._library.LIBRARY)"


def import_with(library: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", NAMES_LIBRARY],
        env=os.environ | {"COLAD_LIBRARY": library},
        capture_output=True,
        text=True,
    )


def test_colad_library_names_another_build(tmp_path):
    copy = tmp_path / "another.so"
    shutil.copyfile(colad_ops._library.LIBRARY, copy)
    assert import_with(str(copy)).stdout.strip() == str(copy)


def test_an_empty_colad_library_is_none():
    assert import_with("").stdout.strip() == str(colad_ops._library.BUILT)


def test_a_missing_colad_library_is_named(tmp_path):
    missing = tmp_path / "missing.so"
    run = import_with(str(missing))
    assert run.returncode != 0
    assert f"{missing} does not exist" in run.stderr and f"COLAD_LIBRARY names another build: {missing}" in run.stderr


@pytest.mark.parametrize("plant", PLANTS, ids=[plant.function for plant in PLANTS])
def test_every_planted_error_has_its_place_in_the_sources(plant):
    text = (ROOT / plant.file).read_text()
    assert plant.in_text(text) != text
    assert (ROOT / "python_tests" / plant.test).is_file()


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_of_the_run_has_tests(folder):
    assert files_of(folder)


def test_a_folder_without_tests_is_an_error():
    with pytest.raises(FileNotFoundError, match="no test in python_tests/nowhere"):
        files_of("nowhere")


def test_a_place_that_is_gone_is_an_error():
    with pytest.raises(RuntimeError, match="should contain once"):
        PLANTS[0].in_text("something else")


def test_a_report_counts_only_with_its_function_and_file():
    plant = PLANTS[1]
    report = (
        "split_candidates_math.h:63:1: runtime error: signed integer overflow: 3 * 4\n    #0 0x1 in colad::{} {}:63\n"
    )
    assert plant.is_reported(report.format("sample_key(float, long)", plant.file))
    assert not plant.is_reported(report.format("sample_cost(unsigned long)", plant.file))
    assert not plant.is_reported(report.format("sample_key(float, long)", "csrc/other.h"))
    assert not plant.is_reported("1 failed: sample_key csrc/ops/split_candidates/split_candidates_math.h:63")
