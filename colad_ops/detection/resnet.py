"""Residual networks (He et al. 2015) as detectors train them, with torchvision's parameter names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor, nn

from .frozen_norm import FrozenBatchNorm2d

STEM_STRIDE = 4  # both stems: a stride 2 convolution, then a stride 2 max pooling


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (ResNet-18 and -34)."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int, norm: type[nn.Module]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = norm(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_channels, width * self.expansion, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions and a shortcut (ResNet-50 and deeper).

    The 3x3 convolution takes the stride, as in torchvision.
    """

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int, norm: type[nn.Module]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = norm(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1, bias=False)
        self.bn3 = norm(width * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_channels, width * self.expansion, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


def _shortcut(in_channels: int, out_channels: int, stride: int, norm: type[nn.Module]) -> nn.Module | None:
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), norm(out_channels))


class ResNet(nn.Module):
    """Feature maps of the stages ``out_stages``, stage ``n`` (1 to 4) having stride ``4 * 2 ** (n - 1)``.

    ``ResNet(Bottleneck, (3, 4, 6, 3))`` has the parameters of torchvision's ``resnet50`` except ``fc.*``.

    Args:
        block: ``BasicBlock`` or ``Bottleneck``.
        layers: blocks in each of the four stages.
        widths: width of each stage; a stage has ``width * block.expansion`` output channels. The stem has ``widths[0]``
            channels.
        stem: ``"large"``, a 7x7 convolution of stride 2, or ``"small"``, a 3x3 one for small pictures; a max pooling
            follows both.
        out_stages: the stages to return, ascending.
        norm: ``"batch"``, or ``"frozen"`` for batch normalisation whose statistics and parameters are buffers.
        frozen_stages: -1 nothing is frozen, 0 the stem, 1 the stem and stage 1, and so on (mmdetection's convention).
            Frozen parts take no gradient, and their batch normalisation stays in eval mode.
        norm_eval: keep all batch normalisation in eval mode in training, for fine-tuning on small batches. Its weight
            and bias still learn.

    Raises:
        ValueError: an argument is not one of the values above.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        layers: Sequence[int],
        *,
        widths: Sequence[int] = (64, 128, 256, 512),
        stem: Literal["large", "small"] = "large",
        out_stages: Sequence[int] = (2, 3, 4),
        norm: Literal["batch", "frozen"] = "batch",
        frozen_stages: int = -1,
        norm_eval: bool = False,
    ) -> None:
        super().__init__()
        if len(layers) != 4 or len(widths) != 4:
            raise ValueError(f"layers and widths should have four entries, got {tuple(layers)} and {tuple(widths)}")
        if stem not in ("large", "small"):
            raise ValueError(f"stem should be 'large' or 'small', got {stem!r}")
        if norm not in ("batch", "frozen"):
            raise ValueError(f"norm should be 'batch' or 'frozen', got {norm!r}")
        if not out_stages or list(out_stages) != sorted(set(out_stages)) or not set(out_stages) <= {1, 2, 3, 4}:
            raise ValueError(f"out_stages should be ascending stages of 1 to 4, got {tuple(out_stages)}")
        if not -1 <= frozen_stages <= 4:
            raise ValueError(f"frozen_stages should be -1 to 4, got {frozen_stages}")
        self.out_stages = tuple(out_stages)
        self.out_channels = tuple(widths[stage - 1] * block.expansion for stage in out_stages)
        self.strides = tuple(STEM_STRIDE * 2 ** (stage - 1) for stage in out_stages)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval

        norm_layer = nn.BatchNorm2d if norm == "batch" else FrozenBatchNorm2d
        kernel = 7 if stem == "large" else 3
        self.conv1 = nn.Conv2d(3, widths[0], kernel, stride=2, padding=kernel // 2, bias=False)
        self.bn1 = norm_layer(widths[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = widths[0]
        for stage, (blocks, width) in enumerate(zip(layers, widths), start=1):
            strides = [1 if stage == 1 else 2] + [1] * (blocks - 1)
            parts = []
            for stride in strides:
                parts.append(block(channels, width, stride, norm_layer))
                channels = width * block.expansion
            setattr(self, f"layer{stage}", nn.Sequential(*parts))

        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for module in self._frozen_modules():
            module.requires_grad_(False)
        self.train()  # new modules are in training mode; this sets those that stay in eval mode

    def forward(self, images: Tensor) -> list[Tensor]:
        """Maps ``(B, out_channels[i], ceil(H / strides[i]), ceil(W / strides[i]))`` of ``images (B, 3, H, W)``."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        maps = []
        for stage in range(1, self.out_stages[-1] + 1):
            x = getattr(self, f"layer{stage}")(x)
            if stage in self.out_stages:
                maps.append(x)
        return maps

    def train(self, mode: bool = True) -> ResNet:
        """Training mode, except for the frozen parts and, with ``norm_eval``, all batch normalisation."""
        super().train(mode)
        kept_in_eval = [self] if self.norm_eval else self._frozen_modules()
        for part in kept_in_eval:
            for module in part.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def load_torchvision(self, state_dict: Mapping[str, Tensor]) -> None:
        """Loads the state dict of a torchvision classifier of this size; its ``fc.*`` is not used.

        Raises:
            RuntimeError: a parameter is missing or unknown, or has another shape.
        """
        self.load_state_dict(
            {name: value for name, value in state_dict.items() if not name.startswith("fc.")}, strict=True
        )

    def _frozen_modules(self) -> list[nn.Module]:
        if self.frozen_stages < 0:
            return []
        return [self.conv1, self.bn1, *(getattr(self, f"layer{stage}") for stage in range(1, self.frozen_stages + 1))]
