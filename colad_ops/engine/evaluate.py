"""Average precision by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tqdm import tqdm

from ..data import Batch, CocoDetection, evaluation_loader
from ..detection import DetectionNetwork, Detections, Method, PostProcess


@dataclass(frozen=True)
class CocoMetrics:
    """COCO's average precisions in 0..1: over IoU .50 to .95, at .50, at .75, and of small (below 32 x 32 pixels),
    medium and large (above 96 x 96) objects. None where the data set has no such object."""

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None

    def as_dict(self) -> dict[str, float | None]:
        return asdict(self)


def coco_metrics(ground_truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> CocoMetrics:
    """Score detections against a COCO file.

    Args:
        ground_truth: the parsed json.
        results: COCO results: image_id, category_id, bbox (x, y, width, height in pixels), score. May be empty.

    Raises:
        ValueError: a result of an image that the file does not have.
    """
    known = {image["id"] for image in ground_truth["images"]}
    for result in results:
        if result["image_id"] not in known:
            raise ValueError(f"a result has image_id {result['image_id']}, which is not among the {len(known)} images")
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        # Both sides are built here, from copies: pycocotools changes its input, needs an area and a crowd flag in each
        # row, and cannot load an empty list of results.
        truth = _index(
            ground_truth, [_completed(row, index) for index, row in enumerate(ground_truth["annotations"], 1)]
        )
        found = _index(ground_truth, [_completed({**row, "iscrowd": 0}, index) for index, row in enumerate(results, 1)])
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return CocoMetrics(*(None if value < 0 else float(value) for value in evaluation.stats[:6]))  # -1: no such object


def _completed(row: Mapping[str, Any], index: int) -> dict[str, Any]:
    """A copy of an annotation or result with its area and flag. Ids start at 1: COCOeval takes id 0 for "no match"."""
    bbox = row["bbox"]
    return {"area": bbox[2] * bbox[3], "iscrowd": 0, **row, "id": index}


def _index(ground_truth: Mapping[str, Any], annotations: list[dict[str, Any]]) -> COCO:
    coco = COCO()
    dataset: Any = {  # parsed json, which no type checker can check
        "images": ground_truth["images"],
        "categories": ground_truth["categories"],
        "annotations": annotations,
    }
    coco.dataset = dataset
    coco.createIndex()
    return coco


def coco_results(batch: Batch, detections: Sequence[Detections], category_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Detections of a batch as COCO results, boxes in the pixels of the files."""
    results = []
    for image_id, factors, found in zip(batch.image_ids, batch.factors, detections, strict=True):
        boxes = found.boxes.cpu().double() / torch.cat([factors, factors])  # (K, 4)
        for (x1, y1, x2, y2), score, label in zip(boxes.tolist(), found.scores.tolist(), found.labels.tolist()):
            results.append(
                {
                    "image_id": image_id,
                    "category_id": category_ids[label],
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "score": score,
                }
            )
    return results


@torch.no_grad()
def detect(
    network: DetectionNetwork,
    batches: Iterable[Batch],
    category_ids: Sequence[int],
    *,
    device: torch.device | str = "cpu",
    postprocess: PostProcess = PostProcess(),
) -> list[dict[str, Any]]:
    """COCO results of a network on batches. The network runs in eval mode and is left in the mode it was in."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    results = []
    try:
        for batch in batches:
            batch = batch.to(device)
            results += coco_results(
                batch, network.predict(batch.images, batch.targets.image_sizes, postprocess), category_ids
            )
    finally:
        for module, training in modes:  # one by one: train() would lose the eval mode of single modules
            module.training = training
    return results


def evaluate(
    network: DetectionNetwork,
    dataset: CocoDetection,
    *,
    batch: int = 16,
    device: torch.device | str = "cpu",
    workers: int = 0,
    postprocess: PostProcess = PostProcess(),
    progress: bool = False,
) -> CocoMetrics:
    """Average precision of a network on a data set.

    Raises:
        ValueError: the network and the data set have different numbers of classes.
    """
    if network.num_classes != dataset.num_classes:
        raise ValueError(
            f"network has {network.num_classes} classes, {dataset.annotations.path} has {dataset.num_classes}"
        )
    batches = tqdm(
        evaluation_loader(dataset, batch=batch, workers=workers),
        desc="evaluate",
        unit="batch",
        disable=not progress,
        leave=False,
    )
    results = detect(network, batches, dataset.annotations.category_ids, device=device, postprocess=postprocess)
    return coco_metrics(dataset.annotations.raw, results)


def evaluate_networks(
    method: Method, dataset: CocoDetection, *, batch: int = 16, device: torch.device | str = "cpu", workers: int = 0
) -> dict[str, CocoMetrics]:
    """Average precision of each network of a method, by name; see ``evaluate``."""
    return {
        name: evaluate(network, dataset, batch=batch, device=device, workers=workers)
        for name, network in method.networks.items()
    }
