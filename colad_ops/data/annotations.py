"""COCO annotation files: read, checked, and turned into one record for each picture.

Error messages name the file and the record in it. Source: https://cocodataset.org/#format-data (object detection).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEGENERATE_POLICIES = ("error", "drop")

Box = tuple[float, float, float, float]  # x1, y1, x2, y2


@dataclass(frozen=True)
class ImageRecord:
    """One picture and its objects, in the pixels of the file.

    Boxes are xyxy tuples; ``labels`` are class indices 0..C-1; ``ignore_boxes`` are the crowd annotations.
    """

    image_id: int
    file_name: str
    width: int
    height: int
    boxes: tuple[Box, ...]
    labels: tuple[int, ...]
    ignore_boxes: tuple[Box, ...]


@dataclass(frozen=True)
class Annotations:
    """A checked COCO annotation file.

    Class index ``c`` stands for category ``category_ids[c]`` called ``class_names[c]``; categories are ordered by id.
    ``raw`` is the parsed json without its masks, for pycocotools. ``dropped`` counts the degenerate boxes that were
    left out.
    """

    path: Path
    images: tuple[ImageRecord, ...]
    category_ids: tuple[int, ...]
    class_names: tuple[str, ...]
    dropped: int
    raw: dict[str, Any]

    @property
    def num_classes(self) -> int:
        return len(self.category_ids)


def read_annotations(path: str | Path, *, degenerate: str = "error") -> Annotations:
    """Read a COCO detection json.

    Args:
        path: the json file. Needs ``images`` (id, file_name, width, height) and ``categories`` (id, name);
            ``annotations`` (image_id, category_id, bbox as x, y, width, height in pixels, optional iscrowd) may be
            empty.
        degenerate: what to do with a box that is not finite, has no width or height, or lies wholly outside its
            picture: ``"error"`` raises, naming the annotation; ``"drop"`` leaves it out of training and counts it in
            ``dropped``. A box that is partly outside the picture is kept as it is.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not json, a missing key, an id used twice or never declared, a degenerate box.
    """
    if degenerate not in DEGENERATE_POLICIES:
        raise ValueError(f"degenerate should be one of {DEGENERATE_POLICIES}, got {degenerate!r}")
    path = Path(path)
    raw = _parse(path)
    class_of, names = _categories(raw["categories"], path)
    rows = {}  # image id -> its json record
    for image in raw["images"]:
        _require(image, ("id", "file_name", "width", "height"), f"{path}: image {image.get('id', image)}")
        if image["id"] in rows:
            raise ValueError(f"{path}: image id {image['id']} appears twice")
        rows[image["id"]] = image
    boxes: dict[int, list[Box]] = {image_id: [] for image_id in rows}
    labels: dict[int, list[int]] = {image_id: [] for image_id in rows}
    crowds: dict[int, list[Box]] = {image_id: [] for image_id in rows}
    dropped = 0
    for index, annotation in enumerate(raw["annotations"]):
        annotation.pop("segmentation", None)  # boxes do not need the masks, which are most of the file
        where = f"{path}: annotation {annotation.get('id', f'number {index}')}"
        _require(annotation, ("image_id", "category_id", "bbox"), where)
        image_id = annotation["image_id"]
        if image_id not in rows:
            raise ValueError(f"{where}: image_id {image_id} is not among the images")
        if annotation["category_id"] not in class_of:
            raise ValueError(f"{where}: category_id {annotation['category_id']} is not among the categories")
        problem = _degenerate(annotation["bbox"], rows[image_id])
        if problem:
            if degenerate == "error":
                raise ValueError(f"{where}: {problem}; repair the file or read it with degenerate='drop'")
            dropped += 1
            continue
        x, y, w, h = (float(value) for value in annotation["bbox"])
        box = (x, y, x + w, y + h)
        if annotation.get("iscrowd", 0):
            crowds[image_id].append(box)
        else:
            boxes[image_id].append(box)
            labels[image_id].append(class_of[annotation["category_id"]])
    images = tuple(
        ImageRecord(
            image_id,
            row["file_name"],
            int(row["width"]),
            int(row["height"]),
            tuple(boxes[image_id]),
            tuple(labels[image_id]),
            tuple(crowds[image_id]),
        )
        for image_id, row in rows.items()
    )
    return Annotations(path, images, tuple(class_of), names, dropped, raw)


def _parse(path: Path) -> dict[str, Any]:
    try:
        raw = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a json file ({error})") from error
    if not isinstance(raw, dict):
        raise ValueError(f"{path}: a COCO file is a json object, got {type(raw).__name__}")
    _require(raw, ("images", "annotations", "categories"), str(path))
    return raw


def _require(record: Any, keys: tuple[str, ...], where: str) -> None:
    missing = [key for key in keys if key not in record]
    if missing:
        raise ValueError(f"{where}: missing {', '.join(missing)}")


def _categories(categories: list[dict[str, Any]], path: Path) -> tuple[dict[int, int], tuple[str, ...]]:
    """Category id -> class index, in the order of the ids, and the names in that order."""
    for category in categories:
        _require(category, ("id", "name"), f"{path}: category {category.get('id', category)}")
    if not categories:
        raise ValueError(f"{path}: categories is empty")
    ordered = sorted(categories, key=lambda category: category["id"])
    class_of = {category["id"]: index for index, category in enumerate(ordered)}
    if len(class_of) != len(ordered):
        raise ValueError(f"{path}: a category id appears twice among {[category['id'] for category in ordered]}")
    return class_of, tuple(category["name"] for category in ordered)


def _degenerate(bbox: Any, image: dict[str, Any]) -> str | None:
    """What is wrong with a box (x, y, width, height) of this picture, or None."""
    if not isinstance(bbox, (list, tuple)) or len(bbox) != 4:
        return f"bbox should be four numbers, got {bbox}"
    if not all(isinstance(value, (int, float)) and math.isfinite(value) for value in bbox):
        return f"bbox should be four finite numbers, got {bbox}"
    x, y, w, h = bbox
    if w <= 0 or h <= 0:
        return f"bbox {bbox} has no area"
    if x >= image["width"] or y >= image["height"] or x + w <= 0 or y + h <= 0:
        return f"bbox {bbox} lies outside its {image['width']}x{image['height']} picture"
    return None
