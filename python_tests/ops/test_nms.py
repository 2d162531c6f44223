import pytest
import torch

from colad_ops import batched_nms, box_iou
from python_tests.support.cases.nms import BatchedNmsCases, SortedNmsCases
from python_tests.support.op_contract import OpContract
from python_tests.support.scenes import detections


class TestBatchedNms(BatchedNmsCases, OpContract):
    pass


class TestSortedNms(SortedNmsCases, OpContract):
    pass


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


@pytest.mark.parametrize("threshold", [0.05, 0.1, 0.2, 0.3, 0.6])
def test_an_iou_that_rounds_above_the_threshold_suppresses(threshold):
    """The float32 IoU is compared with the threshold in double, as torchvision does on the CPU."""
    boxes = torch.tensor([[0.0, 0, 100, 10], [0, 0, 100 * threshold, 10]])
    iou = torch.tensor(threshold, dtype=torch.float32).item()
    kept = batched_nms(boxes, torch.tensor([2.0, 1.0]), torch.zeros(2, dtype=torch.int64), threshold)
    assert kept.tolist() == ([0] if iou > threshold else [0, 1])
