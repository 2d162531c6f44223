"""Wrong arguments of the functions on boxes: IoU, matching, NMS and voting.

Each row is a change of a valid call and the exact error message, which names argument and value. A message that ends in
`...` is the beginning of a message of torch."""

import math

import pytest
import torch

from colad_ops import aligned_box_iou, batched_nms, box_iou, decode_boxes, match_anchors, matched_box_iou, score_voting
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

NO_CROWD = {"ignore_boxes": None, "ignore_offsets": None}
OFFSETS_FORM = "image_offsets should have shape (segments + 1,), got"

BOX_IOU = [
    ("no_rank", {"boxes1": SCALAR}, "boxes1 should have shape (..., 4), got ()"),
    ("five_corners", {"boxes2": torch.rand(3, 5)}, "boxes2 should have shape (..., 4), got (3, 5)"),
    ("two_types", {"boxes2": BOXES.double()}, "boxes1 and boxes2 should have the same dtype, got Float and Double"),
    ("integers", {"boxes1": BOXES.long()}, f"boxes1 should be {FLOATS}, got Long"),
    ("bool", {"boxes1": BOXES > 3}, f"boxes1 should be {FLOATS}, got Bool"),
    ("complex", {"boxes2": BOXES * 1j}, f"boxes2 should be {FLOATS}, got ComplexFloat"),
    ("mode", {"mode": "IoU"}, "mode should be iou, iof, giou, diou or ciou, got IoU"),
    ("mode_none", {"mode": None}, "colad::..."),
    (
        "leading",
        {"boxes1": torch.rand(2, 3, 4), "boxes2": torch.rand(5, 3, 4)},
        "boxes1 and boxes2 should broadcast in their leading dimensions, got (2, 3, 4) and (5, 3, 4)",
    ),
]

PAIRWISE_ONLY = [
    (
        "one_box",
        {"boxes1": BOXES[0]},
        "boxes1 and boxes2 should have as many dimensions, at least 2, got (4,) and (3, 4)",
    ),
    (
        "one_box_and_batch",
        {"boxes1": torch.rand(2, 3, 4), "boxes2": BOXES[0]},
        "boxes1 and boxes2 should have as many dimensions, at least 2, got (2, 3, 4) and (4,)",
    ),
]

ALIGNED_ONLY = [
    (
        "fewer",
        {"boxes2": BOXES[:2]},
        "boxes1 and boxes2 should broadcast in their leading dimensions, got (3, 4) and (2, 4)",
    ),
]

LEVEL = (
    "should have shape (B, anchors of the level, 4) or (B, locations, anchors of a location, 4), "
    "with the B of the first level, got"
)
DECODE_BOXES = [
    ("anchors_rank", {"anchors": BOXES[0]}, "anchors should have shape (A, 4), got (4,)"),
    ("anchors_type", {"anchors": BOXES.int()}, f"anchors should be {FLOATS}, got Int"),
    ("anchors_fewer", {"anchors": BOXES[:2]}, "deltas should have 2 anchors over all levels, got 3"),
    ("no_rank", {"deltas": SCALAR}, "deltas should have shape (..., A, 4), got ()"),
    ("rank", {"deltas": BOXES[0]}, "deltas should have shape (..., A, 4), got (4,)"),
    ("five_deltas", {"deltas": torch.rand(3, 5)}, "deltas should have shape (..., A, 4), got (3, 5)"),
    ("integers", {"deltas": BOXES.long()}, f"deltas should be {FLOATS}, got Long"),
    ("complex", {"deltas": BOXES * 1j}, f"deltas should be {FLOATS}, got ComplexFloat"),
    ("no_level", {"deltas": []}, "deltas should have 1 to 16 levels, got 0"),
    ("many_levels", {"deltas": [BOXES[None]] * 17}, "deltas should have 1 to 16 levels, got 17"),
    ("level_rank", {"deltas": [BOXES]}, f"deltas level 0 {LEVEL} (3, 4)"),
    ("level_map", {"deltas": [torch.rand(1, 4, 3, 1)]}, f"deltas level 0 {LEVEL} (1, 4, 3, 1)"),
    (
        "level_images",
        {"deltas": [torch.rand(2, 2, 4), torch.rand(1, 1, 4)]},
        f"deltas level 1 {LEVEL} (1, 1, 4)",
    ),
    (
        "level_type",
        {"deltas": [torch.rand(1, 2, 4), torch.rand(1, 1, 4).double()]},
        "deltas and its first level should have the same dtype, got Double and Float",
    ),
    ("stds_fewer", {"stds": (0.1, 0.1, 0.2)}, "stds should be 4 numbers, got 3"),
    ("stds_infinite", {"stds": (0.1, 0.1, 0.2, math.inf)}, "stds should be finite, got inf"),
    ("ratio_small", {"max_ratio": 0.5}, "max_ratio should be in 1..1e+36, got 0.5"),
    ("ratio_infinite", {"max_ratio": math.inf}, "max_ratio should be in 1..1e+36, got inf"),
    ("ratio_nan", {"max_ratio": math.nan}, "max_ratio should be in 1..1e+36, got nan"),
]

MATCH_ANCHORS = [
    ("anchors_rank", {"anchors": torch.rand(4)}, "anchors should have shape (A, 4), got (4,)"),
    ("anchors_no_rank", {"anchors": SCALAR}, "anchors should have shape (A, 4), got ()"),
    ("anchors_type", {"anchors": BOXES.int()}, f"anchors should be {FLOATS}, got Int"),
    (
        "gt_boxes_type",
        {"gt_boxes": BOXES.double()},
        "gt_boxes and anchors should have the same dtype, got Double and Float",
    ),
    ("gt_boxes_rank", {"gt_boxes": torch.rand(1, 3, 4)}, "gt_boxes should have shape (G, 4), got (1, 3, 4)"),
    (
        "gt_boxes_rows",
        {"gt_boxes": BOXES[:1].expand(2**31, 4)},
        "gt_boxes should have fewer than 2^31 rows, got 2147483648",
    ),
    ("offsets_type", {"gt_offsets": OFFSETS.int()}, "gt_offsets should have dtype Long, got Int"),
    ("offsets_missing", {"gt_offsets": None}, "gt_offsets should be a tensor, got None"),
    ("offsets_none", {"gt_offsets": integers()}, "gt_offsets should have shape (segments + 1,), got (0,)"),
    ("offsets_rank", {"gt_offsets": OFFSETS[None]}, "gt_offsets should have shape (segments + 1,), got (1, 2)"),
    (
        "offsets_descend",
        {"gt_offsets": integers(0, 4, 3)} | NO_CROWD,
        "gt_offsets should ascend, got 4 then 3 at row 2",
    ),
    ("offsets_start", {"gt_offsets": integers(1, 3)}, "gt_offsets[0] should be 0, got 1"),
    ("offsets_end", {"gt_offsets": integers(0, 1)}, "gt_offsets should end at the number of rows 3, got 1"),
    ("offsets_least", {"gt_offsets": integers(LEAST, 3)}, f"gt_offsets[0] should be 0, got {LEAST}"),
    ("offsets_most", {"gt_offsets": integers(0, MOST)}, f"gt_offsets should end at the number of rows 3, got {MOST}"),
    ("valid_shape", {"valid": LABELS[:2] >= 0}, "valid should have shape (3,) or (1, 3), got (2,)"),
    ("valid_no_rank", {"valid": torch.tensor(True)}, "valid should have shape (3,) or (1, 3), got ()"),
    ("valid_type", {"valid": LABELS}, "valid should have dtype Bool, got Long"),
    (
        "no_ignore_offsets",
        {"ignore_offsets": None},
        "ignore_boxes and ignore_offsets should be given together, got only ignore_boxes",
    ),
    (
        "no_ignore_boxes",
        {"ignore_boxes": None},
        "ignore_boxes and ignore_offsets should be given together, got only ignore_offsets",
    ),
    ("ignore_end", {"ignore_offsets": integers(0, 2)}, "ignore_offsets should end at the number of rows 3, got 2"),
    (
        "ignore_images",
        {"ignore_offsets": integers(0, 1, 3)},
        "ignore_offsets should have as many images as gt_offsets, 1, got 2",
    ),
    ("low_quality", {"low_quality": "some"}, "low_quality should be all, own or none, got some"),
    ("threshold_nan", {"iou_threshold": math.nan}, "iou_threshold should be a number, got nan"),
    ("iof_nan", {"ignore_iof": math.nan}, "ignore_iof should be a number, got nan"),
]

BATCHED_NMS = [
    ("no_rank", {"boxes": SCALAR}, "boxes should have shape (N, 4), got ()"),
    ("rank", {"boxes": BOXES[0]}, "boxes should have shape (N, 4), got (4,)"),
    ("integers", {"boxes": BOXES.long()}, f"boxes should be {FLOATS}, got Long"),
    ("scores_fewer", {"scores": SCORES[:2]}, "scores should have shape (3,), one a box, got (2,)"),
    (
        "scores_complex",
        {"scores": SCORES * 1j},
        "scores should be float32, float64, float16, bfloat16, bool or integers, got ComplexFloat",
    ),
    ("labels_fewer", {"labels": LABELS[:2]}, "labels should have shape (3,), one a box, got (2,)"),
    ("labels_type", {"labels": LABELS.int()}, "labels should have dtype Long, got Int"),
    ("offsets_type", {"image_offsets": OFFSETS.int()}, "image_offsets should have dtype Long, got Int"),
    ("offsets_none", {"image_offsets": integers()}, f"{OFFSETS_FORM} (0,)"),
    ("offsets_rank", {"image_offsets": OFFSETS[None]}, f"{OFFSETS_FORM} (1, 2)"),
    (
        "offsets_end",
        {"image_offsets": integers(0, 2)},
        "image_offsets should end at the number of rows 3, got 2",
    ),
    (
        "offsets_descend",
        {"image_offsets": integers(0, MOST, LEAST, 3)},
        f"image_offsets should ascend, got {MOST} then {LEAST} at row 2",
    ),
    ("threshold_nan", {"iou_threshold": math.nan}, "iou_threshold should be a number, got nan"),
]

SCORE_VOTING = [
    ("no_rank", {"boxes": SCALAR}, "boxes should have shape (K, 4), got ()"),
    ("scores_fewer", {"scores": SCORES[:2]}, "scores should have shape (3,), one a box, got (2,)"),
    ("scores_complex", {"scores": SCORES * 1j}, "scores should be real, got torch.complex64"),
    ("labels_high", {"labels": integers(0, 5, 0)}, "labels should be in 0..4, got 5 at row 1"),
    ("labels_least", {"labels": integers(0, LEAST, 0)}, f"labels should be in 0..4, got {LEAST} at row 1"),
    ("labels_type", {"labels": LABELS.int()}, "labels should have dtype Long, got Int"),
    ("no_classes", {"all_scores": LOGITS[:, :0]}, "labels should be in 0..-1, got 0 at row 0"),
    ("labels_missing", {"labels": None}, "labels should be a tensor, got None"),
    ("all_scores_rank", {"all_scores": SCORES}, "all_scores should have shape (N, C), got (3,)"),
    ("all_scores_fewer", {"all_scores": LOGITS[:2]}, "all_scores should have shape (N, C), got (2, 5)"),
    (
        "all_boxes_type",
        {"all_boxes": BOXES.double()},
        "all_boxes and boxes should have the same dtype, got Double and Float",
    ),
    ("sigma", {"sigma": 0}, "sigma should be > 0, got 0"),
    ("sigma_negative", {"sigma": -1.0}, "sigma should be > 0, got -1"),
    ("sigma_nan", {"sigma": math.nan}, "sigma should be > 0, got nan"),
    ("threshold_nan", {"iou_threshold": math.nan}, "iou_threshold should be a number, got nan"),
    ("score_nan", {"score_threshold": math.nan}, "score_threshold should be a number, got nan"),
]

MATCHED_BOX_IOU = [
    ("no_batch", {"boxes": BOXES}, "boxes should have shape (B, A, 4), got (3, 4)"),
    ("integers", {"boxes": BOXES[None].long()}, f"boxes should be {FLOATS}, got Long"),
    ("objects_rank", {"gt_boxes": BOXES[None]}, "gt_boxes should have shape (G, 4), got (1, 3, 4)"),
    ("two_types", {"gt_boxes": BOXES.double()}, "gt_boxes and boxes should have the same dtype, got Double and Float"),
    ("matched_fewer", {"matched": MATCHED[:, :2]}, "matched should have shape (B, A), one row an anchor, got (1, 2)"),
    ("matched_type", {"matched": MATCHED.int()}, "matched should have dtype Long, got Int"),
    ("matched_missing", {"matched": None}, "matched should be a tensor, got None"),
    ("matched_high", {"matched": integers([0, 1, 3])}, "matched should be in -2..2, got 3 at image 0, anchor 2"),
    (
        "matched_most",
        {"matched": integers([0, MOST, 1])},
        f"matched should be in -2..2, got {MOST} at image 0, anchor 1",
    ),
    ("matched_low", {"matched": integers([-3, 1, 2])}, "matched should be in -2..2, got -3 at image 0, anchor 0"),
    ("no_objects", {"gt_boxes": BOXES[:0]}, "matched should be in -2..-1, got 0 at image 0, anchor 0"),
    ("mode", {"mode": "IoU"}, "mode should be iou, iof, giou, diou or ciou, got IoU"),
]

EVERY_ROW = [
    *rows(box_iou, *BOX_IOU, *PAIRWISE_ONLY),
    *rows(aligned_box_iou, *BOX_IOU, *ALIGNED_ONLY),
    *rows(matched_box_iou, *MATCHED_BOX_IOU),
    *rows(decode_boxes, *DECODE_BOXES),
    *rows(match_anchors, *MATCH_ANCHORS),
    *rows(batched_nms, *BATCHED_NMS),
    *rows(score_voting, *SCORE_VOTING),
]


@pytest.mark.parametrize(("function", "arguments", "message"), EVERY_ROW)
def test_the_error_is(function, arguments, message, monkeypatch):
    assert_error_is(function, arguments, message, monkeypatch)
