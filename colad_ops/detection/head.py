"""The head of PAA (Kim and Lee 2020): class, box and IoU branches shared by all levels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .anchors import AnchorGrid
from .box_coder import DeltaCoder
from .predictions import Predictions


class PAAHead(nn.Module):
    """Two towers of 3x3 conv - GroupNorm - ReLU, one for the classes, one for box and IoU; all levels share weights.

    Args:
        in_channels: channels of the pyramid.
        num_classes: ``C``.
        grid: lays the anchors, one level for each stride.
        coder: turns box deltas into boxes.
        tower_convs: convolutions in a tower; 4 in the paper.
        tower_channels: channels of these convolutions; 256 in the paper.
        norm_groups: groups of the GroupNorm, dividing ``tower_channels``; 32 in the paper.
        prior: probability of every class before training (focal loss, Lin et al. 2017).

    Raises:
        ValueError: ``num_classes < 1``, ``prior`` outside (0, 1), or groups that do not divide the channels.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        grid: AnchorGrid,
        coder: DeltaCoder = DeltaCoder(),
        *,
        tower_convs: int = 4,
        tower_channels: int = 256,
        norm_groups: int = 32,
        prior: float = 0.01,
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes should be at least 1, got {num_classes}")
        if not 0 < prior < 1:
            raise ValueError(f"prior should be between 0 and 1, got {prior}")
        if tower_channels % norm_groups:
            raise ValueError(f"norm_groups should divide tower_channels {tower_channels}, got {norm_groups}")
        self.num_classes = num_classes
        self.grid = grid
        self.coder = coder
        self.class_tower = _tower(in_channels, tower_channels, tower_convs, norm_groups)
        self.box_tower = _tower(in_channels, tower_channels, tower_convs, norm_groups)
        features = tower_channels if tower_convs else in_channels
        self.class_output = nn.Conv2d(features, num_classes, 3, padding=1)
        self.box_output = nn.Conv2d(features, 4, 3, padding=1)
        self.iou_output = nn.Conv2d(features, 1, 3, padding=1)
        self.box_scales = nn.Parameter(torch.ones(len(grid.strides)))  # each level has its own scale (FCOS)
        prior_logit = -math.log((1 - prior) / prior)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
                if module.bias is not None:
                    nn.init.constant_(module.bias, prior_logit if module is self.class_output else 0)

    def forward(self, pyramid: Sequence[Tensor]) -> Predictions:
        """Predictions on the maps ``(B, in_channels, H_l, W_l)`` of ``pyramid``, one for each stride of the grid."""
        logits, deltas, iou_logits = [], [], []
        for level, features in enumerate(pyramid):
            class_features, box_features = self.class_tower(features), self.box_tower(features)
            logits.append(self.class_output(class_features))  # (B, C, H_l, W_l)
            deltas.append(self.box_output(box_features) * self.box_scales[level])  # (B, 4, H_l, W_l)
            iou_logits.append(self.iou_output(box_features))  # (B, 1, H_l, W_l)
        anchors = self.grid([(features.shape[-2], features.shape[-1]) for features in pyramid], logits[0].device)
        return Predictions.from_maps(logits, deltas, iou_logits, anchors, self.coder)


def _tower(in_channels: int, channels: int, convs: int, groups: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index in range(convs):
        layers += [
            nn.Conv2d(channels if index else in_channels, channels, 3, padding=1, bias=False),
            nn.GroupNorm(groups, channels),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
