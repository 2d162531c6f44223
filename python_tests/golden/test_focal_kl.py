"""Golden set ``focal_kl``: the official FocalKLLoss, and in 60 digits its formula and the paper's equation (1)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from colad_ops import focal_kl_loss
from python_tests.golden import golden_sets
from python_tests.golden.golden_table import Recording

SET = "focal_kl/focal_kl.npz"
GAMMAS = pytest.mark.parametrize(("suffix", "gamma"), [(0, 2.0), (1, 0.5), (2, 1.0)])
SMOOTH = 1e-6  # of the official code


def loss_and_gradient(
    arrays: dict[str, np.ndarray], dtype: torch.dtype, gamma: float, smooth: float
) -> tuple[np.ndarray, np.ndarray]:
    student, teacher = (torch.from_numpy(arrays[key]).to(dtype).unsqueeze(1) for key in ("logit", "target"))
    student.requires_grad_()
    loss = focal_kl_loss(student, teacher, gamma=gamma, teacher_is_logits=False, smooth=smooth, reduction="none")
    loss.sum().backward()
    return loss.detach().numpy()[:, 0], student.grad.numpy()[:, 0]


@GAMMAS
def test_every_array(suffix: int, gamma: float) -> None:
    arrays = golden_sets.load(SET)
    assert arrays["gammas"][suffix] == gamma
    keys = [key for key in arrays if key.endswith(f"_{suffix}")]
    record = Recording("focal_kl", f"gamma={gamma:g}", SET, {key: arrays[key] for key in keys})
    record.leave(
        f"eq1_grad_detached_weight_{suffix}"
    )  # our gradient goes through the focal weight, as in the official code
    for dtype, names in ((torch.float64, ("official_f64", "smooth")), (torch.float32, ("official_f32", "smooth"))):
        exact = dtype == torch.float64
        loss, gradient = (
            ({"atol": 1e-12},) * 2 if exact else ({"rtol": 1e-5, "atol": 2e-6}, {"rtol": 1e-4, "atol": 2e-6})
        )
        for reference, smooth in ((names[0], SMOOTH), (names[1], SMOOTH), ("eq1", 0.0)):
            of_loss = {"atol": 1.3e-5} if reference == "official_f32" else loss  # the official code's error
            found = loss_and_gradient(arrays, dtype, gamma, smooth)
            record.near(f"{reference}_loss_{suffix}", found[0], **of_loss)
            record.near(f"{reference}_grad_{suffix}", found[1], **gradient)
    compare_reductions(record, arrays, suffix, gamma)
    record.complete()


def compare_reductions(record: Recording, arrays: dict[str, np.ndarray], suffix: int, gamma: float) -> None:
    """Compares the first 336 pairs as (48, 7), with a weight for each row. ``loss_weight`` of the official module
    multiplies the result."""
    weight = {"weight": torch.from_numpy(arrays["red_weight"])}
    averaged = {"avg_factor": torch.from_numpy(arrays["red_avg_factor"].reshape(1))[0]}
    for name, options in {
        "red_mean": {"reduction": "mean"},
        "red_mean_avg": {"reduction": "mean", **averaged},
        "red_mean_weight_avg": {"reduction": "mean", **weight, **averaged},
        "red_sum_weight": {"reduction": "sum", **weight},
    }.items():
        student, teacher = (torch.from_numpy(arrays[key][:336]).view(48, 7) for key in ("logit", "target"))
        options = {"gamma": gamma, "teacher_is_logits": False, "smooth": SMOOTH, **options}
        loss = float(arrays["red_loss_weight"]) * focal_kl_loss(student.requires_grad_(), teacher, **options)
        loss.backward()
        record.near(f"{name}_{suffix}", loss.item(), rtol=1e-5, atol=2e-6)
        record.near(f"{name}_grad_{suffix}", student.grad.numpy(), rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_arrays_without_gamma(dtype: torch.dtype, tolerance: float) -> None:
    """The divergence itself is the loss with gamma 0."""
    arrays = golden_sets.load(SET)
    keys = [key for key in arrays if not key.endswith(("_0", "_1", "_2"))]
    record = Recording("focal_kl", "gamma=0", SET, {key: arrays[key] for key in keys})
    record.leave(
        "logit", "target", "family", "family_names", "gammas", "red_weight", "red_avg_factor", "red_loss_weight"
    )
    record.near(
        "kl", loss_and_gradient(arrays, dtype, 0.0, 0.0)[0], rtol=tolerance, atol=2e-6 if tolerance > 1e-6 else 1e-12
    )
    record.complete()
