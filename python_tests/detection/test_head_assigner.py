"""HeadAssigner: from the maps and targets of a head of one's own to labels, boxes and normalisers."""

from __future__ import annotations

import pytest
import torch

from colad_ops import AssignConfig, aligned_box_iou, paa_assign
from colad_ops.detection import HeadAssigner, flatten_maps
from colad_ops.detection.head_assigner import scaled
from python_tests.support.scenes import make_scene

CLASSES = 5
PRESETS = pytest.mark.parametrize("preset", [AssignConfig, AssignConfig.mmdet, AssignConfig.kkhoot])


def scene_and_targets(objects=(3, 0, 4)):
    scene = make_scene(list(objects), classes=CLASSES)
    targets = [
        {"boxes": scene.gt_boxes[first:last], "labels": scene.gt_labels[first:last]}
        for first, last in zip(scene.gt_offsets[:-1].tolist(), scene.gt_offsets[1:].tolist())
    ]
    return scene, targets


def assign(scene, targets, config=AssignConfig(), **options):
    levels = scene.logits.split(scene.level_sizes, dim=1)
    return HeadAssigner(CLASSES, config)(levels, scene.boxes, scene.anchors, targets, **options)


@PRESETS
def test_the_labels_of_paa_assign(preset):
    scene, targets = scene_and_targets()
    taught = assign(scene, targets, preset())
    objects = scene.gt_boxes, scene.gt_labels, scene.gt_offsets
    expected = paa_assign(scene.logits, scene.boxes, scene.anchors, scene.level_sizes, *objects, preset())
    assert torch.equal(taught.labels, expected.labels(CLASSES))
    assert torch.equal(taught.boxes(), expected.boxes())
    assert taught.num_pos == expected.num_pos_total > 0 and taught.num_pos.dtype == torch.float32
    assert [level.shape[1] for level in taught.per_level(taught.labels)] == scene.level_sizes


@PRESETS
def test_a_crowd_is_ignored_and_no_object(preset):
    scene, targets = scene_and_targets((3, 4))
    with_crowd = [{**target, "iscrowd": torch.zeros_like(target["labels"])} for target in targets]
    with_crowd[1]["iscrowd"][2] = 1
    config = preset(ignore_iof=0.5)
    taught = assign(scene, with_crowd, config)
    keep = torch.arange(7) != 5
    offsets = torch.tensor([0, 3, 6])
    crowd = {"ignore_boxes": scene.gt_boxes[5:6], "ignore_offsets": torch.tensor([0, 0, 1])}
    objects = scene.gt_boxes[keep], scene.gt_labels[keep], offsets
    expected = paa_assign(scene.logits, scene.boxes, scene.anchors, scene.level_sizes, *objects, config, **crowd)
    assert torch.equal(taught.labels, expected.labels(CLASSES)) and (taught.labels == -2).any()
    assert torch.equal(taught.boxes(), expected.boxes())
    assert taught.assignment.num_pos[5] == 0


def test_a_batch_where_only_one_image_has_crowds():
    scene, targets = scene_and_targets((3, 4))
    targets[0]["iscrowd"] = torch.tensor([False, True, False])
    assert assign(scene, targets).assignment.num_pos.tolist()[1] == 0


def test_positives_are_the_rows_of_the_positive_anchors():
    scene, targets = scene_and_targets()
    taught = assign(scene, targets)
    rows = taught.positives()
    present = rows.present.bool()
    assert torch.stack([rows.image, rows.anchor])[:, present].equal(taught.positive.nonzero().T)
    assert rows.boxes[present].equal(taught.boxes()[taught.positive])
    assert rows.boxes[~present].eq(torch.tensor([0.0, 0.0, 1.0, 1.0])).all() and not present.all()
    assert len(rows.image) <= 7 * 9 * len(scene.level_sizes)


def test_no_object_has_no_positives():
    scene, targets = scene_and_targets((0, 0))
    taught = assign(scene, targets)
    assert taught.num_pos == 1 and len(taught.positives().image) == 0
    assert taught.labels.eq(CLASSES).all() and taught.iou(scene.boxes).eq(0).all()


def test_iou_with_the_object_of_each_anchor():
    scene, targets = scene_and_targets()
    taught = assign(scene, targets)
    boxes = scene.boxes.clone().requires_grad_()
    found = taught.iou(boxes, mode="giou")
    expected = aligned_box_iou(scene.boxes, taught.boxes(), "giou")
    assert torch.equal(found[taught.positive], expected[taught.positive])
    assert found[~taught.positive].eq(0).all()
    found.sum().backward()
    assert boxes.grad[~taught.positive].eq(0).all() and boxes.grad[taught.positive].ne(0).any()


def test_maps_with_several_anchors_a_location():
    """The order of torchvision's and mmdetection's heads: rows, columns, anchors of the location."""
    maps = torch.arange(2 * 6 * 2 * 3).reshape(2, 6, 2, 3)
    (rows,) = flatten_maps([maps], 2)
    assert rows.shape == (2, 18, 2)
    for image, y, x, k in [(0, 0, 0, 0), (1, 1, 2, 1), (1, 0, 1, 2)]:
        assert rows[image, (y * 3 + x) * 3 + k].tolist() == maps[image, 2 * k : 2 * k + 2, y, x].tolist()
    (view,) = flatten_maps([maps], 6)
    assert view.data_ptr() == maps.data_ptr() and view[1, 4].tolist() == maps[1, :, 1, 1].tolist()


def test_anchors_are_scaled_about_their_centres():
    anchors = torch.tensor([[0.0, 0.0, 8.0, 4.0]])
    assert scaled(anchors, 2.0).tolist() == [[-4.0, -2.0, 12.0, 6.0]]
    assert scaled(anchors, 1.0) is anchors


def test_errors():
    scene, targets = scene_and_targets((3, 4))
    targets[1]["iscrowd"] = torch.zeros(3)
    with pytest.raises(ValueError, match=r"targets\[1\]\['iscrowd'\] should have shape \(4,\), got \(3,\)"):
        assign(scene, targets)
    with pytest.raises(ValueError, match="num_classes should be at least 1, got 0"):
        HeadAssigner(0)
    with pytest.raises(ValueError, match="anchor_scale should be positive, got 0"):
        HeadAssigner(1, anchor_scale=0)
    with pytest.raises(ValueError, match=r"maps\[1\] should have shape \(B, K \* 2, H, W\) or .*, got \(1, 3, 4, 4\)"):
        flatten_maps([torch.zeros(1, 2, 8, 8), torch.zeros(1, 3, 4, 4)], 2)
