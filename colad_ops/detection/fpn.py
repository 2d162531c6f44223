"""Feature pyramid (Lin et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class FPN(nn.Module):
    """One map of ``out_channels`` channels for each input map, and ``extra_levels`` coarser ones.

    An extra level is a 3x3 convolution of stride 2 on the last output before it, without activation: P6 on P5's
    output, P7 on P6, as in ATSS and PAA.

    Args:
        in_channels: channels of the input maps, finest first.
        out_channels: channels of every output map.
        extra_levels: coarser levels to add; 2 in the paper (P3 to P7).
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int, extra_levels: int = 0) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(channels, out_channels, 1) for channels in in_channels)
        self.output = nn.ModuleList(nn.Conv2d(out_channels, out_channels, 3, padding=1) for _ in in_channels)
        self.extra = nn.ModuleList(
            nn.Conv2d(out_channels, out_channels, 3, stride=2, padding=1) for _ in range(extra_levels)
        )
        self.out_channels = out_channels
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Maps ``(B, out_channels, H_l, W_l)`` of the pyramid, finest first."""
        if len(features) != len(self.lateral):
            raise ValueError(f"features should be {len(self.lateral)} maps, got {len(features)}")
        merged = [lateral(feature) for lateral, feature in zip(self.lateral, features)]
        for level in range(len(merged) - 1, 0, -1):
            finer = merged[level - 1]
            merged[level - 1] = finer + F.interpolate(merged[level], size=finer.shape[-2:], mode="nearest")
        pyramid = [output(feature) for output, feature in zip(self.output, merged)]
        for extra in self.extra:
            pyramid.append(extra(pyramid[-1]))
        return pyramid
