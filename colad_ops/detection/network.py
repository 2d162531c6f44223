"""Backbone, neck and head as one network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .anchors import Anchors
from .head import PAAHead
from .postprocess import Detections, PostProcess
from .predictions import Predictions


class DetectionNetwork(nn.Module):
    """A dense detector: predicts class, box and IoU for every anchor. A ``Method`` (PAA, LAD, CoLAD) trains it.

    Args:
        backbone: maps images to a list of feature maps, finest first.
        neck: maps these to the pyramid.
        head: maps the pyramid to ``Predictions``.
    """

    def __init__(self, backbone: nn.Module, neck: nn.Module, head: PAAHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = neck
        self.head = head

    @property
    def num_classes(self) -> int:
        return self.head.num_classes

    def forward(self, images: Tensor) -> Predictions:
        """Predictions on ``images (B, 3, H, W)``, normalised floats, padded to one size.

        Raises:
            ValueError: another shape.
        """
        if images.dim() != 4 or images.shape[1] != 3:
            raise ValueError(f"images should have shape (B, 3, H, W), got {tuple(images.shape)}")
        return self.head(self.neck(self.backbone(images)))

    def anchors(self, images: Tensor) -> Anchors:
        """The anchors of ``images (B, 3, H, W)``, without running the network."""
        return self.head.grid(self.head.grid.feature_sizes(*images.shape[-2:]), images.device)

    @torch.no_grad()
    def predict(
        self, images: Tensor, image_sizes: Tensor, postprocess: PostProcess = PostProcess()
    ) -> list[Detections]:
        """The objects found in each image, boxes in pixels of the unpadded input.

        Args:
            images: (B, 3, H, W), as for ``forward``.
            image_sizes: (B, 2) int64 ``(height, width)`` before padding.
            postprocess: thresholds, suppression and voting.

        Raises:
            RuntimeError: the network is in training mode, where detections would depend on the batch's statistics.
        """
        if self.training:
            raise RuntimeError("predict needs the network in eval mode: call network.eval() first")
        return postprocess(self(images), image_sizes)


def require_same_anchors(first: DetectionNetwork, second: DetectionNetwork, first_name: str, second_name: str) -> None:
    """Raises ValueError unless both networks have the same classes and anchors, so that one's labels fit the other."""
    for what, one, other in (
        ("num_classes", first.num_classes, second.num_classes),
        ("anchor grid", first.head.grid, second.head.grid),
    ):
        if one != other:
            raise ValueError(f"{first_name} and {second_name} should have the same {what}, got {one} and {other}")
