"""Boxes as a detector has them before suppression: dense around objects, or anywhere."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

WIDTH, HEIGHT = 1333.0, 800.0
OBJECTS = 20
SPREAD = 0.2  # of the centres and of the logarithms of the sizes, as parts of an object's size


@dataclass(frozen=True)
class Candidates:
    boxes: Tensor
    """(N, 4) float32 pixels"""
    scores: Tensor
    """(N,) float32 in (0, 1), all different: suppression has then one right result"""
    labels: Tensor
    """(N,) int64"""


def around_objects(count: int, classes: int, seed: int = 0) -> Candidates:
    g = torch.Generator().manual_seed(seed)
    centres = torch.rand(OBJECTS, 2, generator=g) * torch.tensor([WIDTH, HEIGHT])
    sizes = torch.exp(torch.rand(OBJECTS, 2, generator=g) * 3 + 2.5)  # 12 to 245 pixels
    of = torch.randint(OBJECTS, (count,), generator=g)
    centre = centres[of] + SPREAD * sizes[of] * torch.randn(count, 2, generator=g)
    size = sizes[of] * torch.exp(SPREAD * torch.randn(count, 2, generator=g))
    return _candidates(centre, size, classes, g)


def anywhere(count: int, classes: int, seed: int = 0) -> Candidates:
    g = torch.Generator().manual_seed(seed)
    centre = torch.rand(count, 2, generator=g) * torch.tensor([WIDTH, HEIGHT])
    return _candidates(centre, 8 + 120 * torch.rand(count, 2, generator=g), classes, g)


def _candidates(centre: Tensor, size: Tensor, classes: int, g: torch.Generator) -> Candidates:
    count = len(centre)
    return Candidates(
        torch.cat([centre - size / 2, centre + size / 2], dim=1),
        (1 + torch.randperm(count, generator=g)) / (count + 1),
        torch.randint(classes, (count,), generator=g),
    )
