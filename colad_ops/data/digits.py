"""Digits on photos: scikit-learn's handwritten digits pasted on its two photos, written as PNG and COCO json.

A detection problem of real pixels that needs no download. Training and validation share no digit and no photo region.
Sources: ``sklearn.datasets.load_digits`` (1,797 digits of 8x8, from the UCI optical recognition set) and
``load_sample_images`` (china.jpg, flower.jpg, 640x427). Needs the ``demo`` extra.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .glyphs import contrasting_colour, render_digit


@dataclass(frozen=True)
class DigitsConfig:
    """How the pictures are made; lengths in pixels, both ends of a range included."""

    train_pictures: int = 2000
    val_pictures: int = 400
    side: int = 96  # pictures are square
    digits: tuple[int, int] = (2, 6)  # in a picture
    digit_side: tuple[int, int] = (15, 46)  # longer side of a digit's box
    crop_side: tuple[int, int] = (48, 96)  # of the photo, before it is scaled to ``side``
    max_overlap: float = 0.1  # of two boxes: intersection over the smaller one's area; their ink never overlaps
    val_digits: float = 0.2  # share of the 1,797 digits kept for validation
    val_region: float = 0.3  # share of each photo, at its right, kept for validation
    seed: int = 0


@dataclass(frozen=True)
class Paste:
    """One pasted digit. ``box`` is xyxy in whole pixels, tight around the visible ink: every pixel the digit changes
    lies inside, and each of its four border rows and columns holds at least one."""

    digit: int  # row of load_digits
    label: int  # 0..9
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Source:
    """The digits and the photo regions that one split may use."""

    digits: np.ndarray  # (n,) rows of load_digits
    labels: np.ndarray  # (n,) 0..9
    glyphs: np.ndarray  # (n, 8, 8) float64 in 0..1
    photos: tuple[np.ndarray, ...]  # (h, w, 3) uint8 each: the region of the photo
    columns: tuple[tuple[int, int], ...]  # of each photo: the region's first column and the one after its last


@dataclass(frozen=True)
class DigitsPaths:
    """Where a written data set lies."""

    train_images: Path
    train_json: Path
    val_images: Path
    val_json: Path


def load_sources(config: DigitsConfig) -> tuple[Source, Source]:
    """The training and the validation source: the digits shuffled by the seed and cut, the photos cut at a column."""
    from sklearn.datasets import load_digits, load_sample_images  # the demo extra

    digits = load_digits()
    order = np.random.default_rng(config.seed).permutation(len(digits.images))
    num_val = round(len(order) * config.val_digits)
    photos = load_sample_images().images
    cuts = [round(photo.shape[1] * (1 - config.val_region)) for photo in photos]

    def source(rows: np.ndarray, columns: list[tuple[int, int]]) -> Source:
        regions = tuple(photo[:, first:last] for photo, (first, last) in zip(photos, columns))
        return Source(rows, digits.target[rows], digits.images[rows] / 16, regions, tuple(columns))

    train = source(order[num_val:], [(0, cut) for cut in cuts])
    val = source(order[:num_val], [(cut, photo.shape[1]) for photo, cut in zip(photos, cuts)])
    return train, val


def make_picture(source: Source, config: DigitsConfig, rng: np.random.Generator) -> tuple[np.ndarray, list[Paste]]:
    """One picture, (side, side, 3) uint8, and its digits."""
    picture = _crop(source, config, rng)
    count = int(rng.integers(config.digits[0], config.digits[1] + 1))
    while True:  # until all digits fit: each time with new sizes and places
        pasted = _place(picture, source, config, count, rng)
        if pasted is not None:
            return pasted


def _crop(source: Source, config: DigitsConfig, rng: np.random.Generator) -> np.ndarray:
    """A random square of a random photo region, mirrored half of the time, scaled to the picture's side."""
    photo = source.photos[rng.integers(len(source.photos))]
    side = int(rng.integers(config.crop_side[0], min(config.crop_side[1], *photo.shape[:2]) + 1))
    top, left = (int(rng.integers(extent - side + 1)) for extent in photo.shape[:2])
    crop = photo[top : top + side, left : left + side]
    crop = crop[:, ::-1] if rng.random() < 0.5 else crop
    resized = Image.fromarray(np.ascontiguousarray(crop)).resize((config.side, config.side), Image.Resampling.BILINEAR)
    return np.array(resized)


def _place(
    background: np.ndarray, source: Source, config: DigitsConfig, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[Paste]] | None:
    """Paste ``count`` digits on a copy of the background, or None when one of them finds no place."""
    picture = background.astype(np.float64)
    inked = np.zeros(picture.shape[:2], dtype=bool)
    pastes: list[Paste] = []
    for _ in range(count):
        row = int(rng.integers(len(source.digits)))
        ink = render_digit(
            source.glyphs[row], int(rng.integers(config.digit_side[0], config.digit_side[1] + 1))
        )  # (h, w)
        height, width = ink.shape
        for _ in range(30):  # places to try
            top, left = int(rng.integers(config.side - height + 1)), int(rng.integers(config.side - width + 1))
            box = (left, top, left + width, top + height)
            window = np.s_[top : top + height, left : left + width]
            crowded = any(_overlap(box, other.box) > config.max_overlap for other in pastes)
            if not crowded and not (inked[window] & (ink > 0)).any():
                break
        else:
            return None
        colour = contrasting_colour(picture[window], ink, rng)  # (3,)
        picture[window] += ink[..., None] * (colour - picture[window])
        inked[window] |= ink > 0
        pastes.append(Paste(int(source.digits[row]), int(source.labels[row]), box))
    return picture.round().astype(np.uint8), pastes


def _overlap(box: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> float:
    """Intersection over the smaller area of two boxes."""
    width = max(0, min(box[2], other[2]) - max(box[0], other[0]))
    height = max(0, min(box[3], other[3]) - max(box[1], other[1]))
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, other)]
    return width * height / min(areas)


def write_digits(folder: str | Path, config: DigitsConfig = DigitsConfig()) -> DigitsPaths:
    """Write both splits under ``folder``: ``train/*.png``, ``train.json``, ``val/*.png``, ``val.json``.

    Category id ``d + 1`` is the digit ``d``. Each annotation also says which row of ``load_digits`` it is
    (``digit``), and each json which photo columns were used (``info``). Equal configurations give equal files.
    """
    folder = Path(folder)
    sources = dict(zip(("train", "val"), load_sources(config)))
    for stream, (split, count) in enumerate({"train": config.train_pictures, "val": config.val_pictures}.items()):
        _write_split(folder, split, count, sources[split], config, np.random.default_rng([config.seed, stream]))
    return DigitsPaths(folder / "train", folder / "train.json", folder / "val", folder / "val.json")


def _write_split(
    folder: Path, split: str, count: int, source: Source, config: DigitsConfig, rng: np.random.Generator
) -> None:
    (folder / split).mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id in range(1, count + 1):
        picture, pastes = make_picture(source, config, rng)
        name = f"{image_id:05d}.png"
        Image.fromarray(picture).save(folder / split / name, compress_level=1)
        images.append({"id": image_id, "file_name": name, "width": config.side, "height": config.side})
        for paste in pastes:
            x1, y1, x2, y2 = paste.box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": paste.label + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": 0,
                    "digit": paste.digit,
                }
            )
    info = {"description": f"digits on photos, {split}", "seed": config.seed, "photo_columns": source.columns}
    categories = [{"id": digit + 1, "name": str(digit)} for digit in range(10)]
    coco = {"info": info, "images": images, "annotations": annotations, "categories": categories}
    temporary = folder / f"{split}.json.tmp"
    temporary.write_text(json.dumps(coco))
    os.replace(temporary, folder / f"{split}.json")
