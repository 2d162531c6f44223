import pytest
import torch
from op_contract import Case, GradientContract
from scenes import random_boxes

from colad_ops import aligned_box_iou, box_iou
from colad_ops.ops.iou import MODES, aligned_box_iou_reference, box_iou_reference

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
# Ties of corners, and CIoU's alpha, which is a constant in the derivative but not in differences.
KINKS = tuple(f"special_{mode}" for mode in MODES) + tuple(f"ciou_{str(dtype)[6:]}" for dtype in DTYPES)


def boxes(count, seed, size=100.0):
    return random_boxes(torch.Generator().manual_seed(seed), count, size)


def special() -> torch.Tensor:
    """Identical, touching, nested, empty, inverted and far apart boxes."""
    rows = [
        (0, 0, 10, 10),
        (0, 0, 10, 10),
        (10, 0, 20, 10),
        (2, 2, 5, 5),
        (3, 3, 3, 3),
        (3, 3, 3, 9),
        (9, 9, 1, 1),
        (500, 0, 510, 9),
    ]
    return torch.tensor(rows, dtype=torch.float32)


class TestBoxIou(GradientContract):
    operator, reference = staticmethod(box_iou), staticmethod(box_iou_reference)
    differentiable = (0, 1)
    kinks = KINKS

    @classmethod
    def cases(cls):
        yield_cases = [
            Case(
                f"{mode}_{str(dtype)[6:]}",
                boxes(9, 1).to(dtype),
                boxes(7, 2).to(dtype),
                mode=mode,
                representative=dtype == torch.float32,
            )
            for mode in MODES
            for dtype in DTYPES
        ]
        yield_cases += [Case(f"special_{mode}", special(), special(), mode=mode) for mode in MODES]
        yield_cases += [
            Case("batched", boxes(12, 3).view(3, 4, 4), boxes(15, 4).view(3, 5, 4), mode="giou", representative=True),
            Case("broadcast", boxes(8, 3).view(2, 1, 4, 4), boxes(15, 4).view(3, 5, 4), mode="iou"),
            Case("no_rows", boxes(0, 1), boxes(3, 2), mode="giou", representative=True),
            Case("no_columns", boxes(3, 1), boxes(0, 2), mode="giou"),
        ]
        return yield_cases


class TestAlignedBoxIou(GradientContract):
    operator, reference = staticmethod(aligned_box_iou), staticmethod(aligned_box_iou_reference)
    differentiable = (0, 1)
    kinks = KINKS

    @classmethod
    def cases(cls):
        pairs = [(a, b) for a in range(8) for b in range(8)]
        first, second = special()[[a for a, _ in pairs]], special()[[b for _, b in pairs]]
        return [
            *(
                Case(
                    f"{mode}_{str(dtype)[6:]}",
                    boxes(20, 1).to(dtype),
                    boxes(20, 2).to(dtype),
                    mode=mode,
                    representative=dtype == torch.float32,
                )
                for mode in MODES
                for dtype in DTYPES
            ),
            *(Case(f"special_{mode}", first, second, mode=mode) for mode in MODES),
            Case("batched", boxes(12, 3).view(3, 4, 4), boxes(12, 4).view(3, 4, 4), mode="diou", representative=True),
            Case("broadcast", boxes(4, 3), boxes(12, 4).view(3, 4, 4), mode="iou"),
            Case("empty", boxes(0, 1), boxes(0, 2), mode="ciou"),
        ]


def test_ciou_gradient_treats_alpha_as_a_constant():
    """Differences of the whole would include alpha's: hold it and compare with the differences of diou - alpha * v."""
    a, b = boxes(6, 5).double().requires_grad_(), boxes(6, 6).double()
    aligned_box_iou(a, b, "ciou").sum().backward()
    expected = a.detach().clone().requires_grad_()
    aligned_box_iou_reference(expected, b, "ciou").sum().backward()
    torch.testing.assert_close(a.grad, expected.grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("mode", ["iou", "iof", "giou", "diou"])
@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6, 1e10])
def test_gradients_scale_with_the_boxes(mode, scale):
    """A square of an area leaves float32 long before the gradient does."""
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
