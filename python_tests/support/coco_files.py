"""Small data sets on disk, shared by the tests of data, engine and command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from colad_ops.data import CocoDetection

CATEGORIES = [{"id": 7, "name": "bright"}, {"id": 3, "name": "dark"}]  # ids neither dense nor in order


def box_of(
    annotation_id: int, image_id: int, bbox: Sequence[float], category_id: int = 3, **more: Any
) -> dict[str, Any]:
    """One annotation record; bbox is x, y, width, height."""
    area = bbox[2] * bbox[3] if len(bbox) == 4 else 0
    return {"id": annotation_id, "image_id": image_id, "category_id": category_id, "bbox": list(bbox), "area": area,
            "iscrowd": 0, **more}  # fmt: skip


def write_coco(
    folder: Path, sizes: Sequence[tuple[int, int]], annotations: Sequence[dict[str, Any]]
) -> tuple[Path, Path]:
    """Writes pictures of noise with the given (width, height), with ids 1, 2, ..., and their json. Returns the paths of
    the folder and the json."""
    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    rng = np.random.default_rng(0)
    images = []
    for image_id, (width, height) in enumerate(sizes, start=1):
        name = f"{image_id}.png"
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(pictures / name)
        images.append({"id": image_id, "file_name": name, "width": width, "height": height})
    return pictures, write_json(folder / "boxes.json", images, annotations)


def write_json(path: Path, images: Sequence[dict[str, Any]], annotations: Sequence[dict[str, Any]]) -> Path:
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": CATEGORIES}))
    return path


def squares(folder: Path, count: int = 8, side: int = 64) -> tuple[Path, Path]:
    """A data set that a tiny network can learn: a bright or a dark square on grey noise. Every fourth picture is
    empty."""
    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    rng = np.random.default_rng(1)
    images, annotations = [], []
    for image_id in range(1, count + 1):
        pixels = rng.integers(96, 160, (side, side, 3), dtype=np.uint8)
        if image_id % 4:
            x, y, extent = (int(value) for value in rng.integers((4, 4, 18), (side - 34, side - 34, 30)))
            bright = image_id % 2
            pixels[y : y + extent, x : x + extent] = 250 if bright else 5
            annotations.append(box_of(len(annotations) + 1, image_id, (x, y, extent, extent), 7 if bright else 3))
        Image.fromarray(pixels).save(pictures / f"{image_id}.png")
        images.append({"id": image_id, "file_name": f"{image_id}.png", "width": side, "height": side})
    return pictures, write_json(folder / "boxes.json", images, annotations)


def squares_dataset(folder: Path, **options: Any) -> CocoDetection:
    return CocoDetection(*squares(folder, **options))
