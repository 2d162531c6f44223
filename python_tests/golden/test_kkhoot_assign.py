"""Golden set ``kkhoot_assign``: the PAA authors' own code (kkhoot/PAA at commit 13d5721, CPU, torch 2.13, scikit-learn
1.9), through ``AssignConfig.kkhoot``, array by array.

It was recorded for this project like the other sets: it has only synthetic inputs and computed numbers. Boxes have
inclusive corners, as in that code. ``edge`` has tiny, thin and duplicate objects, some far from every anchor, and one
with a single candidate. ``spike`` has an object whose cheapest candidate is alone before a narrow component 0.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from torch import Tensor

from colad_ops import AssignConfig, assign_cost, match_anchors, paa_assign, sigmoid_focal_loss, split_candidates
from python_tests.golden import golden_sets
from python_tests.golden.comparisons import compare_labels
from python_tests.golden.golden_case import GoldenCase, Outcome, decode
from python_tests.golden.golden_table import Recording

NAMES = golden_sets.cases("kkhoot_assign")
CONFIG = AssignConfig.kkhoot()
HALF_A_PIXEL = np.array([0.5, 0.5, -0.5, -0.5])

load = lru_cache(maxsize=4)(GoldenCase)


def predictions(case: GoldenCase) -> tuple[Tensor, Tensor]:
    """Anchors and decoded boxes of that code have inclusive corners, half a pixel inside the edges."""
    edges = decode(case["anchors"] - HALF_A_PIXEL, case["bbox_deltas"])
    return torch.from_numpy(case["cls_logits"]).float(), (edges + torch.from_numpy(HALF_A_PIXEL)).float()


@pytest.mark.parametrize("name", NAMES)
def test_every_array(name: str) -> None:
    case = load(name)
    record = Recording("kkhoot_assign", "kkhoot", name, case.arrays)
    record.leave(*GoldenCase.inputs(case.arrays), "gt_flip_eps")
    record.leave("loss_bbox", "loss_iou")  # loss of an IoU with inclusive corners, which PAALoss does not have
    match = match_anchors(case.anchors, case.gt_boxes, case.gt_offsets, **CONFIG.matching_options())
    record.same("pre_gt_index", case.local_rows(match.matched.numpy()))
    record.same("cand_offsets", np.append(0, (match.matched >= 0).sum(1).cumsum(0)))
    record.same("cand_anchor", (match.matched >= 0).nonzero()[:, 1])
    logits, boxes = predictions(case)
    cost = assign_cost(logits, boxes, case.gt_boxes, case.gt_labels, match.matched, **CONFIG.cost_options())
    record.near("cand_cost", cost.numpy()[case.candidates], rtol=1e-5, atol=1e-5)

    rows = [case.assigned(case[key]) for key in ("labels", "labels_fp64")]
    outcome = Outcome(case, *rows, case["gt_flip_eps"], "")
    from_costs = split_candidates(
        case.spread(case["cand_cost"]), match.matched, case.level_sizes, *case.ground_truth, CONFIG
    )
    from_predictions = paa_assign(logits, boxes, case.anchors, case.level_sizes, *case.ground_truth, CONFIG)
    for found, limit in ((from_costs, 1e-6), (from_predictions, 1e-4)):
        compare_labels(record, outcome, found, limit)
    labels = from_costs.labels(int(case["num_classes"]))
    loss = sigmoid_focal_loss(logits, labels, reduction="sum", avg_factor=from_costs.num_pos_total)
    record.near("loss_cls", loss, rtol=1e-5)
    record.complete()


def test_warts_are_in_the_recordings() -> None:
    """Each known defect ("wart") of the preset decides a label here: without it our labels differ from the recorded
    ones."""
    for wart, mended in {
        "inclusive_corners": False,
        "low_quality": "all",
        "claim_zero_overlap": False,
        "box_cost": "iou",
        "box_weight": 1.3,
        "single_candidate": "drop",
        "prefix": False,
    }.items():
        missed = 0
        for case in map(load, NAMES):
            config = AssignConfig.kkhoot(**{wart: mended})
            found = paa_assign(*predictions(case), case.anchors, case.level_sizes, *case.ground_truth, config)
            missed += (found.matched.numpy() != case.assigned(case["labels"])).sum()
        assert missed > 0, wart
