"""Detects objects in pictures, draws them, and writes them as json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps

from ..data import Collate, Sample, normalise, open_picture, resize_picture
from .evaluate import detect
from .methods import TrainedNetwork

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
# Okabe and Ito's colours, told apart by colour-blind people too; classes beyond the eighth repeat them.
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#ffffff")


def find_pictures(paths: Sequence[str | Path]) -> list[Path]:
    """The picture files of ``paths``. A folder stands for the pictures directly in it, sorted by name.

    Raises:
        FileNotFoundError: no such file or folder, or a folder without a picture.
        ValueError: two pictures have the same name: their output would be one file.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES)
            if not inside:
                raise FileNotFoundError(f"no picture ({', '.join(PICTURE_SUFFIXES)}) in {path}")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise FileNotFoundError(f"no such picture or folder: {path}")
    by_stem: dict[str, Path] = {}
    for path in found:
        if path.stem in by_stem:
            raise ValueError(f"{by_stem[path.stem]} and {path} would both be written to {path.stem}.png")
        by_stem[path.stem] = path
    return found


def predict_picture(
    trained: TrainedNetwork, picture: Image.Image, *, score_threshold: float, device: torch.device | str = "cpu"
) -> list[dict[str, Any]]:
    """The objects of one picture, best first: ``class``, ``category_id``, ``score``, ``box`` (xyxy, pixels of the
    picture)."""
    resized, factors = resize_picture(picture, trained.resize)
    nothing = torch.zeros(0, 4)
    sample = Sample(normalise(resized), nothing, torch.zeros(0, dtype=torch.int64), nothing, 0, factors)
    results = detect(trained.network, [Collate()([sample])], trained.category_ids, device=device)
    names = dict(zip(trained.category_ids, trained.class_names))
    return [
        {
            "class": names[result["category_id"]],
            "category_id": result["category_id"],
            "score": round(result["score"], 4),
            "box": [round(value, 2) for value in (x, y, x + w, y + h)],
        }
        for result in results
        if result["score"] >= score_threshold
        for x, y, w, h in [result["bbox"]]
    ]


def draw_detections(picture: Image.Image, objects: Sequence[dict[str, Any]], class_names: Sequence[str]) -> Image.Image:
    """A copy of the picture with its boxes, classes and scores; small pictures are enlarged until labels can be
    read."""
    enlarge = max(1, -(-480 // max(picture.size)))
    drawn = picture.resize((picture.width * enlarge, picture.height * enlarge), Image.Resampling.BICUBIC)
    canvas, font = ImageDraw.Draw(drawn), ImageFont.load_default(max(12, min(drawn.size) // 45))
    for item in reversed(objects):  # the best on top
        colour = COLOURS[list(class_names).index(item["class"]) % len(COLOURS)]
        x1, y1, x2, y2 = (value * enlarge for value in item["box"])
        canvas.rectangle((x1, y1, x2, y2), outline=colour, width=max(2, min(drawn.size) // 300))
        text = f"{item['class']} {item['score']:.2f}"
        right, bottom = canvas.textbbox((0, 0), text, font=font)[2:]
        text_y = y1 - bottom - 2 if y1 > bottom + 2 else y1 + 2  # above the box, or inside where there is no room
        text_x = max(0, min(x1, drawn.width - right - 4))
        canvas.rectangle((text_x, text_y, text_x + right + 4, text_y + bottom + 2), fill=colour)
        canvas.text((text_x + 2, text_y), text, fill="black", font=font)
    return drawn


def predict(
    trained: TrainedNetwork,
    pictures: Sequence[Path],
    output: str | Path,
    *,
    score_threshold: float = 0.3,
    device: torch.device | str = "cpu",
) -> list[dict[str, Any]]:
    """Detect, draw and write ``output/<name>.png`` of each picture and ``output/detections.json``.

    Pictures are turned upright where their EXIF data say so: boxes refer to the upright picture, as it is written.
    """
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    trained.network.to(device)
    records = []
    for path in pictures:
        picture = ImageOps.exif_transpose(open_picture(path))
        objects = predict_picture(trained, picture, score_threshold=score_threshold, device=device)
        drawn_path = output / f"{path.stem}.png"
        if drawn_path.resolve() == path.resolve():
            raise ValueError(f"output should not be the folder of the pictures: {drawn_path} would be overwritten")
        draw_detections(picture, objects, trained.class_names).save(drawn_path)
        records.append(
            {
                "file": str(path),
                "drawn": str(drawn_path),
                "width": picture.width,
                "height": picture.height,
                "objects": objects,
            }
        )
    (output / "detections.json").write_text(json.dumps(records, indent=1))
    return records
