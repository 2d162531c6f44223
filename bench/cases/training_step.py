"""A training step at the demo's size, its assignment and its loss. Each is timed with the operators and with their
references in plain PyTorch.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from bench.measure.case import OURS, Case, Outcome
from bench.measure.machine import Machine
from bench.peers.names import REFERENCES
from bench.peers.packages import torch_peer
from bench.peers.references import with_references
from bench.report.tables import table
from bench.workload.batch import SMALL
from colad_ops.data import Batch, CocoDetection, Collate
from colad_ops.data.digits import DigitsConfig, write_digits
from colad_ops.demo.settings import demo_settings
from colad_ops.detection import DeltaCoder, Predictions, build_network
from colad_ops.detection.assigners import assign_labels, co_assign_labels
from colad_ops.detection.losses import total_loss
from colad_ops.engine.methods import build_method
from colad_ops.engine.schedule import build_optimizer

NETWORKS = {
    "PAA": ("digits_student",),
    "LAD": ("digits_student", "digits_teacher"),
    "CoLAD": ("digits_student", "digits_student"),
}
WHOLE, ASSIGNMENT, LOSS = "whole step", "assignment", "loss, forward and backward"
STEPS_BEFORE = 5  # so that predictions are no longer all alike
HEADER = (
    "method",
    "step with references",
    "assignment",
    "loss",
    "step with colad_ops",
    "assignment ",
    "loss ",
    "x faster",
)


@cache
def batch_of(pictures: int) -> Batch:
    with tempfile.TemporaryDirectory() as folder:
        paths = write_digits(folder, DigitsConfig(train_pictures=pictures, val_pictures=1))
        dataset = CocoDetection(paths.train_images, paths.train_json)
        return Collate()([dataset[index] for index in range(pictures)])


@dataclass(frozen=True)
class Step:
    """``update`` is a whole step of ``colad train``. ``assign`` and ``learn`` are parts of the step; they use
    predictions that were computed before."""

    update: Callable[[], Tensor]
    assign: Callable[[], object]
    learn: Callable[[], list[Tensor]]


def make_step(name: str, batch: Batch) -> Step:
    torch.manual_seed(0)
    method = build_method(name.lower(), *(build_network(network, 10) for network in NETWORKS[name])).train()
    settings = demo_settings(full=False).train_config(teacher=False)
    optimizer = build_optimizer(method.parameters(), settings.optimizer)

    def update() -> Tensor:
        loss = method.loss(batch.images, batch.targets)["loss"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach()

    for _ in range(STEPS_BEFORE):
        update()
    for group in optimizer.param_groups:
        group["lr"] = 0.0  # the same work, but every step measured is the same step
    assign, learners = _parts(name, method, batch)
    assignment, valid = assign(), learners[0].anchors.valid(batch.targets.image_sizes)

    def learn() -> list[Tensor]:
        leaves, losses = [], {}
        for index, predictions in enumerate(map(as_leaves, learners)):
            leaves += [*predictions.logits, *predictions.deltas, *predictions.iou_logits]
            parts = method.criterion(predictions, assignment, valid)
            losses |= {f"{index}/{part}": value for part, value in parts.items()}
        return list(torch.autograd.grad(total_loss(losses)["loss"], leaves))

    return Step(update, assign, learn)


def _parts(name: str, method: nn.Module, batch: Batch) -> tuple[Callable[[], object], list[Predictions]]:
    """The assignment, and the predictions of the networks that learn from it."""
    networks = list(method.networks.values())
    with torch.no_grad():
        learners = [network(batch.images) for network in networks]
    valid = learners[0].anchors.valid(batch.targets.image_sizes)
    if name == "CoLAD":
        options = {"indicator": method.indicator, "granularity": method.granularity}

        def co_assign() -> object:
            return co_assign_labels(
                [decoded_again(x) for x in learners], batch.targets, valid, method.config, **options
            )

        return co_assign, learners
    assigner = learners[0] if name == "PAA" else method.teacher_predictions(batch.images)
    return lambda: assign_labels(decoded_again(assigner), batch.targets, valid, method.config), learners


def as_leaves(predictions: Predictions) -> Predictions:
    """A copy whose lists are leaves of the autograd graph, with boxes decoded from them. They keep the strides of the
    maps."""
    lists = ([x.detach().requires_grad_() for x in levels] for levels in lists_of(predictions))
    return Predictions.from_levels(*lists, predictions.anchors, DeltaCoder())


def lists_of(predictions: Predictions) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    return predictions.logits, predictions.deltas, predictions.iou_logits


def decoded_again(predictions: Predictions) -> Predictions:
    return Predictions.from_levels(*lists_of(predictions), predictions.anchors, DeltaCoder())


def close(ours, peers) -> None:
    for a, b in zip(tree_leaves(ours), tree_leaves(peers)):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4, equal_nan=True)


def cases(sizes: dict[str, int], machine: Machine) -> list[Case]:
    pictures = sizes["images"] if sizes == SMALL else demo_settings(full=False).batch
    found = []
    for name in NETWORKS:
        step = make_step(name, batch_of(pictures))
        for what, run in ((WHOLE, step.update), (ASSIGNMENT, step.assign), (LOSS, step.learn)):
            references = torch_peer(REFERENCES, with_references(run))
            found.append(
                Case("training step", f"{name}, {pictures} pictures: {what}", run, [references], close, once=True)
            )
    return found


def summary(outcomes: Sequence[Outcome]) -> list[str]:
    """The shares of the assignment and of the loss in a step, with the references and with the operators."""
    lines = []
    for name in NETWORKS:
        whole, assignment, loss = (_of(outcomes, name, part) for part in (WHOLE, ASSIGNMENT, LOSS))
        line = [name]
        for who in (REFERENCES, OURS):
            step = whole.timings[who].median
            shares = (f"{100 * part.timings[who].median / step:.1f} %" for part in (assignment, loss))
            line += [f"{step / 1e3:.0f} ms", *shares]
        lines.append((*line, f"{whole.ratio(REFERENCES):.2f}"))
    return ["", "Shares of a training step at the demo's size:", "", *table(HEADER, lines, text=("method",))]


def _of(outcomes: Sequence[Outcome], name: str, part: str) -> Outcome:
    return next(o for o in outcomes if o.case.what.startswith(f"{name},") and o.case.what.endswith(f": {part}"))
