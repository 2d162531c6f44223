"""Golden set ``colad_assign``: the official CoLAD code's selection of the teacher and assignment, through
``AssignConfig.official_colad`` and ``granularity="object_level"``, array by array.

Three files record special behaviour of the official code:

- ``full_small_raises_gmm``: it drops an object whose mixture raises; our result equals its float64 run.
- ``full_medium_noGT_image``: it fails on a batch with an image without candidates, so it was recorded image by image.
- ``full_small_only_singletons``: it fails on an image whose (object, level) pairs all have one candidate. Our operator
  assigns no positives there, as the preset does for single candidates.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

import numpy as np
import pytest
import torch
from torch import Tensor

from colad_ops import (
    AssignConfig,
    Assignment,
    CoAssignment,
    CostStatistics,
    assign_cost,
    colad_assign,
    cost_statistics,
    split_candidates,
)
from colad_ops.detection import PAALoss
from colad_ops.ops.colad_assign import _teacher_of_levels
from python_tests.golden import golden_sets
from python_tests.golden.comparisons import compare_labels, compare_matching, compare_mixtures
from python_tests.golden.golden_case import GoldenCase, Outcome, decode
from python_tests.golden.golden_table import Recording
from python_tests.support.detection_cases import golden_predictions

NAMES = golden_sets.cases("colad_assign")
NETWORKS = ("s", "t")  # student, teacher

load = lru_cache(maxsize=4)(GoldenCase)


def has_predictions(case: GoldenCase) -> bool:
    """False for the ``core_*`` files, which have only costs."""
    return "s_cls_logits" in case.arrays


def config_of(case: GoldenCase) -> AssignConfig:
    return AssignConfig.official_colad(covariance=str(case["covariance_type"]), topk=int(case["topk"]))


def outcome_of(case: GoldenCase) -> Outcome:
    return Outcome(case, case.assigned(case["labels"]), case.assigned(case["labels_fp64"]), case["gt_flip_eps"], "")


def predictions(case: GoldenCase) -> tuple[list[tuple[Tensor, Tensor]], list[bool]]:
    student = torch.from_numpy(case["s_cls_logits"]), decode(case["anchors"], case["s_bbox_deltas"])
    teacher = torch.from_numpy(case["t_cls"]), decode(case["anchors"], case["t_bbox_deltas"])
    return [student, teacher], [False, bool(case["teacher_is_prob"])]


def assign(case: GoldenCase) -> CoAssignment:
    """The assignment from the recorded predictions."""
    both, probs = predictions(case)
    options = {"granularity": "object_level", "valid": case.valid, "probs": probs}
    return colad_assign(both, case.anchors, case.level_sizes, *case.ground_truth, config_of(case), **options)


def statistics_of(case: GoldenCase) -> CostStatistics:
    """Statistics ``(2, G, L)`` of the recorded costs of both networks."""
    costs = torch.stack([case.spread(case[f"{network}_pos_loss"]) for network in NETWORKS])
    matched = torch.from_numpy(case.matched)
    return cost_statistics(costs, matched, case.gt_offsets, case.objects, case.level_sizes)


def chosen_costs(case: GoldenCase) -> Tensor:
    """``(B, A)``: the recorded costs of the networks in the recorded selection."""
    teacher = np.full((case.objects, len(case.level_sizes)), -1)
    teacher[case["sel_gt"], case["sel_level"]] = case["sel_teacher"]
    level = np.repeat(np.arange(len(case.level_sizes)), case.level_sizes)
    from_teacher = torch.from_numpy(teacher[case.matched, level] == 1)
    return torch.where(from_teacher, case.spread(case["t_pos_loss"]), case.spread(case["s_pos_loss"]))


def split(case: GoldenCase) -> Assignment:
    """The assignment from the recorded costs and selection."""
    matched = torch.from_numpy(case.matched)
    return split_candidates(chosen_costs(case), matched, case.level_sizes, *case.ground_truth, config_of(case))


@pytest.mark.parametrize("name", NAMES)
def test_every_array(name: str) -> None:
    case = load(name)
    record = Recording("colad_assign", "official_colad", name, case.arrays)
    if has_predictions(case):
        compare_matching(record, case, config_of(case))
        compare_costs(record, case)
    else:
        record.leave("pre_labels", "pre_label_weights", "pre_gt_index", "cand_offsets", "cand_anchor", "cand_gt")
        record.leave("s_pos_loss", "t_pos_loss", "label_weights", *GoldenCase.inputs(case.arrays))
    compare_selection(record, case)
    compare_outcome(record, case)
    compare_losses(record, case)
    record.complete()


def compare_costs(record: Recording, case: GoldenCase) -> None:
    matched = torch.from_numpy(case.matched)
    for network, (classes, boxes), probs in zip(NETWORKS, *predictions(case)):
        options = {"box_cost": "giou", "box_weight": 1.3, "probs": probs}
        costs = assign_cost(classes, boxes, case.gt_boxes, case.gt_labels, matched, **options).numpy()
        wanted = case[f"{network}_pos_loss"]
        record.near(f"{network}_pos_loss", costs[case.candidates], atol=case.cost_tolerance(wanted))


def compare_selection(record: Recording, case: GoldenCase) -> None:
    """Compares the network chosen for each object and level, and the statistics of each image that the official code
    logs."""
    of_both = statistics_of(case)
    ratios = torch.where(of_both.mean == 0, torch.nan, of_both.std / of_both.mean)
    teacher = _teacher_of_levels(of_both.num_candidates, of_both.mean, ratios).numpy()  # (G, L), -1 without candidates
    statistics = {network: CostStatistics(*(x[k] for x in of_both)) for k, network in enumerate(NETWORKS)}
    record.same("sel_gt", (teacher >= 0).nonzero()[0])
    record.same("sel_level", (teacher >= 0).nonzero()[1])
    pairs = case["sel_gt"], case["sel_level"]
    image = np.searchsorted(case["gt_offsets"], np.arange(case.objects), side="right") - 1
    record.same("sel_image", image[pairs[0]])
    record.same("sel_count", statistics["s"].num_candidates.numpy()[pairs])
    # Equal networks tie exactly. For other networks, differences below 1e-6 are rounding.
    decided = (np.abs(case["sel_margin"]) > 1e-6) | (case["sel_margin"] == 0)
    record.same("sel_teacher", teacher[pairs], where=decided, reason="selections with a margin below 1e-6")
    if has_predictions(case):
        record.same(
            "sel_teacher", assign(case).teacher.numpy()[pairs], where=decided, reason="with a margin below 1e-6"
        )
    spread = {network: (s.std / s.mean).numpy()[pairs] for network, s in statistics.items()}
    one = case["sel_count"] == 1
    mean = {network: s.mean.numpy()[pairs] for network, s in statistics.items()}
    margin = np.where(one, mean["s"] - mean["t"], spread["t"] - spread["s"])
    record.near("sel_margin", margin, rtol=1e-5, atol=1e-6)

    logged = {f"{network}_mean": s.mean for network, s in statistics.items()}
    logged |= {f"{network}_std": s.std for network, s in statistics.items()}
    logged["t_ratio"] = torch.from_numpy(np.where(teacher >= 0, teacher, np.nan))
    images = len(case["gt_offsets"]) - 1
    raised = case["image_raises"] != ""
    for key, values in logged.items():
        if key != "t_ratio":
            record.near(f"sel_{key}", values.numpy()[pairs], rtol=1e-5)
        of_images = np.array([torch.nanmean(values[image == b]).item() for b in range(images)])
        record.near(f"image_{key}", of_images, rtol=1e-5, where=~raised)
        if f"batch_{key}" in record.arrays:
            record.near(f"batch_{key}", of_images.mean(), rtol=1e-5)


def compare_outcome(record: Recording, case: GoldenCase) -> None:
    outcome, assigned = outcome_of(case), case["image_raises"] == ""
    compare_labels(record, outcome, split(case), 1e-6, assigned)
    if has_predictions(case):
        found = assign(case).assignment
        compare_labels(record, outcome, found, 1e-4, assigned)
        if "batch_num_pos" in record.arrays:
            ill = (case["gt_flip_eps"] <= 1e-4).any()
            record.same(
                "batch_num_pos", found.num_pos_total, where=~ill, reason="batches with an ill-conditioned object"
            )
    else:
        record.leave("batch_num_pos")
    fitted = (case["gt_raise_eps"] > 1e-7) | (case["gmm_fit_failures"] == 0)
    compare_mixtures(record, case, "", config_of(case), chosen_costs(case), fitted)
    record.leave("gt_flip_eps", "gt_raise_eps", "gmm_fit_failures", "image_raises", "batch_raises")


def compare_losses(record: Recording, case: GoldenCase) -> None:
    """Compares the losses of both networks on the recorded final labels."""
    if "s_loss_cls" not in record.arrays:
        return
    final = case.as_assignment(case.assigned(case["labels"]))
    for network, classes in zip(NETWORKS, ("s_cls_logits", "t_cls")):
        logits = case[classes]
        if network == "t" and case["teacher_is_prob"]:
            logits = np.log(logits) - np.log1p(-logits)  # the loss takes logits
        keys = {key: case[f"{network}_{key}"] for key in ("bbox_deltas", "iou_logits")}
        given = golden_predictions({**case.arrays, **keys, "cls_logits": logits})
        losses = PAALoss(box_weighting="uniform")(given, final, case.valid)
        for ours, theirs in (("loss_cls", "loss_cls"), ("loss_box", "loss_bbox"), ("loss_iou", "loss_iou")):
            record.near(f"{network}_{theirs}", losses[ours], rtol=1e-5, atol=1e-6)


def test_how_many_ill_conditioned_objects_differ() -> None:
    """Counted over all files. Every difference has a reason."""
    from_costs, from_predictions, objects, selections = Counter(), Counter(), 0, 0
    for case in map(load, NAMES):
        outcome = outcome_of(case)
        objects, selections = objects + case.objects, selections + len(case["sel_gt"])
        from_costs.update(outcome.differing(split(case).matched.numpy()).values())
        if has_predictions(case):
            from_predictions.update(outcome.differing(assign(case).matched.numpy()).values())
    assert from_costs["unexplained"] == from_predictions["unexplained"] == 0
    if golden_sets.is_whole():
        assert (objects, from_costs) == (345, {"as the float64 run": 6})
