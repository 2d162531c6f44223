"""The positive anchors of a batch as rows, without a host sync."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .. import Assignment


@dataclass(frozen=True)
class Positives:
    """``P`` rows, in the order of the anchors. ``P`` is a number that the host knows, so there is no sync. Where there
    are fewer positives, the last rows have ``present`` 0 and the box ``(0, 0, 1, 1)``: finite, for any loss.

    Attributes:
        image, anchor: (P,) int64: ``maps[image, anchor]`` picks the rows of maps ``(B, A, ...)``.
        boxes: (P, 4) xyxy pixels: the boxes that they learn.
        present: (P,) float32, 1 or 0: factor of the row's loss.
    """

    image: Tensor
    anchor: Tensor
    boxes: Tensor
    present: Tensor

    @classmethod
    def of(cls, assignment: Assignment, most: int) -> Positives:
        """The positives of ``assignment``, which has ``most`` of them or fewer."""
        matched = assignment.matched
        rows = torch.nonzero_static(matched >= 0, size=most, fill_value=-1)  # (P, 2)
        present = rows[:, 0] >= 0
        image, anchor = rows.clamp(min=0).unbind(1)
        unit = torch.arange(4, device=matched.device) >= 2  # without a copy from the host
        objects = assignment.gt_boxes[matched[image, anchor].clamp(min=0)]
        return cls(image, anchor, torch.where(present[:, None], objects, unit.to(objects.dtype)), present.float())
