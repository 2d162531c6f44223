"""Small torchvision detectors with random weights, and a batch for them."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator

CLASSES = 5
STRIDES = (8, 16)


class TinyPyramid(nn.Module):
    """Two levels of 32 channels."""

    out_channels = 32

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 32, 8, stride=8)
        self.second = nn.Conv2d(32, 32, 2, stride=2)

    def forward(self, pictures: Tensor) -> OrderedDict[str, Tensor]:
        first = self.first(pictures).relu()
        return OrderedDict(first=first, second=self.second(first).relu())


SIZES = {"num_classes": CLASSES, "min_size": 128, "max_size": 160}


def tiny_retinanet(seed: int = 0, *, single: bool = False, **options) -> RetinaNet:
    """RetinaNet with two shapes of anchors a location; with ``single`` it has the anchors of ``tiny_fcos``."""
    torch.manual_seed(seed)
    sides = [(stride,) if single else (4 * stride,) for stride in STRIDES]
    shapes = ((1.0,) if single else (0.5, 2.0),) * len(STRIDES)
    return _lively(RetinaNet(TinyPyramid(), anchor_generator=AnchorGenerator(sides, shapes), **SIZES | options))


def tiny_fcos(seed: int = 0, **options) -> FCOS:
    torch.manual_seed(seed)
    generator = AnchorGenerator([(stride,) for stride in STRIDES], ((1.0,),) * len(STRIDES))
    return _lively(FCOS(TinyPyramid(), anchor_generator=generator, **SIZES | options))


def _lively(model):
    """Outputs that differ from anchor to anchor: with torchvision's first weights all costs are about equal."""
    head = model.head
    for layer in (*head.classification_head.conv.modules(), *head.regression_head.conv.modules()):
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    for layer in (head.classification_head.cls_logits, head.regression_head.bbox_reg):
        nn.init.normal_(layer.weight, std=0.02)
    if isinstance(model, FCOS):
        nn.init.constant_(head.regression_head.bbox_reg.bias, 1.0)
    return model.train()


def batch(
    seed: int = 0, counts: tuple[int, ...] = (3, 0, 5), iscrowd: bool = False, size: tuple[int, int] = (128, 144)
):
    """Pictures of different sizes and their targets, some without objects."""
    generator = torch.Generator().manual_seed(seed)
    pictures, targets = [], []
    for index, count in enumerate(counts):
        height, width = size[0] - 16 * (index % 2), size[1] + 16 * (index % 2)
        pictures.append(torch.rand(3, height, width, generator=generator))
        corner = torch.rand(count, 2, generator=generator) * 80
        side = 15 + torch.rand(count, 2, generator=generator) * 45
        target = {
            "boxes": torch.cat([corner, corner + side], dim=1),
            "labels": torch.randint(1, CLASSES, (count,), generator=generator),
        }
        if iscrowd:  # a large one
            target["boxes"][0] = torch.tensor([0.0, 0.0, 100.0, 100.0])
            target["iscrowd"] = (torch.arange(count) == 0).long()
        targets.append(target)
    return pictures, targets
