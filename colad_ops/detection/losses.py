"""The losses of PAA, which all methods share: the methods differ in which network assigns the labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import Assignment, sigmoid_focal_loss
from .predictions import Predictions
from .ranks import mean_over_ranks


@dataclass(frozen=True)
class PAALoss:
    """Focal loss on the classes, GIoU loss on the boxes, cross-entropy on the predicted IoU.

    Each part has a normaliser: ``max(number of positives, number of images)`` for the classes, the number of positives
    for the IoU, the sum of the weights for the boxes. In a distributed run positives and weights are means over all
    ranks (see ``mean_over_ranks``).

    Args:
        alpha, gamma: of the focal loss.
        box_weight: factor of the GIoU loss; 1.3.
        iou_weight: factor of the IoU branch's cross-entropy; 0.5.
        box_weighting: ``"iou"``: the weight of a positive is the IoU of its prediction with its object, as in PAA;
            ``"uniform"``: every positive has weight 1, as in the LAD authors' code and mmdetection's LAD head.
        over_ranks: False: the normalisers are those of this rank, as in mmdetection.

    Raises:
        ValueError: another ``box_weighting``.
    """

    alpha: float = 0.25
    gamma: float = 2.0
    box_weight: float = 1.3
    iou_weight: float = 0.5
    box_weighting: Literal["iou", "uniform"] = "iou"
    over_ranks: bool = True

    def __post_init__(self) -> None:
        if self.box_weighting not in ("iou", "uniform"):
            raise ValueError(f"box_weighting should be 'iou' or 'uniform', got {self.box_weighting!r}")

    def __call__(self, predictions: Predictions, assignment: Assignment, valid: Tensor) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            predictions: of the network that learns.
            assignment: of any network; ignored anchors are in no loss.
            valid: (B, A) bool; anchors that are not valid (in the padding) are in no loss.

        Returns:
            float32 scalars: ``loss_cls``, ``loss_box``, ``loss_iou`` with gradient, ``num_pos`` (this rank's)
            without. Nothing syncs.
        """
        assignment = assignment.masked(valid)
        labels = assignment.labels(predictions.num_classes)  # (B, A)
        positive = assignment.matched >= 0  # (B, A)
        boxes = predictions.boxes  # (B, A, 4)

        # The weights select the positives: indexing would need their number on the host.
        iou = assignment.iou(boxes.detach()).clamp(min=1e-12).where(positive, 0)  # (B, A)
        weight = iou if self.box_weighting == "iou" else positive.to(iou.dtype)  # (B, A)
        num_pos, sum_weight = positive.sum(), weight.sum()
        normalisers = torch.stack([num_pos.to(iou.dtype), sum_weight])
        mean_num_pos, mean_weight = (mean_over_ranks(normalisers) if self.over_ranks else normalisers).unbind()

        # The losses of the levels are divided inside: their gradients are then complete after the forward pass.
        norm_cls = mean_num_pos.clamp(min=max(predictions.batch_size, 1))
        loss_cls = [
            sigmoid_focal_loss(level_logits, level_labels, alpha=self.alpha, gamma=self.gamma, avg_factor=norm_cls)
            for level_logits, level_labels in zip(predictions.logits, predictions.per_level(labels))
        ]
        loss_box = sum_weight - (assignment.iou(boxes, mode="giou") * weight).sum()  # of (1 - GIoU) * weight
        loss_iou = F.binary_cross_entropy_with_logits(
            predictions.flat_iou_logits.to(iou.dtype), iou, weight=positive.to(iou.dtype), reduction="sum"
        )
        return {
            "loss_cls": torch.stack(loss_cls).sum(),
            "loss_box": self.box_weight * loss_box / mean_weight.clamp(min=1e-12),
            "loss_iou": self.iou_weight * loss_iou / mean_num_pos.clamp(min=1),
            "num_pos": num_pos,
        }


def total_loss(parts: dict[str, Tensor]) -> dict[str, Tensor]:
    """The sum of the losses as ``"loss"``, with gradient, and all ``parts`` detached, for logging.

    A part is a loss when its name, after the last ``/``, starts with ``loss_``; the others are figures to log.
    """
    summed = [value for name, value in parts.items() if name.rpartition("/")[2].startswith("loss_")]
    return {"loss": torch.stack(summed).sum(), **{name: value.detach() for name, value in parts.items()}}
