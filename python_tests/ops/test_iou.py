import pytest
import torch

from colad_ops import aligned_box_iou, box_iou
from colad_ops.ops.iou import aligned_box_iou_reference
from python_tests.support.cases.iou import AlignedBoxIouCases, BoxIouCases, boxes
from python_tests.support.op_contract import GradientContract


class TestBoxIou(BoxIouCases, GradientContract):
    pass


class TestAlignedBoxIou(AlignedBoxIouCases, GradientContract):
    pass


def test_ciou_gradient_treats_alpha_as_a_constant():
    """Differences of CIoU would include the derivative of alpha. So alpha is fixed, and the gradient is compared with
    differences of diou - alpha * v."""
    a, b = boxes(6, 5).double().requires_grad_(), boxes(6, 6).double()
    aligned_box_iou(a, b, "ciou").sum().backward()
    expected = a.detach().clone().requires_grad_()
    aligned_box_iou_reference(expected, b, "ciou").sum().backward()
    torch.testing.assert_close(a.grad, expected.grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("mode", ["iou", "iof", "giou", "diou"])
@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6, 1e10])
def test_gradients_scale_with_the_boxes(mode, scale):
    """The square of an area overflows or underflows float32 long before the gradient does."""
    gradients = []
    for factor in (1.0, scale):
        boxes = torch.tensor([0.0, 0, 2, 2]) * factor
        aligned_box_iou(boxes.requires_grad_(), torch.tensor([1.0, 1, 3, 3]) * factor, mode).backward()
        gradients.append(boxes.grad * factor)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-5, atol=1e-6)


def test_a_second_derivative_is_refused():
    boxes = torch.tensor([[0.0, 0, 4, 4]], requires_grad=True)
    value = aligned_box_iou(boxes, torch.tensor([[1.0, 1, 5, 5]])).square().sum()
    (gradient,) = torch.autograd.grad(value, boxes, create_graph=True)
    with pytest.raises(RuntimeError, match="aligned_box_iou is differentiable once"):
        gradient.square().sum().backward()


def test_boxes_that_lie_unaligned_in_memory_are_the_same_boxes():
    values = torch.rand(4 * 7 + 1) * 50
    odd = values[1:].view(7, 4)
    assert odd.data_ptr() % 16 != 0
    assert box_iou(odd, odd.clone()).equal(box_iou(odd.clone(), odd.clone()))
