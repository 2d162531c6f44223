"""Cases of ``batched_nms``."""

import torch
from torch import Tensor

from colad_ops import batched_nms
from colad_ops.ops.nms import batched_nms_of_sorted_boxes, batched_nms_reference
from python_tests.support.op_contract import Case
from python_tests.support.scenes import detections


class BatchedNmsCases:
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
            Case("far_labels", boxes, scores, labels * 2**61, 0.3),
            Case("integer_scores", boxes, (scores * 8).to(torch.int32), labels, 0.3),
            Case("duplicates", boxes.repeat(2, 1), scores.repeat(2), labels.repeat(2), 0.5),
            Case("none", boxes[:0], scores[:0], labels[:0], 0.5),
            *tiled_cases(),
        ]


def tiled_cases() -> list[Case]:
    """More boxes than a tile of the CUDA kernels has; groups that end within a tile and that go through several."""
    boxes, scores, labels = detections(210, seed=5)
    with_nan = boxes.clone()
    with_nan[::9, 1] = torch.nan
    one_class, few_large = torch.zeros_like(labels), (torch.arange(210) % 50 == 0).long()
    return [
        Case("one_class", boxes, scores, one_class, 0.5),
        Case("three_classes", boxes, scores, labels, 0.3),
        Case("a_large_class_after_a_small_one", boxes, scores, 1 - few_large, 0.5),
        Case("boxes_with_nan", with_nan, scores, one_class, 0.5),
        Case("float64_one_class", boxes.double(), scores.double(), one_class, 0.5),
    ]


class SortedNmsCases(BatchedNmsCases):
    """The same by ``nms_keep``, as on a device other than the CPU."""

    @staticmethod
    def operator(
        boxes: Tensor,
        scores: Tensor,
        labels: Tensor,
        iou_threshold: float = 0.6,
        image_offsets: Tensor | None = None,
    ) -> Tensor:
        return batched_nms_of_sorted_boxes(boxes, scores, labels, image_offsets, iou_threshold)
