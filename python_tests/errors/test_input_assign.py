"""Wrong arguments of the assignment: cost, mixture, split, co-learning.

Each row is a change of a valid call and the exact error message, which names argument and value. A message that ends in
`...` is the beginning of a message of torch."""

import math

import pytest
import torch

from colad_ops import AssignConfig, assign_cost, colad_assign, cost_statistics, gmm_em, paa_assign, split_candidates
from python_tests.errors.valid_calls import (
    BOXES,
    FLOATS,
    LABELS,
    LEAST,
    LOGITS,
    MATCHED,
    MOST,
    OFFSETS,
    SCALAR,
    SCORES,
    assert_error_is,
    integers,
    rows,
)

L, X = LOGITS[None], BOXES[None]

ASSIGN_COST = [
    ("labels_high", {"gt_labels": integers(0, 1, 5)}, "gt_labels should be in 0..4, got 5 at row 2"),
    ("labels_low", {"gt_labels": integers(0, -1, 4)}, "gt_labels should be in 0..4, got -1 at row 1"),
    ("labels_most", {"gt_labels": integers(MOST, 1, 4)}, f"gt_labels should be in 0..4, got {MOST} at row 0"),
    ("labels_fewer", {"gt_labels": LABELS[:1]}, "gt_labels should have shape (G,), one a row of gt_boxes, got (1,)"),
    ("labels_type", {"gt_labels": LABELS.int()}, "gt_labels should have dtype Long, got Int"),
    ("labels_missing", {"gt_labels": None}, "gt_labels should be a tensor, got None"),
    ("matched_missing", {"matched": None}, "matched should be a tensor, got None"),
    ("no_classes", {"logits": L[..., :0]}, "gt_labels should be in 0..-1, got 0 at row 0"),
    ("matched_high", {"matched": integers([0, 1, 3])}, "matched should be in -2..2, got 3 at image 0, anchor 2"),
    ("matched_low", {"matched": integers([0, 1, -3])}, "matched should be in -2..2, got -3 at image 0, anchor 2"),
    (
        "matched_least",
        {"matched": integers([LEAST, 1, -1])},
        f"matched should be in -2..2, got {LEAST} at image 0, anchor 0",
    ),
    ("matched_rank", {"matched": MATCHED[0]}, "matched should have shape (B, A), got (3,)"),
    ("matched_type", {"matched": MATCHED.float()}, "matched should have dtype Long, got Float"),
    ("more_anchors", {"logits": torch.rand(1, 4, 5)}, "logits should have 3 anchors over all levels, got 4"),
    (
        "levels_differ",
        {"logits": [L[:, :2], torch.rand(1, 1, 6)]},
        "logits level 1 should have shape (1, anchors of the level, 5), got (1, 1, 6)",
    ),
    (
        "level_types",
        {"logits": [L[:, :2], L[:, 2:].double()]},
        "logits and its first level should have the same dtype, got Double and Float",
    ),
    ("no_levels", {"logits": []}, "logits should have at least one level, got none"),
    ("no_box_levels", {"boxes": []}, "boxes should have 1 to 16 levels, got 0"),
    ("many_levels", {"logits": [L[:, :1]] * 17}, "logits should have 1 to 16 levels, got 17"),
    ("logits_type", {"logits": L.long()}, f"logits should be {FLOATS}, got Long"),
    ("logits_rank", {"logits": LOGITS}, "logits level 0 should have shape (1, anchors of the level, C), got (3, 5)"),
    (
        "corners",
        {"boxes": torch.rand(1, 3, 5)},
        "boxes level 0 should have shape (1, anchors of the level, 4), got (1, 3, 5)",
    ),
    ("gt_boxes_type", {"gt_boxes": BOXES.long()}, f"gt_boxes should be {FLOATS}, got Long"),
    ("box_cost", {"box_cost": "l1"}, "box_cost should be iou, iof, giou, diou or ciou, got l1"),
    ("gamma", {"gamma": -1.0}, "gamma should be >= 0, got -1"),
    ("gamma_nan", {"gamma": math.nan}, "gamma should be >= 0, got nan"),
    ("gamma_inf", {"gamma": math.inf}, "gamma should be finite, got inf"),
    ("alpha_nan", {"alpha": math.nan}, "alpha should be <= 1 (negative: no weighting by class), got nan"),
    ("alpha_high", {"alpha": 2.0}, "alpha should be <= 1 (negative: no weighting by class), got 2"),
    ("box_weight_nan", {"box_weight": math.nan}, "box_weight should be finite, got nan"),
    ("box_weight_inf", {"box_weight": math.inf}, "box_weight should be finite, got inf"),
]

GMM_EM = [
    ("rank", {"values": torch.rand(2, 3)}, "values should have shape (N,), got (2, 3)"),
    ("no_rank", {"values": SCALAR}, "values should have shape (N,), got ()"),
    ("integers", {"values": torch.arange(6)}, f"values should be {FLOATS}, got Long"),
    ("complex", {"values": torch.rand(6) * 1j}, f"values should be {FLOATS}, got ComplexFloat"),
    ("offsets_type", {"offsets": OFFSETS.int()}, "offsets should have dtype int64, got torch.int32"),
    ("offsets_none", {"offsets": integers()}, "offsets should have shape (G + 1,), got (0,)"),
    ("offsets_rank", {"offsets": SCALAR}, "offsets should have shape (G + 1,), got ()"),
    (
        "offsets_descend",
        {"offsets": integers(0, 2, 1)},
        "offsets should ascend from 0 to the number of values 6, got 2 then 1 at row 1",
    ),
    (
        "offsets_end",
        {"offsets": integers(0, 7)},
        "offsets should ascend from 0 to the number of values 6, got 0 then 7 at row 0",
    ),
    (
        "offsets_least",
        {"offsets": integers(LEAST, 6)},
        f"offsets should ascend from 0 to the number of values 6, got {LEAST} then 6 at row 0",
    ),
    (
        "offsets_most",
        {"offsets": integers(0, MOST)},
        f"offsets should ascend from 0 to the number of values 6, got 0 then {MOST} at row 0",
    ),
    ("neither", {"offsets": None}, "either offsets or counts should be given, got none"),
    ("both", {"counts": integers(6)}, "either offsets or counts should be given, got both"),
    ("covariance", {"covariance": "round"}, "covariance should be full, diag, spherical or tied, got round"),
    ("max_iter", {"max_iter": 0}, "max_iter should be >= 1, got 0"),
    ("max_iter_huge", {"max_iter": 2**62}, f"max_iter should be <= 1000000, got {2**62}"),
    ("tol", {"tol": -1.0}, "tol should be >= 0, got -1"),
    ("tol_nan", {"tol": math.nan}, "tol should be >= 0, got nan"),
    ("reg_covar", {"reg_covar": -1e-6}, "reg_covar should be >= 0, got -1e-06"),
    ("reg_covar_nan", {"reg_covar": math.nan}, "reg_covar should be >= 0, got nan"),
    ("reg_covar_inf", {"reg_covar": math.inf}, "reg_covar should be finite, got inf"),
]


def padded(**change):
    return {"values": torch.rand(2, 3), "offsets": None, "counts": integers(3, 1)} | change


GMM_EM_PADDED = [
    ("high", padded(counts=integers(3, 4)), "counts should be in 0..3, got 4 at row 1"),
    ("low", padded(counts=integers(3, -1)), "counts should be in 0..3, got -1 at row 1"),
    ("least", padded(counts=integers(LEAST, 1)), f"counts should be in 0..3, got {LEAST} at row 0"),
    ("fewer", padded(counts=integers(3)), "values should have shape (G, N) with counts (G,), got (2, 3), (1,)"),
    ("rank", padded(values=torch.rand(2)), "values should have shape (G, N) with counts (G,), got (2,), (2,)"),
    ("type", padded(counts=torch.rand(2)), "counts should have dtype int64, got torch.float32"),
]

LEVEL_SIZES = [
    ("sizes_sum", {"level_sizes": [1, 1]}, "level_sizes should sum to the number of anchors 3, got 2"),
    ("sizes_negative", {"level_sizes": [3, -1]}, "level_sizes should be >= 0, got -1 at level 1"),
    ("no_sizes", {"level_sizes": []}, "level_sizes should have 1 to 16 levels, got 0"),
    ("many_sizes", {"level_sizes": [3] + [0] * 16}, "level_sizes should have 1 to 16 levels, got 17"),
    (
        "sizes_huge",
        {"level_sizes": [2**62] * 3 + [2**62 + 3]},
        f"level_sizes should sum to the number of anchors 3, got more, with {2**62} at level 0",
    ),
    ("sizes_no_integers", {"level_sizes": [1.5, 1.5]}, "colad::..."),
]

SPLIT_CANDIDATES = [
    ("cost_integers", {"cost": MATCHED}, "cost should have dtype Float, got Long"),
    ("cost_double", {"cost": MATCHED.double()}, "cost should have dtype Float, got Double"),
    ("matched_shape", {"matched": MATCHED[:, :2]}, "matched should have shape (B, A), as cost, got (1, 2)"),
    ("matched_missing", {"matched": None}, "matched should be a tensor, got None"),
    ("offsets_missing", {"gt_offsets": None}, "gt_offsets should be a tensor, got None"),
    ("matched_type", {"matched": MATCHED.int()}, "matched should have dtype Long, got Int"),
    (
        "matched_high",
        {"matched": integers([0, 3, -1])},
        "matched should be -1, -2 or a row of the image's objects, 0..2, got 3 at image 0, anchor 1",
    ),
    (
        "matched_least",
        {"matched": integers([0, 1, LEAST])},
        f"matched should be -1, -2 or a row of the image's objects, 0..2, got {LEAST} at image 0, anchor 2",
    ),
    (
        "another_image",
        {
            "matched": integers([0, 2, -1], [-1, -1, -1]),
            "cost": torch.ones(2, 3),
            "gt_offsets": integers(0, 2, 3),
        },
        "matched should be -1, -2 or a row of the image's objects, 0..1, got 2 at image 0, anchor 1",
    ),
    ("images", {"gt_offsets": integers(0, 1, 3)}, "gt_offsets should have one row an image and one more, 2, got 3"),
    ("offsets_end", {"gt_offsets": integers(0, 2)}, "gt_offsets should end at the number of rows 3, got 2"),
    ("offsets_least", {"gt_offsets": integers(LEAST, 3)}, f"gt_offsets[0] should be 0, got {LEAST}"),
]

SPLIT_LABELS = [
    ("cost_rank", {"cost": SCORES}, "cost should have shape (B, A), got (3,)"),
    (
        "labels_fewer",
        {"gt_labels": LABELS[:2]},
        "gt_labels should have shape (3,), one a row of gt_boxes, got (2,)",
    ),
]

COST_STATISTICS = [
    ("cost_rank", {"cost": SCORES}, "cost should have shape (B, A) or (K, B, A), got (3,)"),
    ("fewer_objects", {"num_objects": 2}, "gt_offsets should end at the number of rows 2, got 3"),
    ("negative_objects", {"num_objects": -1}, "num_objects should be >= 0, got -1"),
    ("most_objects", {"num_objects": MOST}, f"gt_offsets should end at the number of rows {MOST}, got 3"),
]

PAA_ASSIGN = [
    (
        "topk_huge",
        {"config": AssignConfig(topk=2**70)},
        "colad::paa_assign() Expected a value of type 'int' for...",
    ),
    ("labels", {"gt_labels": integers(0, 1, 5)}, "gt_labels should be in 0..4, got 5 at row 2"),
    (
        "images",
        {"gt_offsets": integers(0, 3, 3)},
        "logits level 0 should have shape (2, anchors of the level, 5), got (1, 3, 5)",
    ),
    ("offsets_end", {"gt_offsets": integers(0, 2)}, "gt_offsets should end at the number of rows 3, got 2"),
]

COLAD_ASSIGN = [
    ("no_networks", {"predictions": []}, "predictions should hold two or more networks, got 0"),
    ("one_network", {"predictions": [(L, X)]}, "predictions should hold two or more networks, got 1"),
    ("no_boxes", {"predictions": [(L, X), (L,)]}, "predictions[1] should be a pair (logits, boxes), got 1 items"),
    ("no_pairs", {"predictions": (L, X)}, "predictions[0] should be a pair (logits, boxes), got a tensor"),
    (
        "anchors_differ",
        {"predictions": [(L, X), (L[:, :2], X)]},
        "logits should have 3 anchors over all levels, got 2",
    ),
    ("indicator", {"indicator": "mean"}, "indicator should be std_mean or fisher, got mean"),
    (
        "granularity",
        {"granularity": "epoch"},
        "granularity should be iteration, image, object or object_level, got epoch",
    ),
    (
        "fisher_of_levels",
        {"indicator": "fisher", "granularity": "object_level"},
        "granularity object_level should go with indicator std_mean, got fisher",
    ),
    ("probs_one", {"probs": [True]}, "probs should be one bool or one a network (2), got [True]"),
    ("probs_none", {"probs": None}, "probs should be one bool or one a network (2), got None"),
    ("labels", {"gt_labels": integers(0, 1, 5)}, "gt_labels should be in 0..4, got 5 at row 2"),
]

EVERY_ROW = [
    *rows(assign_cost, *ASSIGN_COST),
    *rows(gmm_em, *GMM_EM, *GMM_EM_PADDED),
    *rows(split_candidates, *SPLIT_CANDIDATES, *LEVEL_SIZES, *SPLIT_LABELS),
    *rows(cost_statistics, *SPLIT_CANDIDATES, *LEVEL_SIZES, *COST_STATISTICS),
    *rows(paa_assign, *PAA_ASSIGN, *LEVEL_SIZES),
    *rows(colad_assign, *COLAD_ASSIGN, *LEVEL_SIZES),
]


@pytest.mark.parametrize(("function", "arguments", "message"), EVERY_ROW)
def test_the_error_is(function, arguments, message, monkeypatch):
    assert_error_is(function, arguments, message, monkeypatch)
