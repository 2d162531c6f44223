"""Cases of ``batched_nms``."""

import torch

from colad_ops import batched_nms
from colad_ops.ops.nms import batched_nms_reference
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
            Case("duplicates", boxes.repeat(2, 1), scores.repeat(2), labels.repeat(2), 0.5),
            Case("none", boxes[:0], scores[:0], labels[:0], 0.5),
        ]
