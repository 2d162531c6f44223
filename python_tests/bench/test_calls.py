"""The bench of small calls."""

import csv
import time

import pytest

from bench import run_calls
from bench.measure.timing import best_of


def test_the_bench_of_small_calls_runs(tmp_path, one_thread, capsys):
    assert run_calls.main(["--rounds", "1", "--output", str(tmp_path)]) == 0
    with (tmp_path / "calls.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["op"] for row in rows} == {"paa_assign", "match_anchors", "box_iou", "focal_kl_loss"}
    for row in rows:
        assert float(row["multiple"]) == pytest.approx(float(row["us"]) / float(row["add_us"]), rel=0.01)
    table = capsys.readouterr().out
    assert all(f"| {row['op']} | {row['what']} | {row['us']} |" in table for row in rows)


def test_the_best_of_many_samples_is_a_time_of_the_thread():
    """While a thread sleeps, it takes no time of the CPU."""
    best = best_of({"sleeps": lambda: time.sleep(0.01), "computes": lambda: sum(range(100_000))}, rounds=2)
    assert best["sleeps"] < 2000 and best["computes"] > 100
