"""The runner: every bench on a tiny workload, and the environment that it runs in."""

import csv

from bench import run
from bench.cases import BENCHES
from bench.report import csv_files, tables


def test_every_bench_runs_and_its_peers_agree(tmp_path, one_thread):
    outcomes, machine, summaries = run.run(BENCHES, run.Effort(run.SMALL, rounds=1, seconds=0))
    run.write(tmp_path, outcomes, machine, [*tables.report(outcomes, machine), *summaries])
    with (tmp_path / "bench.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == csv_files.COLUMNS
    assert {row["op"] for row in rows if row["peer"] == "ours"} == {
        "box_iou", "aligned_box_iou", "matched_box_iou", "decode_boxes", "match_anchors", "gmm_em", "assign_cost",
        "sigmoid_focal_loss", "focal_kl_loss", "paa_assign", "batched_nms", "score_voting",
        "training step",
    }  # fmt: skip
    for row in rows:
        if row["note"]:
            assert row["note"].startswith("not importable") and not row["median_ms"], row
        else:
            assert 0 < float(row["p20_ms"]) <= float(row["median_ms"]) <= float(row["p80_ms"]), row
            assert float(row["ratio"]) > 0 and row["version"], row
    text = (tmp_path / "table.md").read_text()
    assert "Shares of a training step" in text and "**ours**" in text
    assert {path.name for path in tmp_path.glob("*.png")} == {"ratios.png", "roofline.png"}
    run.write(tmp_path / "step", [outcome for outcome in outcomes if outcome.case.lower_bound is None], machine, [])
    assert {path.name for path in (tmp_path / "step").glob("*.png")} == {"ratios.png"}


def test_the_runner_sets_the_allocator_once(monkeypatch):
    became = []
    monkeypatch.setattr(run.os, "execve", lambda path, arguments, environment: became.append((arguments, environment)))
    run.run_again_with(run.ENVIRONMENT, ["iou"])
    ((arguments, environment),) = became
    assert arguments[1:] == ["-m", "bench.run", "iou"] and environment.items() >= run.ENVIRONMENT.items()
    for name, value in run.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    run.run_again_with(run.ENVIRONMENT, ["iou"])
    assert len(became) == 1
