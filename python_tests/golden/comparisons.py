"""Comparisons that the golden sets of assignments (``paa_assign``, ``colad_assign``, ``kkhoot_assign``) share:
matching, mixtures, final labels."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from colad_ops import AssignConfig, Assignment, box_iou, cost_statistics, gmm_em, match_anchors
from colad_ops.ops.split_candidates import cheapest_of_levels
from python_tests.golden.golden_case import GoldenCase, Outcome
from python_tests.golden.golden_table import Recording

ILL = "of objects that noise of {:g} changes"


def compare_matching(record: Recording, case: GoldenCase, config: AssignConfig) -> None:
    """Compares the recorded pre-assignment (keys ``pre_*``, ``cand_*``, ``gt_*``), except entries that the set marks as
    ambiguous."""
    record.leave(*GoldenCase.inputs(record.arrays))
    record.leave("pre_ambiguous", "pre_differs_fp64", "pre_same_in_fp64")
    match = match_anchors(case.anchors, case.gt_boxes, case.gt_offsets, valid=case.valid, **config.matching_options())
    clear, matched = ~case.arrays.get("pre_ambiguous", np.zeros(1, dtype=bool)), match.matched.numpy()
    record.same("pre_gt_index", case.local_rows(matched), where=clear, reason="ambiguous")
    found = case.as_assignment(matched)
    record.same("pre_labels", found.labels(int(case["num_classes"])).numpy(), where=clear, reason="ambiguous")
    record.same("pre_label_weights", (match.matched != -2).numpy() & case["valid"])
    images, anchors = (match.matched >= 0).nonzero().T.numpy()
    record.same("cand_offsets", np.append(0, np.cumsum((matched >= 0).sum(1))))
    record.same("cand_anchor", anchors)
    record.same("cand_gt", case.local_rows(matched)[images, anchors])
    if "pre_max_iou" in record.arrays:
        record.near("pre_max_iou", match.iou.numpy(), atol=5e-7, where=case["valid"])
        record.same("gt_num_cand", np.bincount(matched[matched >= 0], minlength=case.objects))
        of_objects = np.zeros(case.objects)
        for image, (begin, end) in enumerate(pairwise(case["gt_offsets"])):
            anchors = case.anchors[case.valid[image]].double()
            of_objects[begin:end] = box_iou(case.gt_boxes[begin:end].double(), anchors).amax(1).numpy()
        record.near("gt_max_iou", of_objects, atol=5e-7)


def compare_mixtures(
    record: Recording,
    case: GoldenCase,
    prefix: str,
    config: AssignConfig,
    cost: Tensor,
    fitted: np.ndarray | bool = True,
) -> None:
    """Compares the recorded fits (keys ``{prefix}gmm_*``) of the mixtures of each object's cheapest candidates by
    ``cost (B, A)``. ``fitted (G,)`` are the objects whose fit did not raise in the reference.

    The references fit float32 values, and square them before they subtract the mean. So a variance is uncertain by some
    roundings of the squares, and the tolerance of parameters and likelihoods follows from this. Components, iterations
    and positives are still equal in every fit, except for positives where two likelihoods are equal (noise of 1e-6
    changes these).
    """
    flip_eps, prefix = case[f"{prefix}gt_flip_eps"], f"{prefix}gmm_"
    matched = torch.from_numpy(case.matched)
    count = cost_statistics(cost, matched, case.gt_offsets, case.objects, case.level_sizes).num_candidates
    objects = np.flatnonzero((count.clamp(max=config.topk).sum(1) >= 2).numpy() & fitted)
    record.same(f"{prefix}gt", objects)

    samples, anchors, alone = [], [], []
    for row in objects:
        image = np.searchsorted(case["gt_offsets"], row, side="right") - 1
        candidates = (matched[image] == row).nonzero()[:, 0]
        chosen = cheapest_of_levels(candidates, cost[image, candidates], case.level_sizes, config.topk)
        anchors.append(chosen)
        samples.append(cost[image, chosen])
        alone.append((cost[image, candidates, None] == samples[-1]).sum(0) == 1)
    lengths = [0, *map(len, samples)]
    samples, anchors, alone = (torch.cat([torch.zeros(0), *x]).numpy() for x in (samples, anchors, alone))
    record.same(f"{prefix}offsets", np.cumsum(lengths))
    record.same(f"{prefix}loss", samples)
    record.same(f"{prefix}anchor", anchors, where=alone > 0, reason="anchors of equal cost, whose order is open there")

    fit = gmm_em(torch.from_numpy(samples), torch.tensor(lengths).cumsum(0), **config.mixture_options())
    record.same(f"{prefix}component", fit.labels.numpy())
    record.same(f"{prefix}n_iter", fit.n_iter.numpy())
    if f"{prefix}converged" in record.arrays:
        record.same(f"{prefix}converged", fit.converged.numpy())
    bounds = list(pairwise(np.cumsum(lengths)))
    cheap = [fit.log_likelihood[begin:end][fit.labels[begin:end] == 0] for begin, end in bounds]
    num_pos = [int(x.argmax()) + 1 if len(x) else 0 for x in cheap]
    record.same(f"{prefix}num_pos", num_pos, where=flip_eps[objects] > 1e-6, reason=ILL.format(1e-6))
    largest = np.array([np.abs(samples[begin:end]).max() for begin, end in bounds])
    rounding = np.finfo(np.float32).eps * largest**2 / record.arrays[f"{prefix}vars"].min(1)
    for name, found in (("weights", fit.weights), ("means", fit.means), ("vars", fit.variances)):
        wanted = np.abs(record.arrays[f"{prefix}{name}"])
        record.near(f"{prefix}{name}", found.numpy(), atol=(1e-6 + 20 * rounding[:, None]) * wanted)
    record.near(f"{prefix}score", fit.log_likelihood.numpy(), atol=1e-6 + 50 * np.repeat(rounding, lengths[1:]))
    record.leave(f"{prefix}lower_bound")  # scikit-learn's value at the stop, which gmm_em does not return


def compare_labels(
    record: Recording, outcome: Outcome, found: Assignment, limit: float, images: np.ndarray | None = None
) -> None:
    """Compares the recorded final labels (key ``{prefix}labels`` and the keys derived from it) of the ``images (B,)``
    on which the reference did not raise. Objects whose positives change with noise of ``limit`` on their costs may
    differ."""
    case, prefix = outcome.case, outcome.prefix
    images = np.ones(len(case.matched), dtype=bool) if images is None else images
    rows = found.matched.numpy()
    ill = np.append(outcome.flip_eps <= limit, False)  # the last row is for background
    differing = outcome.differing(rows)
    assert [row for row in differing if not ill[row]] == []
    if limit <= 1e-6:
        assert "unexplained" not in differing.values()
    steady = ~ill[case.matched] & images[:, None]  # (B, A)
    assert (found.num_pos.numpy() == np.bincount(rows[rows >= 0], minlength=case.objects)).all()

    positive = rows >= 0
    labels = found.labels(int(case["num_classes"])).numpy()
    for key, values, where in (
        ("labels", labels, steady),
        ("labels_fp64", labels, steady),
        ("gt_index", case.local_rows(rows), steady),
        ("bbox_weights", positive, steady),
        ("num_pos", positive.sum(1), steady.all(1)),
        ("num_pos_fp64", positive.sum(1), steady.all(1)),
        ("label_weights", (rows != -2) & case.valid.numpy(), True),
    ):
        key = f"{prefix}{key}"
        if key in record.arrays:  # some keys are missing where the float32 run raised
            compared = images if values.ndim == 1 else images[:, None]
            record.same(key, np.where(compared, values, case[key]), where=where, reason=ILL.format(limit))
    target = np.append(case["gt_boxes"], np.zeros((1, 4), dtype=np.float32), axis=0)[outcome.rows]
    np.testing.assert_array_equal(found.boxes().numpy()[steady], target[steady])
