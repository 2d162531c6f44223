"""Networks by name: their sizes, and how their parts are put together."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from .anchors import AnchorGrid
from .fpn import FPN
from .head import PAAHead
from .network import DetectionNetwork
from .resnet import BasicBlock, Bottleneck, ResNet

PAPER_RESNETS: dict[str, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, ...]]] = {
    "r18": (BasicBlock, (2, 2, 2, 2)),
    "r34": (BasicBlock, (3, 4, 6, 3)),
    "r50": (Bottleneck, (3, 4, 6, 3)),
    "r101": (Bottleneck, (3, 4, 23, 3)),
}
DIGITS_SIZES = {  # widths of the four stages, pyramid and tower channels, tower convolutions
    "digits_student": ((32, 64, 128, 144), 48, 2),
    "digits_teacher": ((64, 128, 256, 288), 96, 2),
}
NETWORK_NAMES = (*DIGITS_SIZES, *PAPER_RESNETS)


def build_network(
    name: str, num_classes: int, backbone_weights: Mapping[str, Tensor] | None = None
) -> DetectionNetwork:
    """A network by name.

    ``"r18"``, ``"r34"``, ``"r50"``, ``"r101"`` are the paper's: FPN of 256 channels on strides 8 to 128, head of 4
    convolutions, anchors of 8 strides. ``"digits_student"`` (about 0.85 million parameters) and ``"digits_teacher"``
    (about 3.4) are for pictures of about 100 pixels: strides 8 to 32, anchors of 4 strides (32, 64 and 128 pixels),
    short and narrow heads.

    Args:
        name: one of ``NETWORK_NAMES``.
        num_classes: number of classes.
        backbone_weights: state dict of torchvision's classifier of this size, for the paper's networks. With it, stem
            and first stage are frozen and batch normalisation stays in eval mode, as the paper trains; without it
            everything learns.

    Raises:
        ValueError: an unknown name, or ``backbone_weights`` for a digits network.
        RuntimeError: ``backbone_weights`` do not fit.
    """
    if name in DIGITS_SIZES:
        if backbone_weights is not None:
            raise ValueError(
                f"backbone_weights should be None for {name!r}, whose backbone is of no size that torchvision has"
            )
        return _digits_network(num_classes, *DIGITS_SIZES[name])
    if name not in PAPER_RESNETS:
        raise ValueError(f"name should be one of {', '.join(NETWORK_NAMES)}, got {name!r}")
    block, layers = PAPER_RESNETS[name]
    pretrained = backbone_weights is not None
    backbone = ResNet(block, layers, frozen_stages=1 if pretrained else -1, norm_eval=pretrained)
    if backbone_weights is not None:
        backbone.load_torchvision(backbone_weights)
    neck = FPN(backbone.out_channels, 256, extra_levels=2)
    grid = AnchorGrid((*backbone.strides, 64, 128))
    return DetectionNetwork(backbone, neck, PAAHead(256, num_classes, grid))


def _digits_network(num_classes: int, widths: tuple[int, ...], channels: int, tower_convs: int) -> DetectionNetwork:
    backbone = ResNet(BasicBlock, (1, 1, 1, 1), widths=widths, stem="small")
    neck = FPN(backbone.out_channels, channels)
    head = PAAHead(
        channels,
        num_classes,
        AnchorGrid(backbone.strides, scale=4.0),
        tower_convs=tower_convs,
        tower_channels=channels,
        norm_groups=8,
    )
    return DetectionNetwork(backbone, neck, head)
