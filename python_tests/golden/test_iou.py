"""Golden set ``iou``: mmdetection's overlaps, losses and gradients.

Two cases are excluded, because ``bbox_overlaps`` of mmdetection defines them differently. An inverted box has a
negative area there; here it is empty. Denominators are clamped to at least 1e-6 there; here only a denominator of 0 is
special. The IoU loss of mmdetection clamps the IoU to at least 1e-6, and has no gradient below.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from colad_ops import aligned_box_iou, box_iou
from python_tests.golden import golden_sets
from python_tests.golden.golden_table import Recording

SET = "iou/iou.npz"
DTYPES = pytest.mark.parametrize("dtype", ["f32", "f64"])
TORCH_DTYPE = {"f32": torch.float32, "f64": torch.float64}
ATOL = {"f32": 5e-7, "f64": 1e-13}
LOSSES = pytest.mark.parametrize(("mode", "loss_weight"), [("giou", 1.3), ("iou", 1.0)])


def areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def same_meaning(first: np.ndarray, second: np.ndarray, mode: str) -> np.ndarray:
    """Pairs of boxes that are not inverted and whose denominators are not clamped."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    upright = np.logical_and(*((boxes[..., 2:] >= boxes[..., :2]).all(-1) for boxes in (first, second)))
    if mode == "iof":
        return upright & ((areas(first) == 0) | (areas(first) >= 1e-6))
    larger = np.maximum(areas(first), areas(second))  # the union and the hull are at least as large
    return upright & (larger >= 1e-6)


def tensors(arrays: dict[str, np.ndarray], prefix: str, dtype: str) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.from_numpy(arrays[f"{prefix}_boxes{k}"]).to(TORCH_DTYPE[dtype]) for k in (1, 2))


def loss_and_gradient(
    arrays: dict[str, np.ndarray], dtype: str, mode: str, weight: float
) -> tuple[np.ndarray, np.ndarray]:
    first, second = tensors(arrays, "al", dtype)
    loss = weight * (1 - aligned_box_iou(first.requires_grad_(), second, mode))
    loss.sum().backward()
    return loss.detach().numpy(), first.grad.numpy()


def test_every_array() -> None:
    arrays = golden_sets.load(SET)
    record = Recording("iou", "-", SET, arrays)
    record.leave("al_boxes1", "al_boxes2", "al_family", "family_names", "pw_boxes1", "pw_boxes2", "eps")
    # mmdetection computes in float16, where areas overflow. Our operator computes in float32 and rounds once.
    record.leave(*(key for key in arrays if key.endswith("_f16")))
    for dtype in TORCH_DTYPE:
        for mode in ("iou", "giou", "iof"):
            compared = same_meaning(arrays["al_boxes1"], arrays["al_boxes2"], mode)
            aligned = aligned_box_iou(*tensors(arrays, "al", dtype), mode).numpy()
            record.near(f"al_{mode}_{dtype}", aligned, atol=ATOL[dtype], where=compared)
            of_pairs = same_meaning(arrays["pw_boxes1"][:, None], arrays["pw_boxes2"], mode)
            pairwise = box_iou(*tensors(arrays, "pw", dtype), mode).numpy()
            record.near(f"pw_{mode}_{dtype}", pairwise, atol=ATOL[dtype], where=of_pairs)
            assert compared.mean() > 0.75 and of_pairs.mean() > 0.75
        for mode, weight in (("giou", 1.3), ("iou", 1.0)):
            loss, gradient = loss_and_gradient(arrays, dtype, mode, weight)
            compared = same_meaning(arrays["al_boxes1"], arrays["al_boxes2"], mode)
            near = {"rtol": 1e-5, "atol": 1e-6}
            record.near(f"al_{mode}_loss_{dtype}", loss, **near, where=compared)
            if mode == "iou":
                compared &= arrays["al_iou_f64"] > 1e-6
            assert compared.mean() > 0.5
            record.near(f"al_{mode}_loss_grad_{dtype}", gradient, **near, where=compared[:, None])
    record.complete()


@DTYPES
def test_inverted_boxes_overlap_nothing(dtype: str) -> None:
    """Inverted boxes have no overlap and IoU 0. They are compared where the reference has the same result."""
    arrays = golden_sets.load(SET)
    inverted = arrays["family_names"][arrays["al_family"]] == "inverted"
    found = aligned_box_iou(*tensors(arrays, "al", dtype)).numpy()
    np.testing.assert_array_equal(found[inverted], arrays[f"al_iou_{dtype}"][inverted])


@DTYPES
@LOSSES
def test_gradients_are_finite_for_every_pair(dtype: str, mode: str, loss_weight: float) -> None:
    _, gradient = loss_and_gradient(golden_sets.load(SET), dtype, mode, loss_weight)
    assert np.isfinite(gradient).all()
