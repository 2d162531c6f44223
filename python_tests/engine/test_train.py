"""The training loop: it learns, resumes exactly, says where a loss broke, and writes what it says."""

import json

import pytest
import torch

from colad_ops import AssignConfig
from colad_ops.data import CocoDetection
from colad_ops.detection import LAD, PAA, CoLAD, Method, PAALoss
from colad_ops.detection.assigners import assign_labels
from colad_ops.detection.losses import total_loss
from colad_ops.engine import (
    LossWindow,
    OptimizerConfig,
    TrainConfig,
    TrainingDiverged,
    evaluate,
    load_checkpoint,
    train,
)
from python_tests.support.coco_files import box_of, squares_dataset, write_coco
from python_tests.support.detection_cases import tiny_network

ADAMW = OptimizerConfig("adamw", lr=3e-3, schedule="cosine", warmup=5, clip_grad=10.0)


def config(iterations, **options):
    return TrainConfig(iterations, batch=4, optimizer=ADAMW, log_interval=5, **options)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return squares_dataset(tmp_path_factory.mktemp("squares"))


def losses_of(result):
    return [record["loss"] for record in result.records if record["kind"] == "train"]


def method_of(name):
    networks = [tiny_network(seed, num_classes=2) for seed in range(2)]
    return {"paa": lambda: PAA(networks[0]), "lad": lambda: LAD(*networks), "colad": lambda: CoLAD(networks)}[name]()


@pytest.mark.parametrize("name", ["paa", "lad", "colad"])
def test_a_short_training_lowers_the_loss(dataset, name):
    losses = losses_of(train(method_of(name), dataset, config(40)))
    assert len(losses) == 8 and losses[-1] < 0.8 * losses[0]


def test_resuming_equals_a_run_that_was_never_interrupted(dataset, tmp_path):
    whole = PAA(tiny_network(0, num_classes=2))
    train(whole, dataset, config(9), output=tmp_path / "whole")

    class Stopped(Exception):
        pass

    def stop(method):
        raise Stopped

    first = PAA(tiny_network(0, num_classes=2))
    with pytest.raises(Stopped):  # stopped in iteration 5, after the checkpoint of iteration 4
        train(
            first, dataset, config(9, checkpoint_interval=4, eval_interval=5), output=tmp_path / "parts", evaluator=stop
        )
    assert load_checkpoint(tmp_path / "parts" / "last.pt")["iteration"] == 4
    second = PAA(tiny_network(1, num_classes=2))  # other weights: the checkpoint decides
    train(second, dataset, config(9), output=tmp_path / "parts", resume=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    iterations = [json.loads(line)["iteration"] for line in (tmp_path / "parts" / "log.jsonl").read_text().splitlines()]
    assert iterations == [4, 5, 9]  # the 5 of the interrupted run was written again


def test_resuming_the_wrong_thing_is_an_error(dataset, tmp_path):
    method = PAA(tiny_network(0, num_classes=2))
    with pytest.raises(FileNotFoundError, match="last.pt"):
        train(method, dataset, config(3), output=tmp_path, resume=True)
    with pytest.raises(ValueError, match="resume needs output"):
        train(method, dataset, config(3), resume=True)
    train(method, dataset, config(3), output=tmp_path, description={"method": "paa"})
    with pytest.raises(ValueError, match="has done 3 iterations; iterations should be more, got 3"):
        train(method, dataset, config(3), output=tmp_path, resume=True, description={"method": "paa"})
    with pytest.raises(ValueError, match="is of another run"):
        train(method, dataset, config(4), output=tmp_path, resume=True, description={"method": "lad"})


def test_the_log_is_json_a_line_with_losses_and_scores(dataset, tmp_path):
    method = method_of("colad")
    result = train(
        method,
        dataset,
        config(6, eval_interval=3),
        output=tmp_path,
        evaluator=lambda trained: {name: evaluate(each, dataset) for name, each in trained.networks.items()},
    )
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(record["kind"], record["iteration"]) for record in records] == [
        ("train", 3),
        ("eval", 3),
        ("eval", 3),
        ("train", 5),
        ("train", 6),
        ("eval", 6),
        ("eval", 6),
    ]
    assert {"loss", "lr", "seconds", "network0/loss_cls", "network1/loss_box"} <= records[0].keys()
    assert [record["network"] for record in records if record["kind"] == "eval"] == ["network0", "network1"] * 2
    assert set(result.metrics) == {"network0", "network1"} and records[-1]["ap"] == result.metrics["network1"].ap


def test_a_data_set_without_any_object_trains(tmp_path):
    empty = CocoDetection(*write_coco(tmp_path, [(64, 64)] * 4, []))
    assert all(loss > 0 for loss in losses_of(train(method_of("colad"), empty, config(2))))


def test_crowds_and_pictures_of_several_sizes_train(tmp_path):
    annotations = [
        box_of(1, 1, (4, 4, 30, 30)),
        box_of(2, 1, (30, 30, 34, 34), iscrowd=1),
        box_of(3, 3, (10, 10, 40, 30), 7),
    ]
    mixed = CocoDetection(*write_coco(tmp_path, [(64, 64), (50, 70), (90, 40)], annotations))
    assert all(loss > 0 for loss in losses_of(train(method_of("paa"), mixed, config(3))))


@pytest.mark.parametrize("name", ["paa", "lad", "colad"])
def test_training_and_evaluating_on_a_gpu(dataset, tmp_path, cuda, name):
    method = method_of(name)
    result = train(
        method,
        dataset,
        config(20),
        device=cuda,
        output=tmp_path,
        evaluator=lambda trained: {key: evaluate(each, dataset, device=cuda) for key, each in trained.networks.items()},
    )
    losses = losses_of(result)
    assert losses[-1] < losses[0] and set(result.metrics) == set(method.networks)


class FirstAssigns(Method):
    """A new method: of two networks the first assigns the labels for both."""

    def __init__(self, first, second):
        super().__init__(AssignConfig(), PAALoss())
        self.first, self.second = first, second

    @property
    def networks(self):
        return {"first": self.first, "second": self.second}

    def assign(self, images, targets):
        valid = self.anchors(images).valid(targets.image_sizes)
        return assign_labels(self.first(images), targets, valid, self.config)

    def loss(self, images, targets):
        valid, assignment = self.anchors(images).valid(targets.image_sizes), self.assign(images, targets)
        parts = {}
        for name, network in self.networks.items():
            losses = self.criterion(network(images), assignment, valid)
            parts |= {f"{name}/{part}": value for part, value in losses.items()}
        return total_loss(parts)


def test_a_new_method_trains(dataset, tmp_path):
    method = FirstAssigns(*(tiny_network(seed, num_classes=2) for seed in range(2)))
    losses = losses_of(train(method, dataset, config(40), output=tmp_path))
    assert losses[-1] < 0.8 * losses[0]
    assert set(load_checkpoint(tmp_path / "last.pt")["networks"]) == {"first", "second"}


def test_a_method_without_a_loss_cannot_be_made():
    class Silent(FirstAssigns):
        loss = Method.loss

    with pytest.raises(TypeError, match="abstract method '?loss"):
        Silent(tiny_network(0), tiny_network(1))


class Breaking(torch.nn.Module):
    """A method whose box loss breaks at the third step."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.steps = 0
        self.networks = {}

    def loss(self, images, targets):
        self.steps += 1
        box = torch.tensor(float("nan") if self.steps >= 3 else 1.0)
        return {"loss": self.weight * 2 + box, "loss_cls": torch.tensor(2.0), "loss_box": box}


@pytest.mark.parametrize("log_interval", [1, 4, 100])
def test_a_loss_that_is_not_finite_names_its_iteration_and_part(dataset, tmp_path, log_interval):
    settings = TrainConfig(8, batch=2, optimizer=ADAMW, log_interval=log_interval, checkpoint_interval=2)
    with pytest.raises(TrainingDiverged, match=r"at iteration 3: loss_box = nan, loss = nan"):
        train(Breaking(), dataset, settings, output=tmp_path)
    assert load_checkpoint(tmp_path / "last.pt")["iteration"] == 2  # the last one before it broke


def test_losses_are_read_once_an_interval_and_indicators_may_be_undefined():
    window = LossWindow()
    for step in (1, 2):
        window.add(
            step,
            {"loss": torch.tensor(float(step)), "network0/indicator": torch.tensor(float("nan") if step == 1 else 4.0)},
        )
    assert window.read() == {"loss": 1.5, "network0/indicator": 4.0}
    window.add(3, {"loss": torch.tensor(7.0)})
    assert window.read() == {"loss": 7.0}


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="iterations should be >= 1, got 0"):
        TrainConfig(0)
    with pytest.raises(ValueError, match="log_interval should be >= 1, got 0"):
        TrainConfig(5, log_interval=0)
