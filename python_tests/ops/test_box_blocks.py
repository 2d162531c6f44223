"""Operators that skip blocks of 64 boxes which overlap nothing, against their references, which have no blocks."""

import pytest
import torch

from colad_ops import aligned_box_iou, box_iou, match_anchors
from colad_ops.ops.iou import MODES, aligned_box_iou_reference, box_iou_reference
from colad_ops.ops.match_anchors import match_anchors_reference
from python_tests.support.edge_case_boxes import EDGE_CASES, INF, seeded_boxes, with_edge_cases
from python_tests.support.scenes import random_boxes

COUNTS = (0, 1, 15, 16, 17, 63, 64, 65, 200)  # sizes around a vector and a block


def row_of_boxes(count, step=8.0, size=8.0):
    """A row of boxes; neighbours touch but do not overlap."""
    x = torch.arange(count) * step
    return torch.stack([x, torch.zeros(count), x + size, torch.full((count,), size)], dim=1)


def assert_same_match(*arguments, **options):
    ours = match_anchors(*arguments, **options)
    reference = match_anchors_reference(*arguments, **options)
    assert torch.equal(ours.matched, reference.matched)
    torch.testing.assert_close(ours.iou, reference.iou)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("low_quality", ["all", "own", "none"])
@pytest.mark.parametrize("claim_zero_overlap", [False, True])
@pytest.mark.parametrize("threshold", [-2.0, 0.0, 0.1, 0.5])
def test_matching_of_edge_cases(count, low_quality, claim_zero_overlap, threshold):
    generator = torch.Generator().manual_seed(1)
    objects = torch.cat([torch.tensor(EDGE_CASES), random_boxes(generator, 70), torch.tensor(EDGE_CASES)])
    offsets = torch.tensor([0, 3, 13, 13, 60, len(objects)])
    anchors = with_edge_cases(seeded_boxes(count))
    valid = torch.rand(5, count, generator=generator) < 0.7
    options = {
        "low_quality": low_quality, "claim_zero_overlap": claim_zero_overlap, "iou_threshold": threshold,
    }  # fmt: skip
    assert_same_match(anchors, objects, offsets, **options)
    assert_same_match(anchors.double(), objects.double(), offsets, **options)
    assert_same_match(anchors, objects, offsets, valid=valid[0], **options)
    assert_same_match(anchors, objects, offsets, valid=valid, **options)


@pytest.mark.parametrize("iof", [-1.0, 0.0, 0.3, 1.0, INF])
@pytest.mark.parametrize("count", COUNTS)
def test_ignore_boxes_of_edge_cases(count, iof):
    generator = torch.Generator().manual_seed(2)
    anchors = with_edge_cases(seeded_boxes(count))
    crowd = torch.cat([torch.tensor(EDGE_CASES), random_boxes(generator, 5)])
    for valid in (None, torch.rand(2, count, generator=generator) < 0.7):
        assert_same_match(
            anchors,
            random_boxes(generator, 3),
            torch.tensor([0, 1, 3]),
            valid=valid,
            ignore_boxes=crowd,
            ignore_offsets=torch.tensor([0, 13, len(crowd)]),
            ignore_iof=iof,
        )


def test_objects_that_touch_a_block_take_nothing_of_it():
    anchors = row_of_boxes(128)
    edge = 64 * 8.0
    objects = torch.tensor([(edge - 8, 8.0, edge, 16.0), (edge, 0.0, edge + 8, 8.0), (edge - 4, 0, edge + 4, 8)])
    assert_same_match(anchors, objects, torch.tensor([0, 3]))


def test_a_tie_across_blocks_is_claimed_in_all_of_them():
    anchors = torch.tensor([(0.0, 0.0, 100.0, 100.0)]).repeat(200, 1)
    anchors[70:130] += 1000  # the blocks between have no candidates, or a few
    objects = torch.tensor([(40.0, 40.0, 44.0, 44.0), (0.0, 0.0, 50.0, 50.0)])
    for low_quality in ("all", "own"):
        assert_same_match(anchors, objects, torch.tensor([0, 2]), low_quality=low_quality, iou_threshold=0.9)


def test_more_objects_than_are_tested_at_a_time():
    anchors = seeded_boxes(300)
    objects = seeded_boxes(101)
    assert_same_match(anchors, objects, torch.tensor([0, 32, 65, 65, 101]), low_quality="all")
    assert_same_match(anchors, objects, torch.tensor([0, 101]), low_quality="own", claim_zero_overlap=True)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("count", COUNTS)
def test_pairwise_iou_of_edge_cases(mode, dtype, count):
    """Finite boxes and NaN."""
    generator = torch.Generator().manual_seed(3)
    edge_cases = torch.tensor(EDGE_CASES)
    edge_cases = edge_cases[~(edge_cases.abs() > 1e4).any(dim=1)]
    many = with_edge_cases(seeded_boxes(count), every=5)
    many = many[~(many.abs() > 1e4).any(dim=1)].to(dtype)
    few = torch.cat([edge_cases, random_boxes(generator, 20)]).to(dtype)
    for first, second in ((many, few), (few, many)):
        expected = box_iou_reference(first, second, mode)
        torch.testing.assert_close(box_iou(first, second, mode), expected, equal_nan=True)
        both = first[: len(second)], second[: len(first)]
        expected = aligned_box_iou_reference(*both, mode)
        torch.testing.assert_close(aligned_box_iou(*both, mode), expected, equal_nan=True)


@pytest.mark.parametrize("mode", ["iou", "iof"])
def test_pairwise_iou_of_infinite_boxes(mode):
    boxes = torch.cat([torch.tensor(EDGE_CASES), seeded_boxes(130)])
    for first, second in ((boxes, boxes), (boxes[:40], boxes), (boxes, boxes[:40])):
        torch.testing.assert_close(box_iou(first, second, mode), box_iou_reference(first, second, mode), equal_nan=True)


def test_batches_smaller_and_larger_than_a_block():
    generator = torch.Generator().manual_seed(4)
    for n, m in ((3, 5), (20, 20), (2, 300), (300, 2), (64, 64), (260, 256), (260, 257)):
        first = random_boxes(generator, 4 * n).view(4, n, 4)
        second = random_boxes(generator, 4 * m).view(4, m, 4)
        torch.testing.assert_close(box_iou(first, second), box_iou_reference(first, second))
