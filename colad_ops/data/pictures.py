"""From a picture file to the tensor a network reads: open, resize, flip, normalise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

# Per channel (red, green, blue) of values in 0..1; what torchvision's ImageNet weights were trained with.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

PAPER_RESIZE = (800, 1333)  # shorter side, largest longer side; PAA and LAD train so on COCO

# (value / 255 - mean) / std == value * _SCALE - _SHIFT, in two passes over a picture instead of three.
_SCALE = (1 / (255 * torch.tensor(IMAGENET_STD))).view(3, 1, 1)
_SHIFT = (torch.tensor(IMAGENET_MEAN) / torch.tensor(IMAGENET_STD)).view(3, 1, 1)


def open_picture(path: str | Path) -> Image.Image:
    """Read a picture as RGB, in the orientation of its stored pixels (as COCO boxes refer to them).

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is no picture, or is cut short; the message names it.
    """
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except FileNotFoundError:
        raise FileNotFoundError(f"no such picture: {path}") from None
    except (UnidentifiedImageError, OSError, SyntaxError) as error:  # a broken PNG is a SyntaxError to Pillow
        raise ValueError(f"cannot read picture {path}: {error}") from error


def resized_size(width: int, height: int, short: int, long: int) -> tuple[int, int]:
    """(width, height) with the shorter side ``short``, or smaller, so that the longer side is at most ``long``."""
    scale = min(short / min(width, height), long / max(width, height))
    return max(1, int(width * scale + 0.5)), max(1, int(height * scale + 0.5))


def resize_picture(picture: Image.Image, resize: tuple[int, int] | None) -> tuple[Image.Image, tuple[float, float]]:
    """Resize to (short, max long) pixels keeping the ratio; ``None`` leaves the picture alone.

    Returns the picture and the (x, y) factors from old to new pixel coordinates. The two differ slightly because both
    sides are rounded to whole pixels.
    """
    if resize is None:
        return picture, (1.0, 1.0)
    width, height = resized_size(picture.width, picture.height, *resize)
    factors = (width / picture.width, height / picture.height)
    return picture.resize((width, height), Image.Resampling.BILINEAR), factors


def normalise(picture: Image.Image) -> torch.Tensor:
    """RGB picture -> (3, H, W) float32, normalised with ImageNet's mean and standard deviation."""
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)  # (3, H, W) uint8
    return pixels.float().mul_(_SCALE).sub_(_SHIFT)


def denormalise(image: torch.Tensor) -> np.ndarray:
    """The inverse of ``normalise``, for showing a picture: (3, H, W) float -> (H, W, 3) uint8."""
    pixels = (image.detach().cpu().float() + _SHIFT) / _SCALE
    return pixels.round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
