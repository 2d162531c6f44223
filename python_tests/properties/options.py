"""Options of the operators, and losses with one signature, for hypothesis to draw."""

from __future__ import annotations

from hypothesis import strategies as st
from torch import Tensor

from colad_ops import focal_kl_loss, sigmoid_focal_loss

IOU_MODES = st.sampled_from(["iou", "iof", "giou", "diou", "ciou"])

MIXTURES = st.fixed_dictionaries(
    {
        "covariance": st.sampled_from(["full", "tied"]),
        "max_iter": st.sampled_from([1, 3, 100]),
        "tol": st.sampled_from([0.0, 1e-3]),
        "reg_covar": st.sampled_from([1e-6, 1e-2]),
    }
)


def _focal_kl_of_logits(student: Tensor, probs: Tensor, labels: Tensor, **options) -> Tensor:
    return focal_kl_loss(student, (8 * probs - 4), **options)


def _focal_kl_of_probs(student: Tensor, probs: Tensor, labels: Tensor, **options) -> Tensor:
    return focal_kl_loss(student, probs, teacher_is_logits=False, gamma=1.0, smooth=1e-6, **options)


def _focal(student: Tensor, probs: Tensor, labels: Tensor, **options) -> Tensor:
    return sigmoid_focal_loss(student, labels, **options)


LOSSES = st.sampled_from([_focal_kl_of_logits, _focal_kl_of_probs, _focal])
