"""The demo on a handful of pictures: everything it promises is written, and its pictures show what the operators
did."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("sklearn", reason="the demo extra is not installed")
pytest.importorskip("matplotlib", reason="the demo extra is not installed")

from colad_ops.data import CocoDetection, Collate
from colad_ops.data.digits import DigitsConfig, write_digits
from colad_ops.demo.mixture_picture import object_mixtures
from colad_ops.demo.run import run_demo
from colad_ops.demo.settings import DemoSettings, demo_settings
from colad_ops.demo.table import Row, format_table
from colad_ops.detection import PAA, build_network
from colad_ops.engine import TrainConfig, load_checkpoint, train


@pytest.mark.parametrize("processes", [1, 2])
def test_the_demo_writes_its_table_pictures_and_checkpoints(tmp_path, capsys, processes):
    settings = DemoSettings(4, 3, batch=4, data=DigitsConfig(train_pictures=16, val_pictures=8), processes=processes)
    rows = run_demo(tmp_path, settings)
    assert [row.title for row in rows] == [
        "PAA baseline",
        "PAA teacher",
        "LAD student",
        "CoLAD network0",
        "CoLAD network1",
    ]
    for name in ("assignment", "mixture", "detections", "curves"):
        pixels = np.array(Image.open(tmp_path / f"{name}.png").convert("L"))
        assert min(pixels.shape) > 300 and pixels.std() > 10
    results = json.loads((tmp_path / "results.json").read_text())
    assert [row["ap"] for row in results["rows"]] == [row.ap for row in rows] and results["settings"]["iterations"] == 4
    for folder, networks in (
        ("paa", ["paa"]),
        ("teacher", ["paa"]),
        ("lad", ["student"]),
        ("colad", ["network0", "network1"]),
    ):
        state = load_checkpoint(tmp_path / folder / "last.pt")
        assert state["iteration"] == (3 if folder == "teacher" else 4) and list(state["networks"]) == networks
        assert (tmp_path / folder / "log.jsonl").exists()
    printed = capsys.readouterr().out
    assert "seed to seed" in printed and "chance" in printed
    small, large = rows[0].parameters, rows[1].parameters
    assert (
        [row.parameters for row in rows] == [small, large, small, small, small]
        and 0.7e6 < small < 1e6
        and 2.8e6 < large < 3.8e6
    )


def test_short_and_full_differ_in_length_only():
    short, full = (demo_settings(full=full).train_config(teacher=False) for full in (False, True))
    short_teacher, full_teacher = (demo_settings(full=full).train_config(teacher=True) for full in (False, True))
    assert (
        full_teacher == full
        and short_teacher.iterations < short.iterations
        and short_teacher.optimizer == full.optimizer
    )
    assert (
        full.iterations == 1000 > short.iterations
        and full.optimizer == short.optimizer
        and full.batch == short.batch == 16
    )
    assert full.optimizer.lr == 3e-3 and full.optimizer.weight_decay == 0.02 and full.flip == 0


def test_the_table_shows_every_row_in_line():
    rows = [
        Row("PAA baseline", "itself", 1000, 12.34, 50.0, 7.8, 61.4, 847618),
        Row("CoLAD network1", "the better", 5, 1.0, 2.0, 3.0, 5, 12),
    ]
    lines = format_table(rows).splitlines()
    header = next(index for index, line in enumerate(lines) if line.startswith("network"))
    assert lines[header + 2].split() == ["PAA", "baseline", "itself", "1,000", "12.3", "50.0", "7.8", "61", "847,618"]
    assert len({len(line) for line in lines[header : header + 4]}) == 1


def test_the_mixture_picture_shows_what_the_assignment_did(tmp_path):
    paths = write_digits(tmp_path, DigitsConfig(train_pictures=16, val_pictures=1))
    dataset = CocoDetection(paths.train_images, paths.train_json)
    torch.manual_seed(0)
    method = PAA(build_network("digits_student", 10))
    train(method, dataset, TrainConfig(10, batch=8))
    method.eval()
    batch = Collate()([dataset[index] for index in range(8)])
    assignment = method.assign(batch.images, batch.targets)
    mixtures = object_mixtures(method, batch)
    assert len(mixtures) > 10
    for mixture in mixtures:
        assert (np.diff(mixture.costs) >= 0).all() and mixture.positive[0]
        positives = mixture.positive.sum()
        assert mixture.positive[:positives].all()  # a prefix: the split is one line
    of_all = [int(count) for count in assignment.num_pos]
    assert len(mixtures) <= len(of_all) and sum(int(m.positive.sum()) for m in mixtures) <= sum(of_all)
    if len(mixtures) == len(of_all):
        assert [int(m.positive.sum()) for m in mixtures] == of_all
