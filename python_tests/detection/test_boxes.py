"""Anchors and the box coder, by hand and against the golden sets."""

from __future__ import annotations

import math

import pytest
import torch

from colad_ops.detection import AnchorGrid, DeltaCoder
from python_tests.golden import golden_sets


@pytest.mark.parametrize("name", golden_sets.cases("paa_assign"))
def test_anchors_and_validity_are_the_references(name: str) -> None:
    arrays = golden_sets.load(name)
    grid = AnchorGrid(tuple(int(stride) for stride in arrays["strides"]))
    height, width = (int(side) for side in arrays["batch_hw"])
    sizes = grid.feature_sizes(height, width)
    assert sizes == tuple(map(tuple, arrays["feat_hw"].tolist()))
    anchors = grid(sizes, torch.device("cpu"))
    assert anchors.level_sizes == tuple(arrays["level_sizes"].tolist())
    assert torch.equal(anchors.boxes, torch.from_numpy(arrays["anchors"]))
    valid = anchors.valid(torch.from_numpy(arrays["pad_shape"]).long())
    assert torch.equal(valid, torch.from_numpy(arrays["valid"]))


def test_anchors_by_hand() -> None:
    anchors = AnchorGrid((8, 16), scale=3.0)([(1, 2), (1, 1)], torch.device("cpu"))
    expected = [[-12, -12, 12, 12], [-4, -12, 20, 12], [-24, -24, 24, 24]]
    assert anchors.boxes.tolist() == expected
    assert anchors.level_sizes == (2, 1)
    assert anchors.valid(torch.tensor([[8, 8], [8, 9]])).tolist() == [[True, False, True], [True, True, True]]


def test_anchors_born_in_inference_mode_can_train() -> None:
    grid = AnchorGrid((8,), scale=1.234)  # a scale of its own: nothing else has filled this cache entry
    with torch.inference_mode():
        grid([(2, 2)], torch.device("cpu"))
    anchors = grid([(2, 2)], torch.device("cpu"))
    deltas = torch.zeros(4, 4, requires_grad=True)
    (anchors.boxes * DeltaCoder().decode(anchors.boxes, deltas)).sum().backward()  # keeps the anchors for backward
    assert deltas.grad is not None and not anchors.points.is_inference()


@pytest.mark.parametrize("strides, scale, named", [((), 8, "strides"), ((8, 0), 8, "strides"), ((8,), 0, "scale")])
def test_bad_grids_are_named(strides: tuple[int, ...], scale: float, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        AnchorGrid(strides, scale)
    with pytest.raises(ValueError, match="feature_sizes"):
        AnchorGrid((8, 16))([(2, 2)], torch.device("cpu"))


def test_decode_by_hand() -> None:
    anchors = torch.tensor([[0.0, 0.0, 10.0, 20.0]])
    moved = DeltaCoder().decode(anchors, torch.tensor([[1.0, -1.0, 0.0, 0.0]]))
    torch.testing.assert_close(moved, torch.tensor([[1.0, -2.0, 11.0, 18.0]]))
    grown = DeltaCoder().decode(anchors, torch.tensor([[0.0, 0.0, math.log(2) / 0.2, 0.0]]))
    torch.testing.assert_close(grown, torch.tensor([[-5.0, 0.0, 15.0, 20.0]]))


def test_sides_are_clamped_both_ways() -> None:
    anchors = torch.tensor([[0.0, 0.0, 16.0, 16.0]])
    boxes = DeltaCoder().decode(anchors, torch.tensor([[0.0, 0.0, 1e6, -1e6]]))
    sides = boxes[:, 2:] - boxes[:, :2]
    torch.testing.assert_close(sides, torch.tensor([[1000.0, 16 * 16 / 1000]]))


def test_encode_is_the_inverse() -> None:
    generator = torch.Generator().manual_seed(0)
    corner, size = torch.rand(2, 50, 2, dtype=torch.float64, generator=generator) * 100 + 1
    anchors = torch.cat([corner, corner + size], dim=1)
    deltas = torch.randn(3, 50, 4, dtype=torch.float64, generator=generator)
    coder = DeltaCoder()
    torch.testing.assert_close(coder.encode(anchors, coder.decode(anchors, deltas)), deltas)


def test_half_deltas_decode_in_float32() -> None:
    anchors = torch.tensor([[1000.0, 1000.0, 1064.0, 1064.0]])
    deltas = torch.tensor([[0.3, -0.2, 0.1, 0.5]], dtype=torch.float16)
    boxes = DeltaCoder().decode(anchors, deltas)
    assert boxes.dtype == torch.float32
    torch.testing.assert_close(boxes, DeltaCoder().decode(anchors, deltas.float()))


def test_decode_gradient() -> None:
    generator = torch.Generator().manual_seed(1)
    anchors = torch.tensor([[0.0, 0.0, 10.0, 20.0], [5.0, 5.0, 30.0, 9.0]], dtype=torch.float64)
    deltas = torch.randn(2, 2, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    assert torch.autograd.gradcheck(lambda values: DeltaCoder().decode(anchors, values), (deltas,))
