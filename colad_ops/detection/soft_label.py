"""Soft-label distillation: the student learns to reproduce the teacher's outputs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .. import aligned_box_iou, focal_kl_loss, match_anchors
from .predictions import Predictions
from .ranks import mean_over_ranks
from .targets import Targets


@dataclass(frozen=True)
class SoftLabelLoss:
    """Focal-KL to the teacher's classes (equation 1 of the LAD paper) and localisation distillation.

    ``q`` is the largest IoU of the teacher's box with an object. There are three parts:

    - classes: focal-KL of the class probabilities, on all valid anchors;
    - boxes: GIoU loss to the teacher's box, weighted by ``q``, on the anchors where ``q > min_iou``;
    - IoU branch: focal-KL of the predicted IoU, on the same anchors as the boxes.

    All three are divided by the sum of ``q`` over the anchors where ``q > min_iou`` (at least 1; the mean over ranks).

    The defaults are the authors' for SoLAD (see ``SoLAD``); with soft labels alone they used a class weight of 10. The
    authors clip the boxes to the image before they compare them; here they are compared as decoded.

    Args:
        cls_weight, box_weight, iou_weight: factors of the three parts.
        gamma: exponent of the focal-KL weight ``|p_t - p_s|^gamma``.
        min_iou: only teacher's boxes of larger IoU with an object are learned.
    """

    cls_weight: float = 2.0
    box_weight: float = 1.3
    iou_weight: float = 10.0
    gamma: float = 0.5
    min_iou: float = 0.5

    def __call__(
        self, student: Predictions, teacher: Predictions, targets: Targets, valid: Tensor
    ) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            student, teacher: predictions on the same images and anchors.
            targets: the objects; they decide which of the teacher's boxes are learned.
            valid: (B, A) bool; anchors that are not valid (in the padding) are in no loss.

        Returns:
            float32 scalars ``loss_soft_cls``, ``loss_soft_box``, ``loss_soft_iou``. Gradients reach the student only;
            nothing syncs.
        """
        teacher = teacher.detach()
        quality = nearest_iou(teacher.boxes, targets)  # (B, A)
        quality = quality.where(valid & (quality > self.min_iou), 0)
        norm = mean_over_ranks(quality.sum()).clamp(min=1)

        loss_cls = sum(
            focal_kl_loss(student_logits, teacher_logits, gamma=self.gamma, weight=level_valid)
            for student_logits, teacher_logits, level_valid in zip(
                student.logits, teacher.logits, student.per_level(valid.to(quality.dtype))
            )
        )
        loss_box = ((1 - aligned_box_iou(student.boxes, teacher.boxes, "giou")) * quality).sum()
        loss_iou = focal_kl_loss(
            student.flat_iou_logits[..., None],
            teacher.flat_iou_logits[..., None],
            gamma=self.gamma,
            weight=(quality > 0).to(quality.dtype),
        )
        return {
            "loss_soft_cls": self.cls_weight * loss_cls / norm,
            "loss_soft_box": self.box_weight * loss_box / norm,
            "loss_soft_iou": self.iou_weight * loss_iou / norm,
        }


def nearest_iou(boxes: Tensor, targets: Targets) -> Tensor:
    """(B, A) IoU of each of ``boxes (B, A, 4)`` with the object of its image that overlaps it most; 0 without objects.

    Does not sync the host.
    """
    image_of_object = targets.image_of_object()  # (G,)
    all_objects = torch.stack([torch.zeros_like(targets.offsets[-1]), targets.offsets[-1]])
    nearest = []
    for image in range(targets.batch_size):
        # Other images' objects become empty boxes, which overlap nothing: slicing them off would need a host sync.
        own = targets.boxes.where((image_of_object == image)[:, None], 0)  # (G, 4)
        nearest.append(match_anchors(boxes[image], own, all_objects, low_quality="none").iou[0])
    return torch.stack(nearest) if nearest else boxes.new_zeros(boxes.shape[:2])
