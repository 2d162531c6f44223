"""Laws of the element-wise losses.

Results are equal bit for bit, except where a comment gives a reason.
"""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from colad_ops import (
    focal_kl_loss,
    sigmoid_focal_loss,
)
from python_tests.properties.options import LOSSES
from python_tests.support.op_contract import assert_same
from python_tests.support.property_checks import HALF_TYPES, value_and_gradients
from python_tests.support.strategies import generators, laws

COUNTS = st.integers(0, 12)


@st.composite
def logits_and_labels(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor]:
    """Student and teacher logits ``(N, 4)``, some extreme, some equal, and labels -2..4."""
    generator = draw(generators())
    count, scale = draw(COUNTS), draw(st.sampled_from([0.01, 2.0, 30.0, 1e4]))
    student, teacher = (torch.randn(count, 4, generator=generator) * scale for _ in range(2))
    teacher = torch.where(torch.rand(count, 4, generator=generator) < 0.2, student, teacher)
    return student, teacher, torch.randint(-2, 5, (count,), generator=generator)


GAMMAS = st.sampled_from([0.0, 0.3, 0.5, 1.0, 2.0, 2.5])


@laws(150)
@given(logits_and_labels(), GAMMAS, st.sampled_from([0.0, 1e-6]), st.sampled_from([torch.float32, torch.float64]))
def test_focal_kl_is_a_divergence(inputs, gamma, smooth, dtype):
    """The loss is never negative. It is 0 and flat where student and teacher agree. It is the same for complementary
    probabilities. Its gradient points from the teacher to the student."""
    student, teacher = (x.to(dtype) for x in inputs[:2])
    options = {"gamma": gamma, "smooth": smooth, "reduction": "none"}
    loss, (grad,) = value_and_gradients(lambda x: focal_kl_loss(x, teacher, **options), student)
    assert loss.isfinite().all() and grad.isfinite().all()
    assert (loss >= 0).all()
    equal = student == teacher
    assert not loss[equal].any() and not grad[equal].any()
    apart = (student.sigmoid() - teacher.sigmoid()).abs() > 1e-3
    assert (loss[apart] > 0).all()
    # A saturated student is flat.
    seen = apart & (student.abs() < 15)
    assert_same(grad.sign()[seen], (student - teacher).sign()[seen])
    assert not (grad.sign() * (student - teacher).sign() < 0).any()
    mirrored, (mirrored_grad,) = value_and_gradients(lambda x: focal_kl_loss(x, -teacher, **options), -student)
    assert_same((mirrored, mirrored_grad), (loss, -grad))
    if smooth == 0:  # |p_t - p_s| is at most 1
        steeper = focal_kl_loss(student, teacher, **{**options, "gamma": gamma + 1})
        assert (steeper <= loss * (1 + 1e-5)).all()


@laws()
@given(logits_and_labels(), GAMMAS, st.sampled_from([-1.0, 0.25]))
def test_focal_loss_laws(inputs, gamma, alpha):
    """Both background labels give the same loss, label -2 gives 0, and classes may be permuted. With a one-hot teacher
    the focal-KL loss is the focal loss without alpha."""
    student, _, labels = inputs
    options = {"gamma": gamma, "alpha": alpha, "reduction": "none"}
    loss, (grad,) = value_and_gradients(lambda x: sigmoid_focal_loss(x, labels, **options), student)
    assert (loss >= 0).all() and loss.isfinite().all() and grad.isfinite().all()
    assert not loss[labels == -2].any() and not grad[labels == -2].any()
    other_background = torch.where(labels == 4, -1, torch.where(labels == -1, 4, labels))
    assert_same(sigmoid_focal_loss(student, other_background, **options), loss)
    new_class = torch.tensor([2, 0, 3, 1, 4])
    moved = torch.where(labels >= 0, new_class[labels.clamp(min=0)], labels)
    assert_same(sigmoid_focal_loss(student[:, new_class[:4].argsort()], moved, **options)[:, new_class[:4]], loss)
    one_hot = (labels[:, None] == torch.arange(4)).float()
    divergence = focal_kl_loss(student, one_hot, gamma=gamma, teacher_is_logits=False, reduction="none")
    without_alpha = sigmoid_focal_loss(student, labels, alpha=-1.0, gamma=gamma, reduction="none")
    counted = labels != -2
    assert_same(divergence[counted], without_alpha[counted], rtol=2e-5, atol=1e-6)


@st.composite
def loss_inputs(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor]:
    """Student logits, the teacher's probabilities in sixteenths (exact in every dtype), labels."""
    student, teacher, labels = draw(logits_and_labels())
    return student, (16 * teacher.sigmoid()).round() / 16, labels


@laws()
@given(generators(), loss_inputs(), LOSSES, st.booleans(), st.floats(0, 100))
def test_weights_and_reductions(generator, inputs, loss, by_row, avg_factor):
    """Weights multiply, a weight of 0 excludes even NaN, and elements may be permuted. Sums round as float32."""
    student, probs, labels = inputs
    weight = torch.rand(len(student), *[] if by_row else [4], generator=generator)
    weight = torch.where(weight < 0.3, 0, weight)
    columns = weight.unsqueeze(-1) if by_row else weight
    plain = loss(*inputs, reduction="none")
    weighted = loss(*inputs, reduction="none", weight=weight)
    assert_same(weighted, plain * columns)
    spoilt = torch.where(columns == 0, torch.nan, student)
    assert_same(loss(spoilt, probs, labels, reduction="none", weight=weight), weighted)
    order = torch.randperm(len(student), generator=generator)
    assert_same(
        loss(student[order], probs[order], labels[order], reduction="none", weight=weight[order]), weighted[order]
    )
    total, close = weighted.double().sum(), {"rtol": 3e-7, "atol": 1e-30}
    assert_same(loss(*inputs, weight=weight), total.float(), **close)
    assert_same(loss(*inputs, weight=weight, reduction="mean"), (total / max(student.numel(), 1)).float(), **close)
    for factor in (avg_factor, torch.tensor(avg_factor)):
        assert_same(loss(*inputs, weight=weight, avg_factor=factor), (total / max(avg_factor, 1)).float(), **close)


@laws()
@given(loss_inputs(), LOSSES, HALF_TYPES)
def test_losses_of_half_types_are_rounded_once(inputs, loss, dtype):
    """A sum is float32, so it is not rounded to the half type."""
    student, probs, labels = inputs[0].to(dtype), inputs[1].to(dtype), inputs[2]
    for reduction, rounded in (("none", dtype), ("sum", torch.float32)):
        half, full = (
            value_and_gradients(lambda x, p=p, r=reduction: loss(x, p, labels, reduction=r), x)
            for x, p in ((student, probs), (student.float(), probs.float()))
        )
        assert_same(half, (full[0].to(rounded), (full[1][0].to(dtype),)))


# Suppression and voting
