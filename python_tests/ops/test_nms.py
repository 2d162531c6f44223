import pytest
import torch
from op_contract import Case, NoSyncContract, OpContract
from scenes import random_boxes

from colad_ops import batched_nms, box_iou, score_voting
from colad_ops.ops.nms import batched_nms_reference
from colad_ops.ops.score_voting import score_voting_reference


def detections(count, classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    boxes = random_boxes(generator, count, 60.0, 10.0)
    scores = (torch.rand(count, generator=generator) * 20).round() / 20  # with ties
    return boxes, scores, torch.randint(0, classes, (count,), generator=generator)


class TestBatchedNms(OpContract):
    operator, reference = staticmethod(batched_nms), staticmethod(batched_nms_reference)

    @classmethod
    def cases(cls):
        boxes, scores, labels = detections(60)
        return [
            *(Case(f"iou_{t}", boxes, scores, labels, t, representative=t == 0.5) for t in (0.0, 0.3, 0.5, 1.0)),
            Case("float64", boxes.double(), scores.double(), labels, 0.4),
            Case("float16", boxes.half(), scores.half(), labels, 0.4),
            Case("images", boxes, scores, labels, 0.3, image_offsets=torch.tensor([0, 25, 25, 60])),
            Case("negative_labels", boxes, scores, labels - 7, 0.3),
            Case("duplicates", boxes.repeat(2, 1), scores.repeat(2), labels.repeat(2), 0.5),
            Case("none", boxes[:0], scores[:0], labels[:0], 0.5),
        ]


def test_kept_boxes_do_not_overlap_and_dropped_ones_do():
    boxes, scores, labels = detections(80, seed=1)
    keep = batched_nms(boxes, scores, labels, 0.4)
    assert scores[keep].equal(scores[keep].sort(descending=True).values)
    overlap = (box_iou(boxes, boxes) > 0.4) & (labels[:, None] == labels)
    kept = torch.zeros(80, dtype=torch.bool)
    kept[keep] = True
    assert not (overlap & kept[:, None] & kept & ~torch.eye(80, dtype=torch.bool)).any()
    better = (scores[:, None] > scores) | ((scores[:, None] == scores) & (torch.arange(80)[:, None] < torch.arange(80)))
    assert (overlap & better & kept[:, None]).any(dim=0)[~kept].all()


class TestScoreVoting(NoSyncContract):
    operator, reference = staticmethod(score_voting), staticmethod(score_voting_reference)

    @classmethod
    def cases(cls):
        boxes, scores, labels = detections(12, seed=2)
        all_boxes, _, _ = detections(50, seed=3)
        all_scores = torch.rand(50, 3, generator=torch.Generator().manual_seed(4))
        case = (boxes, scores, labels, all_boxes, all_scores)
        return [
            Case("default", *case, representative=True),
            Case("float64", *(x.double() if x.is_floating_point() else x for x in case)),
            Case("float16", *(x.half() if x.is_floating_point() else x for x in case), tolerance=0.05),
            Case("sharp", *case, sigma=0.001, iou_threshold=0.3, score_threshold=0.5),
            Case("nobody_votes", *case, score_threshold=2.0),
            Case("no_voters", boxes, scores, labels, all_boxes[:0], all_scores[:0], representative=True),
            Case("nothing_kept", boxes[:0], scores[:0], labels[:0], all_boxes, all_scores),
        ]


def test_a_box_without_area_stays_as_it_is():
    """It overlaps nothing, not even itself: mmdetection makes it NaN."""
    box = torch.tensor([[10.0, 10.0, 10.0, 30.0]])
    result = score_voting(box, torch.ones(1), torch.zeros(1, dtype=torch.int64), box, torch.ones(1, 1))
    assert result.boxes.equal(box)


@pytest.mark.parametrize("threshold", [0.05, 0.1, 0.2, 0.3, 0.6])
def test_an_iou_that_rounds_above_the_threshold_suppresses(threshold):
    """The float IoU is compared with the threshold as given, as torchvision does on the CPU."""
    boxes = torch.tensor([[0.0, 0, 100, 10], [0, 0, 100 * threshold, 10]])
    iou = torch.tensor(threshold, dtype=torch.float32).item()
    kept = batched_nms(boxes, torch.tensor([2.0, 1.0]), torch.zeros(2, dtype=torch.int64), threshold)
    assert kept.tolist() == ([0] if iou > threshold else [0, 1])
