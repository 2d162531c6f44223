"""The result of an assignment: which object each anchor learns."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


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

    def labels(self, num_classes: int) -> Tensor:
        """``(B, A)`` int64: the class that the anchor learns, ``num_classes`` for background, ``-2`` for ignored."""
        return torch.where(self.matched == -2, -2, self._of_object(self.gt_labels, num_classes))

    def boxes(self) -> Tensor:
        """``(B, A, 4)``: the box that the anchor learns, 0 where the anchor has no object."""
        return self._of_object(self.gt_boxes, 0)

    def _of_object(self, rows: Tensor, fill: int) -> Tensor:
        """The row of each anchor's object, or ``fill`` without an object. ``fill`` is appended as the last row, and
        index -1 picks it."""
        padded = torch.cat([rows, rows.new_full((1, *rows.shape[1:]), fill)])
        return padded[self.matched.clamp(min=-1)]
