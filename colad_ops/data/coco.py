"""The data set: a folder of pictures and a COCO json, sample by sample."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch.utils.data import Dataset

from .annotations import Annotations, ImageRecord, read_annotations
from .pictures import normalise, open_picture, resize_picture


class Pick(NamedTuple):
    """Which sample, and whether to mirror it. Only the sampler that makes the picks draws random numbers, never the
    data set."""

    image_index: int
    flip: bool = False


@dataclass(frozen=True)
class Sample:
    """One picture ready for a network. Boxes are xyxy float32, in pixels of ``image``."""

    image: torch.Tensor  # (3, H, W) float32, normalised
    boxes: torch.Tensor  # (n, 4)
    labels: torch.Tensor  # (n,) int64, 0..C-1
    ignore_boxes: torch.Tensor  # (m, 4), crowds
    image_id: int  # of the COCO file
    factors: tuple[float, float]  # (x, y): pixels of the file * factor = pixels of ``image``


class CocoDetection(Dataset[Sample]):
    """Pictures and a COCO json as a map-style data set of ``Sample``.

    Args:
        images: folder that the json's ``file_name`` entries are relative to.
        annotations: COCO json (see ``read_annotations``).
        resize: (short, max long) side in pixels, ratio kept; ``None``: pictures as they are.
        degenerate: ``"error"`` or ``"drop"``, see ``read_annotations``.

    Crowd annotations become ``ignore_boxes``; pictures without objects are kept. ``dataset[i]`` is picture ``i`` of the
    json; ``dataset[Pick(i, flip=True)]`` is the same picture mirrored left to right.

    Raises:
        FileNotFoundError, ValueError: the folder, the json, or (on access) a picture is missing or broken, or has
            another size than the json says.
    """

    def __init__(
        self,
        images: str | Path,
        annotations: str | Path,
        *,
        resize: tuple[int, int] | None = None,
        degenerate: str = "error",
    ):
        self.folder = Path(images)
        if not self.folder.is_dir():
            raise FileNotFoundError(f"no such folder of pictures: {self.folder}")
        if resize is not None and (len(resize) != 2 or not 0 < resize[0] <= resize[1]):
            raise ValueError(f"resize should be (short, max long) with 0 < short <= long, got {resize}")
        self.resize = resize
        self.annotations: Annotations = read_annotations(annotations, degenerate=degenerate)

    @property
    def num_classes(self) -> int:
        return self.annotations.num_classes

    def __len__(self) -> int:
        return len(self.annotations.images)

    def __getitem__(self, pick: int | Pick) -> Sample:
        index, flip = pick if isinstance(pick, Pick) else Pick(pick)
        record = self.annotations.images[index]
        picture, factors = resize_picture(self._open(record), self.resize)
        image = normalise(picture)  # (3, H, W)
        scale = torch.tensor(factors * 2, dtype=torch.float64)  # x, y, x, y
        boxes = (torch.tensor(record.boxes, dtype=torch.float64).reshape(-1, 4) * scale).float()  # (n, 4)
        ignore_boxes = (torch.tensor(record.ignore_boxes, dtype=torch.float64).reshape(-1, 4) * scale).float()
        if flip:
            image = image.flip(-1)
            boxes, ignore_boxes = mirror(boxes, picture.width), mirror(ignore_boxes, picture.width)
        labels = torch.tensor(record.labels, dtype=torch.int64)
        return Sample(image, boxes, labels, ignore_boxes, record.image_id, factors)

    def _open(self, record: ImageRecord) -> Image.Image:
        path = self.folder / record.file_name
        picture = open_picture(path)
        if picture.size != (record.width, record.height):
            raise ValueError(
                f"picture {path} is {picture.width}x{picture.height} pixels, but image {record.image_id} of "
                f"{self.annotations.path} says {record.width}x{record.height}"
            )
        return picture


def mirror(boxes: torch.Tensor, width: float) -> torch.Tensor:
    """Boxes (n, 4) xyxy of a picture ``width`` pixels wide, mirrored left to right."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack((width - x2, y1, width - x1, y2), dim=-1)
