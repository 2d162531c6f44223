import pytest
import torch

from colad_ops import aligned_box_iou, matched_box_iou
from colad_ops.ops.iou import MODES
from python_tests.support.cases.iou import boxes
from python_tests.support.cases.matched_iou import MatchedBoxIouCases
from python_tests.support.op_contract import GradientContract
from python_tests.support.property_checks import value_and_gradients


class TestMatchedBoxIou(MatchedBoxIouCases, GradientContract):
    pass


@pytest.mark.parametrize("mode", MODES)
def test_values_and_derivatives_are_those_of_gathered_objects_bit_for_bit(mode):
    anchors, objects = boxes(900, 1).view(3, 300, 4), boxes(11, 2)
    matched = torch.randint(-2, 11, (3, 300), generator=torch.Generator().manual_seed(3))
    found = value_and_gradients(lambda x: matched_box_iou(x, objects, matched, mode=mode), anchors)
    gathered = value_and_gradients(lambda x: aligned_box_iou(x, objects[matched.clamp(min=0)], mode), anchors)
    where = matched >= 0
    assert found[0].equal(gathered[0].where(where, 0))
    assert found[1][0][where].equal(gathered[1][0][where]) and (found[1][0][~where] == 0).all()


def test_boxes_without_an_object_may_be_anything():
    """Their value and gradient are 0 also where the box is NaN, or the incoming gradient."""
    anchors = torch.tensor([[[torch.nan] * 4, [0.0, 0, 4, 4], [torch.inf] * 4]], requires_grad=True)
    overlap = matched_box_iou(anchors, torch.tensor([[0.0, 0, 4, 2]]), torch.tensor([[-1, 0, -2]]))
    assert overlap.tolist() == [[0.0, 0.5, 0.0]]
    (gradient,) = torch.autograd.grad(overlap, anchors, torch.tensor([[torch.nan, 1.0, torch.inf]]))
    assert (gradient[0, [0, 2]] == 0).all() and (gradient[0, 1] != 0).any()


def test_objects_get_no_gradient():
    anchors, objects = boxes(5, 1)[None].requires_grad_(), boxes(3, 2).requires_grad_()
    matched = torch.tensor([[0, 1, 2, -1, 0]])
    matched_box_iou(anchors, objects, matched).sum().backward()
    assert objects.grad is None and anchors.grad.abs().sum() > 0
    assert not matched_box_iou(anchors.detach(), objects, matched).requires_grad


def test_a_second_derivative_is_refused():
    anchors = torch.tensor([[[0.0, 0, 4, 4]]], requires_grad=True)
    value = matched_box_iou(anchors, torch.tensor([[1.0, 1, 5, 5]]), torch.tensor([[0]])).square().sum()
    (gradient,) = torch.autograd.grad(value, anchors, create_graph=True)
    with pytest.raises(RuntimeError, match="matched_box_iou is differentiable once"):
        gradient.square().sum().backward()
