"""From predictions to detected objects: scores, suppression of duplicates, score voting."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .. import batched_nms, score_voting
from .predictions import Predictions


@dataclass(frozen=True)
class Detections:
    """The ``K`` objects found in one image, best score first.

    Attributes:
        boxes: (K, 4) float32 xyxy pixels.
        scores: (K,) float32 in (0, 1).
        labels: (K,) int64 class indices.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return self.scores.shape[0]


@dataclass(frozen=True)
class PostProcess:
    """PAA's post-processing. It syncs the device, because the number of detections depends on the data.

    Args:
        score_threshold: a box is a detection of a class when ``sqrt(p_class * p_iou)`` is above this.
        pre_nms: boxes kept of each level, those of highest score in any class; this comes first.
        iou_threshold: when two boxes of a class have a larger IoU, the one of lower score is dropped.
        max_detections: largest number of objects returned of each image.
        voting: move a kept box to the mean of its class's boxes, weighted by score and overlap (score voting).
        voting_sigma: width of that weight in ``(1 - IoU)^2``.
        voting_iou: boxes of larger IoU with the kept box take part in the mean.
    """

    score_threshold: float = 0.05
    pre_nms: int = 1000
    iou_threshold: float = 0.6
    max_detections: int = 100
    voting: bool = True
    voting_sigma: float = 0.025
    voting_iou: float = 0.01

    @torch.no_grad()
    def __call__(self, predictions: Predictions, image_sizes: Tensor) -> list[Detections]:
        """Detections of each image, boxes clipped to ``image_sizes (B, 2)`` int64, ``(height, width)``."""
        if image_sizes.shape != (predictions.batch_size, 2):
            raise ValueError(
                f"image_sizes should have shape ({predictions.batch_size}, 2), got {tuple(image_sizes.shape)}"
            )
        boxes, scores = self.candidates(predictions, image_sizes)
        return [self._detect(image_boxes, image_scores) for image_boxes, image_scores in zip(boxes, scores)]

    def candidates(self, predictions: Predictions, image_sizes: Tensor) -> tuple[Tensor, Tensor]:
        """The anchors that may be objects: the best ``pre_nms`` of each level, before any threshold.

        Returns:
            Clipped boxes ``(B, N, 4)`` and their scores ``(B, N, C)``.
        """
        limit = image_sizes.flip(1).repeat(1, 2)[:, None].to(predictions.boxes.dtype)  # (B, 1, 4): w, h, w, h
        clipped = torch.minimum(predictions.boxes.clamp(min=0), limit)  # (B, A, 4)
        kept_boxes, kept_scores = [], []
        for boxes, logits, iou_logits in zip(
            predictions.per_level(clipped), predictions.logits, predictions.iou_logits
        ):
            class_scores, iou_scores = logits.to(boxes.dtype).sigmoid(), iou_logits.to(boxes.dtype).sigmoid()
            scores = (class_scores * iou_scores[..., None]).sqrt()  # (B, A_l, C)
            if scores.shape[1] > self.pre_nms:
                best = scores.amax(dim=2).topk(self.pre_nms, dim=1).indices  # (B, pre_nms)
                scores = scores.gather(1, best[..., None].expand(-1, -1, scores.shape[2]))
                boxes = boxes.gather(1, best[..., None].expand(-1, -1, 4))
            kept_boxes.append(boxes)
            kept_scores.append(scores)
        return torch.cat(kept_boxes, dim=1), torch.cat(kept_scores, dim=1)

    def _detect(self, boxes: Tensor, scores: Tensor) -> Detections:
        row, label = (scores > self.score_threshold).nonzero(as_tuple=True)  # pairs of box and class
        keep = batched_nms(boxes[row], scores[row, label], label, self.iou_threshold)[: self.max_detections]
        row, label = row[keep], label[keep]
        found = Detections(boxes[row], scores[row, label], label)
        if not self.voting:
            return found
        return Detections(
            *score_voting(
                found.boxes,
                found.scores,
                found.labels,
                boxes,
                scores,
                sigma=self.voting_sigma,
                iou_threshold=self.voting_iou,
                score_threshold=self.score_threshold,
            )
        )
