"""The result of an assignment: which object each anchor learns."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from colad_ops.ops.matched_iou import matched_box_iou


class Assignment(NamedTuple):
    """Which object each anchor learns. B images, A anchors, G objects of all images."""

    matched: Tensor
    """``(B, A)`` int64: the row in ``gt_boxes`` that the anchor learns, ``-1`` background, ``-2`` ignored."""
    cost: Tensor
    """``(B, A)`` float32; ``+inf`` where the anchor is not a candidate of any object."""
    num_pos: Tensor
    """``(G,)`` int64: number of positives of each object."""
    mean: Tensor
    """``(G,)`` float64: mean cost of all candidates of the object (before top-k); NaN without candidates."""
    std: Tensor
    """``(G,)`` float64: unbiased standard deviation of these costs; NaN with fewer than two candidates."""
    weights: Tensor
    """``(G, 2)`` float64: weights of the mixture fitted to the costs of the object's cheapest candidates. Component 0
    is the cheap one."""
    means: Tensor
    """``(G, 2)`` float64: means of this mixture."""
    variances: Tensor
    """``(G, 2)`` float64: variances of this mixture."""
    gt_boxes: Tensor
    """``(G, 4)``: the argument of the assignment, for :meth:`boxes`."""
    gt_labels: Tensor
    """``(G,)``: the argument of the assignment, for :meth:`labels`."""

    @property
    def fisher(self) -> Tensor:
        """``(G,)`` float64: ``(mu+ - mu-)^2 / (sigma+^2 + sigma-^2)`` of the mixture."""
        return (self.means[:, 1] - self.means[:, 0]).square() / self.variances.sum(1)

    @property
    def num_pos_total(self) -> Tensor:
        """Number of positives of the batch: an int64 scalar on the device."""
        return self.num_pos.sum()

    def masked(self, valid: Tensor) -> Assignment:
        """The same assignment, in which the anchors that are not ``valid (B, A)`` are ignored."""
        return self._replace(matched=self.matched.where(valid, -2))

    def labels(self, num_classes: int) -> Tensor:
        """``(B, A)`` int64: the class that the anchor learns, ``num_classes`` for background, ``-2`` for ignored."""
        # Rows -2 and -1 of the table, the last two. One call makes both, without a copy from the host.
        of_no_object = torch.arange(-2, num_classes + 1, num_classes + 2, device=self.gt_labels.device)
        return torch.cat([self.gt_labels, of_no_object])[self.matched]

    def boxes(self) -> Tensor:
        """``(B, A, 4)``: the box that the anchor learns, 0 where the anchor has no object.

        Losses on overlaps do not need it: see :meth:`iou`.
        """
        return torch.cat([self.gt_boxes, self.gt_boxes.new_zeros(2, 4)])[self.matched]

    def iou(self, boxes: Tensor, *, mode: str = "iou") -> Tensor:
        """``(B, A)``: overlap of each anchor's box, of ``boxes (B, A, 4)``, with the box that the anchor learns; 0
        where the anchor has no object. Differentiable in ``boxes``; see :func:`matched_box_iou`."""
        return matched_box_iou(boxes, self.gt_boxes.to(boxes.dtype), self.matched, mode=mode)
