"""A small valid call of every public function. The tables of bad inputs and bad data change these calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from colad_ops import (
    aligned_box_iou,
    assign_cost,
    batched_nms,
    box_iou,
    colad_assign,
    cost_statistics,
    debug,
    decode_boxes,
    focal_kl_loss,
    gmm_em,
    match_anchors,
    matched_box_iou,
    paa_assign,
    score_voting,
    sigmoid_focal_loss,
    split_candidates,
)

BOXES = torch.tensor([[0.0, 0, 10, 10], [2, 2, 8, 12], [30, 30, 50, 40]])
LABELS, OFFSETS, SCORES = torch.tensor([0, 1, 2]), torch.tensor([0, 3]), torch.tensor([0.9, 0.5, 0.7])
LOGITS = torch.linspace(-2, 2, 15).view(3, 5)
MATCHED = torch.tensor([[0, 1, -1]])
SIX = torch.tensor([1.0, 1.5, 3.0, 2.0, 2.5, 9.0])

FLOATS = "float32, float64, float16 or bfloat16"
SCALAR = torch.tensor(1.0)
LEAST, MOST = -(2**63), 2**63 - 1  # of int64

OBJECTS = {"gt_boxes": BOXES, "gt_labels": LABELS, "gt_offsets": OFFSETS}
CROWD = {"ignore_boxes": BOXES + 40, "ignore_offsets": OFFSETS}
PAIRS = {"boxes1": BOXES, "boxes2": BOXES + 1}
SPLIT = {
    "cost": torch.tensor([[1.0, 2.0, torch.inf]]),
    "matched": MATCHED,
    "gt_offsets": OFFSETS,
    "level_sizes": [2, 1],
}

VALID: dict[Callable, dict[str, Any]] = {
    box_iou: PAIRS,
    aligned_box_iou: PAIRS,
    matched_box_iou: {"boxes": BOXES[None] + 1, "gt_boxes": BOXES, "matched": MATCHED},
    decode_boxes: {"anchors": BOXES, "deltas": torch.linspace(-2, 2, 12).view(3, 4)},
    match_anchors: {"anchors": BOXES + 1, "gt_boxes": BOXES, "gt_offsets": OFFSETS, "valid": LABELS >= 0} | CROWD,
    assign_cost: {
        "logits": LOGITS[None],
        "boxes": BOXES[None] + 1,
        "gt_boxes": BOXES,
        "gt_labels": LABELS,
        "matched": MATCHED,
    },
    gmm_em: {"values": SIX, "offsets": torch.tensor([0, 2, 6])},
    paa_assign: {"logits": LOGITS[None], "boxes": BOXES[None], "anchors": BOXES + 1, "level_sizes": [2, 1]} | OBJECTS,
    split_candidates: SPLIT | OBJECTS,
    cost_statistics: SPLIT | {"num_objects": 3},
    colad_assign: {
        "predictions": [(LOGITS[None], BOXES[None]), (LOGITS[None] + 1, BOXES[None])],
        "anchors": BOXES + 1,
        "level_sizes": [2, 1],
    }
    | OBJECTS,
    sigmoid_focal_loss: {"logits": LOGITS, "labels": LABELS, "weight": torch.ones(3)},
    focal_kl_loss: {"student_logits": LOGITS, "teacher": LOGITS + 1, "weight": torch.ones(3)},
    batched_nms: {
        "boxes": BOXES,
        "scores": SCORES,
        "labels": LABELS,
        "iou_threshold": 0.3,
        "image_offsets": OFFSETS,
    },
    score_voting: {
        "boxes": BOXES,
        "scores": SCORES,
        "labels": LABELS,
        "all_boxes": BOXES + 1,
        "all_scores": LOGITS.sigmoid(),
    },
}


def integers(*values) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)


def call(function: Callable, argument: str | None = None, place: Any = None, value: Any = None, **options: Any) -> Any:
    """The valid call with ``value`` at one index of one argument."""
    arguments = VALID[function] | options
    if argument is not None:
        arguments[argument] = arguments[argument].clone()
        arguments[argument][place] = value
    return function(**arguments)


def rows(function: Callable, *table: tuple) -> list:
    """Parameters of a test from rows ``(name, change, *expected)``: the valid call of ``function`` with the change."""
    return [
        pytest.param(function, VALID[function] | change, *expected, id=f"{function.__name__}-{name}")
        for name, change, *expected in table
    ]


def assert_raises(error_type: type, function: Callable, arguments: dict, message: str) -> None:
    """A message that ends in `...` is the beginning of the error message."""
    with pytest.raises(error_type) as error:
        function(**arguments)
    got = str(error.value)
    assert got.startswith(message[:-3]) if message.endswith("...") else got == message


def assert_error_is(function: Callable, arguments: dict, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is the same with the checks of ``set_debug``: they must not fail on input that the operator reports."""
    assert_raises(RuntimeError, function, arguments, message)
    monkeypatch.setattr(debug, "checks_data", lambda tensor: True)
    assert_raises(RuntimeError, function, arguments, message)
