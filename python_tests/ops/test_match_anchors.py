import torch

from colad_ops import match_anchors
from python_tests.support.cases.match_anchors import MatchAnchorsCases
from python_tests.support.op_contract import NoSyncContract
from python_tests.support.scenes import make_scene


class TestMatchAnchors(MatchAnchorsCases, NoSyncContract):
    pass


def test_images_are_independent():
    scene = make_scene([3, 0, 5, 1])
    together = match_anchors(scene.anchors, scene.gt_boxes, scene.gt_offsets).matched
    for b in range(4):
        first, last = scene.gt_offsets[b : b + 2].tolist()
        alone = match_anchors(scene.anchors, scene.gt_boxes[first:last], torch.tensor([0, last - first])).matched[0]
        assert torch.where(together[b] >= 0, together[b] - first, together[b]).equal(alone)


def test_inclusive_corners_are_edges_one_pixel_further():
    scene = make_scene([3, 5])
    far = torch.tensor([0, 0, 1, 1])
    inclusive = match_anchors(scene.anchors, scene.gt_boxes, scene.gt_offsets, inclusive_corners=True)
    edges = match_anchors(scene.anchors + far, scene.gt_boxes + far, scene.gt_offsets)
    assert inclusive.matched.equal(edges.matched) and inclusive.iou.equal(edges.iou)
