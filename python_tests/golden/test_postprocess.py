"""Golden set ``postprocess``: mmdetection's candidates, NMS and score voting, array by array."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from colad_ops import batched_nms
from colad_ops.detection import PostProcess
from python_tests.golden import golden_sets
from python_tests.golden.golden_table import Recording
from python_tests.support.detection_cases import golden_predictions

INPUTS = ("strides", "feat_hw", "level_sizes", "num_classes", "img_shape", "scale_factor_wh", "rescale", "nms_pre")
INPUTS += ("score_thr", "iou_threshold", "max_per_img", "anchors", "cls_logits", "bbox_deltas", "iou_logits")


def golden_postprocess(arrays: dict[str, np.ndarray], **changes) -> PostProcess:
    options = {
        "score_threshold": float(arrays["score_thr"]),
        "pre_nms": int(arrays["nms_pre"]),
        "iou_threshold": float(arrays["iou_threshold"]),
        "max_detections": int(arrays["max_per_img"]),
    }
    return PostProcess(**{**options, **changes})


def image_sizes(arrays: dict[str, np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(arrays["img_shape"]).long().expand(arrays["cls_logits"].shape[0], 2)


def in_original_pixels(boxes: torch.Tensor, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Divides by the scale of the picture. The reference does this first; IoU and weighted means do not depend on the
    order."""
    return (boxes / torch.from_numpy(arrays["scale_factor_wh"]).float().repeat(2)).numpy()


NO_VOTERS = "boxes without a voter, which the reference makes NaN"
ROUNDED = "boxes of images where rounding in the reference's offset trick, or equal scores, decide"


@pytest.mark.parametrize("name", golden_sets.cases("postprocess"))
def test_every_array(name: str) -> None:
    arrays = golden_sets.load(name)
    record = Recording("postprocess", "-", name, arrays)
    record.leave(*INPUTS)
    compare_candidates(record, arrays, topk_order_is_open=name.endswith("nmspre.npz"))
    compare_operators(record, arrays)
    compare_detections(record, arrays)
    record.complete()


def compare_candidates(record: Recording, arrays: dict[str, np.ndarray], topk_order_is_open: bool) -> None:
    """Compares the candidates before any threshold."""
    boxes, scores = golden_postprocess(arrays).candidates(golden_predictions(arrays), image_sizes(arrays))
    record.same("pre_offsets", np.arange(len(boxes) + 1) * boxes.shape[1])
    found = np.concatenate([in_original_pixels(boxes, arrays), scores.numpy()], axis=2).reshape(-1, 4 + scores.shape[2])
    if topk_order_is_open:  # the order of equal scores is not defined, so rows are compared as sets
        theirs = np.concatenate([arrays["pre_boxes"], golden_scores(arrays)], axis=1)
        ordered = np.empty_like(found)
        ordered[np.lexsort(theirs.round(3).T)] = found[np.lexsort(found.round(3).T)]
        found = ordered
    record.near("pre_boxes", found[:, :4], atol=1e-4, rtol=2e-7)  # decode_boxes and torch round in another order
    np.testing.assert_allclose(found[:, 4:], golden_scores(arrays), rtol=1e-5, atol=1e-7)
    record.leave("pre_scores", "pre_score_factors")  # ours are their geometric mean, just compared


def golden_scores(arrays: dict[str, np.ndarray]) -> np.ndarray:
    return np.sqrt(arrays["pre_scores"] * arrays["pre_score_factors"][:, None])


def compare_operators(record: Recording, arrays: dict[str, np.ndarray]) -> None:
    """Compares NMS of the recorded candidates."""
    options = golden_postprocess(arrays)
    flat, kept, above = [], [], []
    for begin, end in pairwise(arrays["pre_offsets"]):
        boxes, scores = (
            torch.from_numpy(arrays["pre_boxes"][begin:end]),
            torch.from_numpy(golden_scores(arrays)[begin:end]),
        )
        row, label = (scores > options.score_threshold).nonzero(as_tuple=True)
        above.append(len(row))
        keep = batched_nms(boxes[row], scores[row, label], label, options.iou_threshold)[: options.max_detections]
        row, label = row[keep], label[keep]
        flat.append(row * scores.shape[1] + label)
        kept.append((boxes[row], scores[row, label], label))
    record.same("num_above_thr", above)
    record.same("nms_offsets", np.cumsum([0, *map(len, flat)]))
    exact = np.repeat(arrays["nms_agrees_exact"], np.diff(arrays["nms_offsets"]))
    record.leave("nms_agrees_exact")
    record.same("nms_flat_index", torch.cat(flat).numpy(), where=exact, reason=ROUNDED)
    boxes, scores, labels = (torch.cat(parts).numpy() for parts in zip(*kept))
    if len(np.unique(scores)) > 1:  # if all scores are equal, their order decides, and the reference does not define it
        assert len(np.intersect1d(torch.cat(flat), arrays["nms_flat_index"])) >= 0.95 * len(np.unique(torch.cat(flat)))
    record.near("nms_boxes", boxes, where=exact[:, None])
    record.near("nms_scores", scores, rtol=5e-7)
    record.same("nms_labels", labels, where=exact, reason=ROUNDED)


def compare_detections(record: Recording, arrays: dict[str, np.ndarray]) -> None:
    """Compares everything from predictions to detections. The voted boxes of the reference are sorted by class, then by
    descending score."""
    predictions, sizes = golden_predictions(arrays), image_sizes(arrays)
    plain, voted = (golden_postprocess(arrays, voting=voting)(predictions, sizes) for voting in (False, True))
    assert all(torch.equal(a.scores, b.scores) and (a.scores.diff() <= 0).all() for a, b in zip(plain, voted))
    by_class = [torch.argsort(found.labels, stable=True) for found in voted]
    record.same("voted_offsets", np.cumsum([0, *map(len, voted)]))
    exact = np.repeat(arrays["nms_agrees_exact"], np.diff(arrays["voted_offsets"]))
    labels, scores = (
        torch.cat([getattr(f, k)[i] for f, i in zip(voted, by_class)]).numpy() for k in ("labels", "scores")
    )
    record.same("voted_labels", labels, where=exact, reason=ROUNDED)
    record.near("voted_scores", scores, rtol=5e-7, where=exact)
    before, after = (
        in_original_pixels(torch.cat([f.boxes[i] for f, i in zip(found, by_class)]), arrays) for found in (plain, voted)
    )
    no_voters = np.isnan(arrays["voted_boxes"]).any(axis=1)  # the reference divides 0 by 0 where a box is empty
    record.near("voted_boxes", after, atol=1e-3, where=(exact & ~no_voters)[:, None])
    record.line.different[NO_VOTERS] += int(no_voters.sum())
    np.testing.assert_array_equal(after[no_voters & exact], before[no_voters & exact])
