"""Golden set ``paa_assign``: mmdetection's PAAHead, through ``AssignConfig.mmdet``, array by array from predictions to
positives and losses. LADHead gives the same assignment from the same predictions."""

from __future__ import annotations

import dataclasses
from collections import Counter
from functools import lru_cache

import numpy as np
import pytest
import torch
from torch import Tensor

from colad_ops import AssignConfig, Assignment, aligned_box_iou, assign_cost, paa_assign, split_candidates
from colad_ops.detection import PAALoss
from python_tests.golden import golden_sets
from python_tests.golden.comparisons import compare_labels, compare_matching, compare_mixtures
from python_tests.golden.golden_case import GoldenCase, Outcome, decode
from python_tests.golden.golden_table import TABLE, Line, Recording
from python_tests.support.detection_cases import golden_predictions

NAMES = golden_sets.cases("paa_assign")
CASES = pytest.mark.parametrize("name", NAMES)
BOX_COSTS = {"giou": 1.3, "iou": 1.0}  # the two box losses of the recordings and their weights

load = lru_cache(maxsize=4)(GoldenCase)


def config_of(case: GoldenCase, variant: str) -> AssignConfig:
    return AssignConfig.mmdet(
        covariance=str(case["covariance_type"]), topk=int(case["topk"]), box_cost=variant, box_weight=BOX_COSTS[variant]
    )


def raised(case: GoldenCase, variant: str) -> bool:
    """Whether scikit-learn raised on float32 (``small_raises``); only the float64 labels exist then."""
    return case[f"{variant}_raises"] != ""


def outcome_of(case: GoldenCase, variant: str) -> Outcome:
    rows_fp64 = case.assigned(case[f"{variant}_labels_fp64"])
    if raised(case, variant):
        return Outcome(case, rows_fp64, rows_fp64, np.full(case.objects, np.inf), f"{variant}_")
    return Outcome(
        case, case.assigned(case[f"{variant}_labels"]), rows_fp64, case[f"{variant}_gt_flip_eps"], f"{variant}_"
    )


def split(case: GoldenCase, variant: str, config: AssignConfig) -> Assignment:
    """The assignment from the recorded costs."""
    costs, matched = case.spread(case[f"{variant}_pos_loss"]), torch.from_numpy(case.matched)
    return split_candidates(costs, matched, case.level_sizes, *case.ground_truth, config)


def predictions(case: GoldenCase) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(case["cls_logits"]), decode(case["anchors"], case["bbox_deltas"])


def assign(case: GoldenCase, config: AssignConfig) -> Assignment:
    """The assignment from the recorded predictions."""
    return paa_assign(*predictions(case), case.anchors, case.level_sizes, *case.ground_truth, config, valid=case.valid)


@CASES
def test_every_array(name: str) -> None:
    case = load(name)
    for variant, box_weight in BOX_COSTS.items():
        record = Recording("paa_assign", f"mmdet, official_lad ({variant})", name, case.arrays)
        compare_matching(record, case, AssignConfig.mmdet())
        compare_costs(record, case, variant, box_weight)
        compare_outcome(record, case, variant)
        compare_losses(record, case, variant)
        other = next(x for x in BOX_COSTS if x != variant)
        record.leave(*(key for key in case.arrays if key.startswith(f"{other}_")))  # the other round of the loop
        record.complete()


def compare_costs(record: Recording, case: GoldenCase, variant: str, box_weight: float) -> None:
    matched, logits_and_boxes = torch.from_numpy(case.matched), predictions(case)
    objects = case.gt_boxes, case.gt_labels, matched
    costs = assign_cost(*logits_and_boxes, *objects, box_cost=variant, box_weight=box_weight).numpy()
    assert (np.isinf(costs) == (case.matched < 0)).all()
    for key in (f"{variant}_pos_loss", f"{variant}_pos_loss_fp64"):
        record.near(key, costs[case.candidates], atol=case.cost_tolerance(case[f"{variant}_pos_loss_fp64"]))
    of_classes = assign_cost(*logits_and_boxes, *objects, box_weight=0.0).numpy()
    record.near("cand_loss_cls", of_classes[case.candidates], rtol=1e-5, atol=1e-5)


def compare_outcome(record: Recording, case: GoldenCase, variant: str) -> None:
    config, outcome = config_of(case, variant), outcome_of(case, variant)
    for found, limit in ((split(case, variant, config), 1e-6), (assign(case, config), 1e-4)):
        compare_labels(record, outcome, found, limit)
    record.leave(f"{variant}_raises", f"{variant}_gt_flip_eps", f"{variant}_gt_raise_eps")
    if not raised(case, variant):
        compare_mixtures(record, case, f"{variant}_", config, case.spread(case[f"{variant}_pos_loss"]))


def compare_losses(record: Recording, case: GoldenCase, variant: str) -> None:
    """Compares the losses on the recorded final labels."""
    if raised(case, variant):
        return
    given = golden_predictions(case.arrays)
    final = case.as_assignment(case.assigned(case[f"{variant}_labels"]))
    losses = PAALoss()(given, final, case.valid)
    near = {"rtol": 1e-5, "atol": 1e-6}
    record.near(f"{variant}_loss_cls", losses["loss_cls"], **near)
    record.near(f"{variant}_loss_iou", losses["loss_iou"], **near)
    uniform = PAALoss(box_weighting="uniform")(given, final, case.valid)
    loss_box, lad_loss_box = losses["loss_box"], uniform["loss_box"]
    if variant == "iou":  # then the reference trains with 1 - IoU, which PAALoss does not have
        positive = final.matched >= 0
        iou = aligned_box_iou(given.boxes, final.boxes())[positive]
        loss = 1 - iou.clamp(min=1e-6)
        loss_box, lad_loss_box = (loss * iou).sum() / iou.sum().clamp(min=1e-12), loss.sum() / max(len(iou), 1)
    record.near(f"{variant}_loss_bbox", loss_box, **near)
    record.near(f"{variant}_lad_loss_bbox", lad_loss_box, **near)


@pytest.mark.parametrize("preset", [AssignConfig.official_lad, AssignConfig.official_colad])
def test_the_official_codes_assign_as_mmdetection(preset) -> None:
    assert preset() == AssignConfig.mmdet() and preset(topk=4) == AssignConfig.mmdet(topk=4)


def test_how_many_ill_conditioned_objects_differ() -> None:
    """Counted over all files and both costs. Every difference has a reason."""
    from_costs, from_predictions, objects, ill = Counter(), Counter(), 0, 0
    for case in map(load, NAMES):
        for variant in BOX_COSTS:
            outcome, config = outcome_of(case, variant), config_of(case, variant)
            objects, ill = objects + case.objects, ill + (outcome.flip_eps <= 1e-4).sum()
            from_costs.update(outcome.differing(split(case, variant, config).matched.numpy()).values())
            from_predictions.update(outcome.differing(assign(case, config).matched.numpy()).values())
    if golden_sets.is_whole():
        assert objects == 670
        assert from_costs == {"as the float64 run": 9, "equal likelihoods": 6}
    assert from_predictions["unexplained"] <= 0.01 * ill


MENDED = {
    "object that overlaps nothing": {"claim_zero_overlap": False},
    "single candidate": {"single_candidate": "keep"},
    "no component-0 candidate": {"no_component0": "all"},
    "prefix": {"prefix": True},
    "paper's box cost": {"box_cost": "iou", "box_weight": 1.0},
}
"""Steps from the preset to the default: each removes one known defect ("wart"). Crowds are omitted, because the set has
no crowds."""


def test_what_the_default_changes() -> None:
    """A user who changes from mmdetection to the default gets different labels for these reasons only."""
    line = TABLE.setdefault(("paa_assign", "default instead of mmdet (giou)"), Line())
    for name in NAMES:
        case = load(name)
        config = config_of(case, "giou")
        labels = assign(case, config).matched
        for wart, changes in MENDED.items():
            config = dataclasses.replace(config, **changes)
            mended = assign(case, config).matched
            line.different[wart] += int((mended != labels).sum())
            labels = mended
        line.cases.add(name)
        line.decisions += labels.numel()
        default = dataclasses.replace(AssignConfig(), covariance=config.covariance, topk=config.topk)
        assert dataclasses.replace(config, ignore_iof=default.ignore_iof) == default
        assert assign(case, default).matched.equal(labels)
    if golden_sets.is_whole():
        assert line.different["single candidate"] == 3  # the numbers in the README
        assert all(line.different[wart] > 0 for wart in MENDED if wart != "no component-0 candidate")
