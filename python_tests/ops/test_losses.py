import pytest
import torch

import colad_ops
from colad_ops import focal_kl_loss, sigmoid_focal_loss
from python_tests.support.cases.focal_kl import FocalKlLossCases
from python_tests.support.cases.focal_loss import SigmoidFocalLossCases
from python_tests.support.loss_inputs import labels, rows
from python_tests.support.op_contract import GradientContract, RecordOperators


class LossContract(GradientContract):
    # A sum adds in memory order, so the last bits for a map and for rows may differ. These cases have many elements;
    # numerical derivatives one by one would be slow, since they are computed in double for every dtype.
    not_for = {
        "test_does_not_depend_on_strides": ("sum_of_maps",),
        "test_gradcheck_in_double": ("_of_maps", "_of_packs"),
    }

    @classmethod
    def cases_of(cls, law):
        return [case for case in super().cases_of(law) if not any(x in case.name for x in cls.not_for.get(law, ()))]


class TestSigmoidFocalLoss(SigmoidFocalLossCases, LossContract):
    pass


class TestFocalKlLoss(FocalKlLossCases, LossContract):
    pass


def test_a_one_hot_teacher_makes_it_the_focal_loss_without_alpha():
    x, y = rows(20, 5, dtype=torch.float64), torch.arange(20) % 5
    teacher = torch.nn.functional.one_hot(y, 5).double()
    kl = focal_kl_loss(x, teacher, teacher_is_logits=False, reduction="none")
    torch.testing.assert_close(kl, sigmoid_focal_loss(x, y, alpha=-1.0, reduction="none"), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("teacher_is_logits", [True, False])
def test_focal_kl_is_finite_where_it_is_hard(gamma, teacher_is_logits):
    """Huge logits, certain teachers, and students that equal their teachers."""
    logits = torch.tensor([-1e4, -200.0, -30.0, -1.0, 0.0, 1e-6, 2.0, 88.0, 1e4])
    x = logits[:, None].expand(9, 9).clone().requires_grad_()
    teacher = logits if teacher_is_logits else logits.sigmoid()
    loss = focal_kl_loss(x, teacher.expand(9, 9), gamma=gamma, teacher_is_logits=teacher_is_logits, reduction="none")
    loss.sum().backward()
    assert loss.isfinite().all() and (loss >= 0).all() and x.grad.isfinite().all()
    assert (loss.diagonal()[3:7] == 0).all() or not teacher_is_logits


def test_weight_zero_silences_nan():
    x, weight = rows(4, 5), torch.ones(4)
    x[1, 2], weight[1] = torch.nan, 0
    for loss in (
        lambda x: sigmoid_focal_loss(x, labels(4, classes=5), weight=weight),
        lambda x: focal_kl_loss(x, rows(4, 5, seed=1), weight=weight),
    ):
        leaf = x.clone().requires_grad_()
        loss(leaf).backward()
        assert leaf.grad.isfinite().all() and (leaf.grad[1] == 0).all()


def test_ignored_and_background_labels():
    x = rows(3, 4)
    loss = sigmoid_focal_loss(x, torch.tensor([-2, -1, 4]), reduction="none")
    assert (loss[0] == 0).all()
    assert loss[1].equal(sigmoid_focal_loss(x[1:2], torch.tensor([4]), reduction="none")[0])


@pytest.mark.parametrize("loss", ["sigmoid_focal_loss", "focal_kl_loss"])
def test_a_map_seen_as_rows_is_not_copied(loss):
    """(B, H, W, C) as a permuted NCHW map is read in place and gives the same value."""
    logits = torch.randn(2, 5, 4, 6).permute(0, 2, 3, 1)
    other = (
        torch.randint(-2, 6, (2, 4, 6)) if loss == "sigmoid_focal_loss" else torch.randn(2, 5, 4, 6).permute(0, 2, 3, 1)
    )
    with RecordOperators() as record:
        found = getattr(colad_ops, loss)(logits, other)
    (_, args, _), *_ = record.calls
    assert args[0].data_ptr() == logits.data_ptr()
    torch.testing.assert_close(found, getattr(colad_ops, loss)(logits.contiguous(), other.contiguous()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_device_scalar_of_another_dtype_leaves_the_loss_float32(dtype):
    logits, labels = torch.randn(6, 3), torch.zeros(6, dtype=torch.int64)
    factor = torch.tensor(3.0, dtype=dtype, requires_grad=True)
    loss = sigmoid_focal_loss(logits, labels, avg_factor=factor)
    assert loss.dtype == torch.float32 and not loss.requires_grad


@pytest.mark.parametrize("loss", ["sigmoid_focal_loss", "focal_kl_loss"])
def test_a_second_derivative_is_refused(loss):
    logits = torch.randn(4, 3, requires_grad=True)
    other = torch.zeros(4, dtype=torch.int64) if loss == "sigmoid_focal_loss" else torch.randn(4, 3)
    total = getattr(colad_ops, loss)(logits, other, reduction="none").square().sum()
    (gradient,) = torch.autograd.grad(total, logits, create_graph=True)
    with pytest.raises(RuntimeError, match=f"{loss} is differentiable once, got a request for its second derivative"):
        gradient.square().sum().backward()


@pytest.mark.parametrize("loss", ["sigmoid_focal_loss", "focal_kl_loss"])
def test_a_gradient_of_another_shape_is_named(loss):
    logits = torch.zeros(100, 8)
    other = torch.zeros(100, dtype=torch.int64) if loss == "sigmoid_focal_loss" else logits
    backward = getattr(torch.ops.colad, f"{loss}_backward")
    with pytest.raises(RuntimeError, match=r"grad should have shape \(\) or that of the logits, got \(1, 1\)"):
        backward(torch.ones(1, 1), logits, other)
