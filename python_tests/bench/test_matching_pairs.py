"""The count of what the warps of the matching kernels meet."""

from bench.workload.batch import SMALL, make_workload
from bench.workload.matching_pairs import WARP, matching_pairs
from colad_ops import box_iou


def test_pairs_that_overlap_are_among_those_that_are_met():
    w = make_workload(**SMALL)
    found = matching_pairs(w)
    assert found.warps == -(-len(w.anchors) // WARP) and found.pairs == found.warps * len(w.gt_boxes)
    overlaps = box_iou(w.anchors, w.gt_boxes) > 0
    assert found.overlapping == sum(int(rows.any(dim=0).sum()) for rows in overlaps.split(WARP))
    assert found.overlapping <= found.met <= found.pairs
    assert 0 < found.most_of_first <= found.most_of_second <= len(w.gt_boxes)
