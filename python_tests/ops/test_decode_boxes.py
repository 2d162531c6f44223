import math

import pytest
import torch

from colad_ops import decode_boxes
from python_tests.support.cases.decode_boxes import (
    DTYPES,
    DecodeBoxesCases,
    DecodeLevelsCases,
    anchors,
    normal,
    several,
)
from python_tests.support.op_contract import GradientContract, assert_same


class TestDecodeBoxes(DecodeBoxesCases, GradientContract):
    pass


class TestDecodeLevels(DecodeLevelsCases, GradientContract):
    pass


def torchvision_decode(boxes, rel_codes, weights, bbox_xform_clip):
    """``BoxCoder.decode_single`` of torchvision, for one image."""
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    ctr_x, ctr_y = boxes[:, 0] + 0.5 * widths, boxes[:, 1] + 0.5 * heights
    wx, wy, ww, wh = weights
    dx, dy, dw, dh = rel_codes[:, 0] / wx, rel_codes[:, 1] / wy, rel_codes[:, 2] / ww, rel_codes[:, 3] / wh
    dw, dh = torch.clamp(dw, max=bbox_xform_clip), torch.clamp(dh, max=bbox_xform_clip)
    pred_ctr_x, pred_ctr_y = dx * widths + ctr_x, dy * heights + ctr_y
    pred_w, pred_h = torch.exp(dw) * widths, torch.exp(dh) * heights
    half_w, half_h = 0.5 * pred_w, 0.5 * pred_h
    return torch.stack((pred_ctr_x - half_w, pred_ctr_y - half_h, pred_ctr_x + half_w, pred_ctr_y + half_h), dim=1)


def mmdetection_decode(rois, deltas, means, stds, wh_ratio_clip):
    """``delta2bbox`` of mmdetection 3, without ``max_shape``, ``add_ctr_clamp`` and ``ctr_clamp``."""
    deltas = deltas * deltas.new_tensor(stds).view(1, -1) + deltas.new_tensor(means).view(1, -1)
    dxy, dwh = deltas[:, :2], deltas[:, 2:]
    pxy, pwh = (rois[:, :2] + rois[:, 2:]) * 0.5, rois[:, 2:] - rois[:, :2]
    dxy_wh = pwh * dxy
    max_ratio = abs(math.log(wh_ratio_clip))
    dwh = dwh.clamp(min=-max_ratio, max=max_ratio)
    gxy, gwh = pxy + dxy_wh, pwh * dwh.exp()
    return torch.cat([gxy - gwh * 0.5, gxy + gwh * 0.5], dim=-1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_torchvision(dtype):
    """Its clamp has no lower end; these deltas stay above ours."""
    a, deltas = anchors(1000).to(dtype), normal(1000, 4).to(dtype)
    deltas[:50, 2:] = 40  # over the upper end
    leaf, other = deltas.clone().requires_grad_(), deltas.clone().requires_grad_()
    ours = decode_boxes(a, leaf)
    theirs = torchvision_decode(a, other, (10.0, 10.0, 5.0, 5.0), math.log(1000.0 / 16))
    assert_close_with_gradient(ours, theirs, leaf, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_mmdetection(dtype):
    a, deltas = anchors(1000).to(dtype), normal(1000, 4).to(dtype)
    deltas[:50, 2:], deltas[50:100, 2:] = 40, -40
    leaf, other = deltas.clone().requires_grad_(), deltas.clone().requires_grad_()
    ours = decode_boxes(a, leaf)
    theirs = mmdetection_decode(a, other, (0.0, 0.0, 0.0, 0.0), (0.1, 0.1, 0.2, 0.2), 16 / 1000)
    assert_close_with_gradient(ours, theirs, leaf, other)


def assert_close_with_gradient(ours, theirs, leaf, other):
    rtol, atol = (1e-5, 1e-3) if ours.dtype == torch.float32 else (1e-13, 1e-11)
    assert ours.detach().abs().max() > 1000  # atol is 1e-6 of the largest box
    torch.testing.assert_close(ours, theirs, rtol=rtol, atol=atol)
    grad = torch.randn(ours.shape, generator=torch.Generator().manual_seed(3)).to(ours.dtype)
    gradients = [torch.autograd.grad(boxes, x, grad)[0] for boxes, x in ((ours, leaf), (theirs, other))]
    torch.testing.assert_close(*gradients, rtol=10 * rtol, atol=atol)


def test_by_hand():
    a = torch.tensor([[0.0, 0.0, 10.0, 20.0]])
    moved = decode_boxes(a, torch.tensor([[1.0, -1.0, 0.0, 0.0]]))
    torch.testing.assert_close(moved, torch.tensor([[1.0, -2.0, 11.0, 18.0]]))
    grown = decode_boxes(a, torch.tensor([[0.0, 0.0, math.log(2) / 0.2, 0.0]]))
    torch.testing.assert_close(grown, torch.tensor([[-5.0, 0.0, 15.0, 20.0]]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_are_of_the_compute_type_and_gradients_of_the_deltas(dtype):
    deltas = normal(5, 4).to(dtype).requires_grad_()
    boxes = decode_boxes(anchors(5), deltas)
    assert boxes.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    boxes.sum().backward()
    assert deltas.grad.dtype == dtype


def as_map(rows):
    """The same rows, with each channel an array in memory."""
    return rows.transpose(1, 2).contiguous().transpose(1, 2)


@pytest.mark.parametrize("layout", [torch.clone, as_map], ids=["rows", "maps"])
def test_halves_are_converted_exactly(layout):
    """CPUs have instructions for it. All halves, and gradients of every size, in pieces of every length."""
    every = torch.arange(-(2**15), 2**15).to(torch.int16).view(torch.float16).view(1, -1, 4)
    lengths = [*range(1, 40), 16384 - sum(range(1, 40))]
    halves = [layout(x).requires_grad_() for x in every.split(lengths, dim=1)]
    floats = [x.detach().float().requires_grad_() for x in halves]
    generator = torch.Generator().manual_seed(4)
    sizes = (14 * torch.randn(1, 16384, 4, generator=generator)).exp2()  # of which some overflow, and some vanish
    ties = torch.randint(-4096, 4096, (1, 16384, 4), generator=generator).float()
    a = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).repeat(16384, 1)
    for grad in (sizes, ties):
        results, gradients = [], []
        for k in range(0, len(lengths), 10):  # an operator takes 16 levels
            first = sum(lengths[:k])
            count = sum(lengths[k : k + 10])
            part = slice(first, first + count)
            for deltas in (halves[k : k + 10], floats[k : k + 10]):
                boxes = decode_boxes(a[part], deltas, stds=(1.0, 1.0, 1.0, 1.0))
                results.append(boxes.detach())
                gradients.append(torch.autograd.grad(boxes, deltas, grad[:, part]))
        for of_halves, of_floats in zip(results[::2], results[1::2]):
            assert_same(of_halves, of_floats)
        for of_halves, of_floats in zip(gradients[::2], gradients[1::2]):
            assert_same(of_halves, [x.half() for x in of_floats])


def test_nan_moves_its_own_axis_only():
    deltas = torch.zeros(4, 4)
    deltas.fill_diagonal_(math.nan)
    found = decode_boxes(anchors(4), deltas).isnan().tolist()
    assert found == [[True, False, True, False], [False, True, False, True]] * 2


def test_the_clamp_has_derivative_one_at_its_ends_and_zero_outside():
    end = float(torch.tensor(math.log(4.0)))
    values = torch.tensor([-2 * end, -end, 0.0, end, 2 * end, math.nan])
    deltas = torch.stack([torch.zeros(6), torch.zeros(6), values, values], dim=1).requires_grad_()
    boxes = decode_boxes(torch.tensor([[0.0, 0, 8, 8]]).repeat(6, 1), deltas, stds=(1, 1, 1, 1), max_ratio=4.0)
    (gradient,) = torch.autograd.grad((boxes[:, 2:] - boxes[:, :2]).sum(), deltas)
    torch.testing.assert_close(gradient[:, 2], torch.tensor([0.0, 2.0, 8.0, 32.0, 0.0, 0.0]))
    assert gradient[:, 3].equal(gradient[:, 2])


@pytest.mark.parametrize("shapes", [1, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_autograd_hands_the_gradient_of_a_map_on_without_a_copy(shapes, dtype):
    """The gradient of the view has the order of the map, so the gradient of the map is a view of it."""
    maps = [normal(2, 4 * shapes, h, w).to(dtype).requires_grad_() for h, w in ((5, 7), (2, 3))]
    views = [several(m, shapes) if shapes > 1 else m.flatten(2).transpose(1, 2) for m in maps]
    of_views = []
    for view in views:
        view.register_hook(of_views.append)
    decode_boxes(anchors(41 * shapes), views).square().sum().backward()
    assert all(m.grad.stride() == m.stride() for m in maps)
    assert sorted(x.data_ptr() for x in of_views) == sorted(m.grad.data_ptr() for m in maps)


def test_anchors_get_no_gradient():
    a, deltas = anchors(3).requires_grad_(), normal(3, 4).requires_grad_()
    boxes = decode_boxes(a, deltas)
    assert torch.autograd.grad(boxes.sum(), (a, deltas), allow_unused=True)[0] is None
    assert not decode_boxes(a, deltas.detach()).requires_grad


def test_levels_may_need_no_gradient():
    first, second = normal(2, 3, 4), normal(2, 2, 4).requires_grad_()
    decode_boxes(anchors(5), [first, second]).sum().backward()
    alone = second.detach().clone().requires_grad_()
    decode_boxes(anchors(5)[3:], alone).sum().backward()
    assert second.grad.equal(alone.grad)


def test_the_registered_derivative_is_that_of_the_function():
    """Eager calls take a shorter way than torch.library's."""
    levels = [normal(2, 3, 4).requires_grad_(), normal(2, 2, 4).requires_grad_()]
    for options in ({}, {"max_ratio": 4.0}, {"stds": [1.0, 1.0, 1.0, 1.0]}):
        ours = torch.autograd.grad(decode_boxes(anchors(5), levels, **options).square().sum(), levels)
        registered = torch.ops.colad.decode_boxes(anchors(5), levels, **options)
        for a, b in zip(ours, torch.autograd.grad(registered.square().sum(), levels)):
            assert a.equal(b)


def test_a_second_derivative_is_refused():
    deltas = normal(3, 4).requires_grad_()
    (gradient,) = torch.autograd.grad(decode_boxes(anchors(3), deltas).square().sum(), deltas, create_graph=True)
    with pytest.raises(RuntimeError, match="decode_boxes is differentiable once"):
        gradient.square().sum().backward()


def test_gradients_under_compile_are_those_of_eager():
    a, maps = anchors(22), [normal(2, 4, h, w).requires_grad_() for h, w in ((4, 5), (1, 2))]

    def loss(*maps):
        return decode_boxes(a, [m.flatten(2).transpose(1, 2) for m in maps]).square().sum()

    eager = torch.autograd.grad(loss(*maps), maps)
    compiled = torch.compile(loss, fullgraph=True, dynamic=True, backend="aot_eager")
    for x, y in zip(torch.autograd.grad(compiled(*maps), maps), eager):
        assert x.equal(y)
