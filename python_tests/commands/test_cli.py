"""The command line from end to end on a tiny set, and that errors are one line and an exit code."""

import inspect
import json
import subprocess
import sys

import pytest
import torch
from PIL import Image

from colad_ops.cli import build_parser, main
from colad_ops.data import CocoDetection
from colad_ops.demo.settings import DemoSettings, demo_settings
from colad_ops.engine import TrainConfig, evaluate, load_checkpoint
from colad_ops.engine.commands import train_config
from colad_ops.engine.predict import predict
from python_tests.support.coco_files import squares, write_coco

RECIPE = [
    "--iterations",
    "3",
    "--batch",
    "4",
    "--optimizer",
    "adamw",
    "--lr",
    "0.003",
    "--schedule",
    "cosine",
    "--resize",
    "0",
    "0",
    "--network",
    "digits_student",
    "--device",
    "cpu",
    "--log-interval",
    "1",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return [str(path) for path in squares(tmp_path_factory.mktemp("squares"))]


@pytest.fixture(scope="module")
def teacher(data, tmp_path_factory):
    output = tmp_path_factory.mktemp("teacher")
    assert main(["train", "--data-train", *data, "--data-val", *data, "--output", str(output), *RECIPE]) == 0
    return output / "last.pt"


def error_of(capsys, arguments):
    """The one line of an error, whose exit code is 1."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"colad {arguments[0]}: error: ")
    return lines[0]


def test_training_evaluating_and_predicting(data, teacher, tmp_path, capsys):
    assert load_checkpoint(teacher)["description"] == {
        "method": "paa",
        "networks": {"paa": "digits_student"},
        "category_ids": [3, 7],
        "class_names": ["dark", "bright"],
        "resize": None,
    }
    assert (
        main(
            [
                "eval",
                "--checkpoint",
                str(teacher),
                "--data",
                *data,
                "--json",
                str(tmp_path / "ap.json"),
                "--device",
                "cpu",
            ]
        )
        == 0
    )
    last = json.loads((teacher.parent / "log.jsonl").read_text().splitlines()[-1])
    assert json.loads((tmp_path / "ap.json").read_text())["ap"] == pytest.approx(last["ap"], abs=1e-9)
    assert capsys.readouterr().out.startswith("AP ")
    arguments = [
        "predict",
        "--checkpoint",
        str(teacher),
        "--output",
        str(tmp_path / "drawn"),
        "--score-threshold",
        "0.05",
        data[0],
    ]
    assert main([*arguments, "--device", "cpu"]) == 0
    records = json.loads((tmp_path / "drawn" / "detections.json").read_text())
    assert len(records) == 8 and sum(len(record["objects"]) for record in records) > 0
    for record in records:
        assert Image.open(record["drawn"]).size == (512, 512)  # 64 pixels enlarged eight times
        for item in record["objects"]:
            x1, y1, x2, y2 = item["box"]
            assert (
                item["class"] in ("dark", "bright")
                and 0.05 <= item["score"] <= 1
                and 0 <= x1 <= x2 <= 64
                and 0 <= y1 <= y2 <= 64
            )


@pytest.mark.parametrize("method", ["lad", "solad"])
def test_a_student_learns_from_a_teachers_checkpoint(data, teacher, tmp_path, method):
    arguments = [
        "train",
        "--method",
        method,
        "--teacher-checkpoint",
        str(teacher),
        "--data-train",
        *data,
        "--output",
        str(tmp_path),
    ]
    assert main([*arguments, *RECIPE]) == 0
    assert list(load_checkpoint(tmp_path / "last.pt")["networks"]) == ["student"]


def test_a_pair_learns_together_and_either_can_be_used(data, tmp_path, capsys):
    assert main(["train", "--method", "colad", "--data-train", *data, "--output", str(tmp_path), *RECIPE]) == 0
    for name in ("network0", "network1"):
        assert main(["eval", "--checkpoint", str(tmp_path / "last.pt"), "--network-name", name, "--data", *data]) == 0
    message = error_of(
        capsys, ["eval", "--checkpoint", tmp_path / "last.pt", "--network-name", "student", "--data", *data]
    )
    assert "holds the networks network0, network1, got 'student'" in message


def test_resuming_goes_on(data, teacher, tmp_path, capsys):
    arguments = ["train", "--data-train", *data, "--output", str(tmp_path), *RECIPE]
    assert main(arguments) == 0 and main([*arguments, "--iterations", "5", "--resume"]) == 0
    assert load_checkpoint(tmp_path / "last.pt")["iteration"] == 5
    assert "iterations should be more, got 5" in error_of(capsys, [*arguments, "--iterations", "5", "--resume"])


def test_backbone_weights_of_torchvisions_names_are_loaded(data, tmp_path, capsys):
    from colad_ops.detection import build_network

    backbone = build_network("r18", 2).backbone.state_dict()
    torch.save({**backbone, "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}, tmp_path / "r18.pth")
    arguments = [
        "train",
        "--data-train",
        *data,
        "--output",
        str(tmp_path / "run"),
        *RECIPE,
        "--network",
        "r18",
        "--iterations",
        "1",
    ]
    assert main([*arguments, "--backbone-weights", str(tmp_path / "r18.pth")]) == 0
    trained = load_checkpoint(tmp_path / "run" / "last.pt")["networks"]["paa"]
    assert torch.equal(trained["backbone.conv1.weight"], backbone["conv1.weight"])  # the stem is frozen
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "wrong.pth")
    assert "wrong.pth does not fit the backbone of r18" in error_of(
        capsys, [*arguments, "--backbone-weights", tmp_path / "wrong.pth"]
    )
    assert "none.pth" in error_of(capsys, [*arguments, "--backbone-weights", tmp_path / "none.pth"])


def test_errors_are_one_line_that_names_the_cause(data, teacher, tmp_path, capsys):
    train = ["train", "--output", tmp_path / "run", *RECIPE, "--data-train"]
    assert "nowhere" in error_of(capsys, [*train, tmp_path / "nowhere", data[1]])
    assert "none.json" in error_of(capsys, [*train, data[0], tmp_path / "none.json"])
    assert "--method lad needs --teacher-checkpoint" in error_of(capsys, [*train, *data, "--method", "lad"])
    assert "goes with --method lad or solad" in error_of(capsys, [*train, *data, "--teacher-checkpoint", teacher])
    lad = [*train, *data, "--method", "lad", "--teacher-checkpoint", teacher, "--teacher-network", "digits_teacher"]
    assert "holds a digits_student" in error_of(capsys, lad)
    assert "--threads should be at least 1, got 0" in error_of(capsys, [*train, *data, "--threads", "0"])
    assert "--device nonsense" in error_of(capsys, [*train, *data, "--device", "nonsense"])
    predict = ["predict", "--output", tmp_path / "drawn", "--checkpoint"]
    assert "none.png" in error_of(capsys, [*predict, teacher, tmp_path / "none.png"])
    (tmp_path / "text.png").write_text("no picture")
    assert "text.png" in error_of(capsys, [*predict, teacher, tmp_path / "text.png"])
    assert "text.png" in error_of(capsys, [*predict, tmp_path / "text.png", data[0]])
    assert not (tmp_path / "run").exists()


def test_pictures_are_neither_overwritten_nor_mixed_up(data, teacher, tmp_path, capsys):
    Image.new("RGB", (32, 32)).save(tmp_path / "1.png")
    predict = ["predict", "--checkpoint", teacher, "--output"]
    assert "would both be written to 1.png" in error_of(
        capsys, [*predict, tmp_path / "drawn", data[0], tmp_path / "1.png"]
    )
    assert "would be overwritten" in error_of(capsys, [*predict, tmp_path, tmp_path / "1.png"])


def test_photos_are_predicted_upright(teacher, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees to see it upright
    Image.new("RGB", (64, 32), (90, 120, 150)).save(tmp_path / "photo.jpg", exif=exif)
    arguments = [
        "predict",
        "--checkpoint",
        str(teacher),
        "--output",
        str(tmp_path / "drawn"),
        str(tmp_path / "photo.jpg"),
    ]
    assert main(arguments) == 0
    [record] = json.loads((tmp_path / "drawn" / "detections.json").read_text())
    assert (record["width"], record["height"]) == (32, 64)


def test_other_categories_are_an_error(teacher, tmp_path, capsys):
    pictures, path = write_coco(tmp_path, [(64, 64)], [])
    coco = json.loads(path.read_text())
    coco["categories"][0]["id"] = 8
    path.write_text(json.dumps(coco))
    message = error_of(capsys, ["eval", "--checkpoint", teacher, "--data", pictures, path])
    assert "was trained on the categories [3, 7], the data set has [3, 8]" in message


@pytest.mark.parametrize("arguments", [[], ["fly"], ["train"], ["eval", "--checkpoint"], ["train", "--method", "yolo"]])
def test_wrong_usage_is_exit_code_two(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2 and "usage: colad" in capsys.readouterr().err


def test_defaults_are_those_of_python():
    parse = build_parser().parse_args

    def agree(options, callable_, *names):
        parameters = inspect.signature(callable_).parameters
        return [getattr(options, name) for name in names] == [parameters[name].default for name in names]

    options = parse(["train", "--data-train", "images", "images.json", "--output", "out"])
    assert train_config(options) == TrainConfig()  # all fields, those of its OptimizerConfig too
    assert agree(options, CocoDetection, "degenerate")
    options = parse(["eval", "--checkpoint", "last.pt", "--data", "images", "images.json"])
    assert agree(options, evaluate, "batch", "workers")
    options = parse(["predict", "--checkpoint", "last.pt", "--output", "out", "picture.png"])
    assert agree(options, predict, "score_threshold")
    options = parse(["demo"])
    assert agree(options, DemoSettings, "seed", "processes") and agree(options, demo_settings, "seed", "processes")


def test_python_minus_m_is_the_same_program():
    shown = subprocess.run([sys.executable, "-m", "colad_ops", "--help"], capture_output=True, text=True, check=False)
    assert shown.returncode == 0 and "{train,eval,predict,demo}" in shown.stdout
    failed = subprocess.run(
        [sys.executable, "-m", "colad_ops", "predict", "x.png", "--checkpoint", "none.pt", "--output", "out"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert failed.returncode == 1 and failed.stderr.strip() == "colad predict: error: no such checkpoint: none.pt"
