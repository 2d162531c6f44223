"""The bench of growing sizes."""

import csv

import pytest

from bench import run_scaling
from bench.measure.scaling import slope


def test_the_scaling_bench_runs(tmp_path, one_thread):
    small = ["--small", "--rounds", "1", "--seconds", "0", "--output", str(tmp_path)]
    assert run_scaling.main(small) == 0
    with (tmp_path / "scaling.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12 and all(float(row["median_ms"]) > 0 for row in rows)
    assert "slope of time" in (tmp_path / "scaling.md").read_text() and (tmp_path / "scaling.png").is_file()


def test_the_slope_is_that_of_the_larger_half():
    assert slope([1, 10, 100, 1000], [7, 7, 5e4, 5e6]) == pytest.approx(2)
    assert slope([1, 10], [1, 1]) == 0 and slope([1, 10], [1, None]) is None
