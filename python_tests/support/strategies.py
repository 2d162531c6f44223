"""Batches for the property tests. Hypothesis draws the structure and a seed; a random generator makes the numbers.

Edge cases are among the batches: no image, no object, no anchor, levels of 0 anchors, one object; boxes that are empty,
inverted, tiny, huge, NaN, or duplicates of others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from torch import Tensor

from colad_ops import AssignConfig, Assignment, CoAssignment, Match, colad_assign, match_anchors, paa_assign
from python_tests.support.scenes import random_boxes

CLASSES = 3


def laws(max_examples: int = 80) -> settings:
    """Hypothesis settings: the same examples in every run, and no time limit."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(
        derandomize=True, deadline=None, database=None, max_examples=max_examples, suppress_health_check=slow
    )


def generators() -> st.SearchStrategy[torch.Generator]:
    return st.integers(0, 2**31).map(lambda seed: torch.Generator().manual_seed(seed))


def at_thread_counts(function: Callable[[], Any]) -> list[Any]:
    """Results with one, two and again one thread, so that repeated calls are compared too."""
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 1):
            torch.set_num_threads(count)
            results.append(function())
    finally:
        torch.set_num_threads(threads)
    return results


def boxes_of(generator: torch.Generator, count: int, *, exact: bool, odd: bool) -> Tensor:
    """``(count, 4)`` boxes on 48 x 48 pixels, sides 12 to 36. With ``odd``, about a third are edge cases.

    ``exact``: coordinates are multiples of 1/8, so translation by integers and scaling by powers of two are exact. Some
    boxes are duplicates, so IoUs tie. Without ``exact`` no two coordinates are equal.
    """
    boxes = random_boxes(generator, count, size=48.0, smallest=12.0)
    if exact:
        boxes = (boxes * 8).round() / 8
    if not odd or count == 0:
        return boxes
    oddity = torch.randint(0, 18, (count, 1), generator=generator)
    x1, y1, x2, y2 = boxes.unbind(1)
    shapes = [
        torch.stack([x1, y1, x1, y2], 1),  # no width
        torch.stack([x2, y2, x1, y1], 1),  # inverted
        torch.stack([x1, y1, x1 + 0.125, y1 + 0.125], 1),  # tiny
        torch.stack([x1 - 500, y1 - 500, x2 + 500, y2 + 500], 1),  # huge
        torch.stack([x1, y1, x2, torch.full_like(x1, torch.nan)], 1),
        boxes[torch.randint(0, count, (count,), generator=generator)] if exact else boxes,  # a duplicate
    ]
    for kind, shape in enumerate(shapes):
        boxes = torch.where(oddity == kind, shape, boxes)
    return boxes


@dataclass(frozen=True)
class Order:
    """The index of the old image, object row, anchor and level at each new index."""

    images: Tensor
    rows: Tensor
    anchors: Tensor
    levels: Tensor
    level_sizes: list[int]

    def of_match(self, matched: Tensor) -> Tensor:
        """Converts ``(B, A)`` from old rows at old indices to new rows at new indices. Negative values stay."""
        new_row = torch.cat([self.rows.argsort(), torch.tensor([-1])])
        moved = self.of_anchors(matched)
        return torch.where(moved < 0, moved, new_row[moved.clamp(min=-1)])

    def of_anchors(self, values: Tensor) -> Tensor:
        return values[self.images][:, self.anchors]


@dataclass(frozen=True)
class Batch:
    """All inputs of the assignment functions; one pair ``(logits, boxes)`` for each network."""

    anchors: Tensor
    level_sizes: list[int]
    gt_boxes: Tensor
    gt_labels: Tensor
    gt_offsets: Tensor
    predictions: list[tuple[Tensor, Tensor]]
    valid: Tensor | None = None  # (B, A)
    ignore_boxes: Tensor | None = None
    ignore_offsets: Tensor | None = None

    @property
    def images(self) -> int:
        return len(self.gt_offsets) - 1

    @property
    def image_of_row(self) -> Tensor:
        return torch.repeat_interleave(torch.arange(self.images), self.gt_offsets.diff())

    def match(self, **options) -> Match:
        return match_anchors(self.anchors, self.gt_boxes, self.gt_offsets, **self._excluded(), **options)

    def assign(self, config: AssignConfig = AssignConfig(), network: int = 0) -> Assignment:
        return paa_assign(*self.predictions[network], *self._scene(), config, **self._excluded())

    def co_assign(self, config: AssignConfig = AssignConfig(), **options) -> CoAssignment:
        return colad_assign(self.predictions, *self._scene(), config, **self._excluded(), **options)

    def _scene(self) -> tuple:
        return self.anchors, self.level_sizes, self.gt_boxes, self.gt_labels, self.gt_offsets

    def _excluded(self) -> dict:
        return {"valid": self.valid, "ignore_boxes": self.ignore_boxes, "ignore_offsets": self.ignore_offsets}

    def with_networks(self, networks: list[int]) -> Batch:
        return dataclasses.replace(self, predictions=[self.predictions[k] for k in networks])

    def with_images(self, images: Tensor) -> Batch:
        """A batch of these images in this order. An image may occur several times."""
        gt_rows, gt_offsets = _rows_of_images(self.gt_offsets, images)
        ignored = {}
        if self.ignore_boxes is not None:
            ignore_rows, ignore_offsets = _rows_of_images(self.ignore_offsets, images)
            ignored = {"ignore_boxes": self.ignore_boxes[ignore_rows], "ignore_offsets": ignore_offsets}
        return dataclasses.replace(
            self,
            gt_boxes=self.gt_boxes[gt_rows],
            gt_labels=self.gt_labels[gt_rows],
            gt_offsets=gt_offsets,
            predictions=[(logits[images], boxes[images]) for logits, boxes in self.predictions],
            valid=None if self.valid is None else self.valid[images],
            **ignored,
        )

    def with_objects(self, gt_boxes: Tensor, gt_labels: Tensor, gt_offsets: Tensor) -> Batch:
        return dataclasses.replace(self, gt_boxes=gt_boxes, gt_labels=gt_labels, gt_offsets=gt_offsets)

    def with_anchors(self, anchors: Tensor, level_sizes: list[int]) -> Batch:
        """A batch with these anchors in this order, and with their ``level_sizes``."""
        return dataclasses.replace(
            self,
            anchors=self.anchors[anchors],
            level_sizes=level_sizes,
            predictions=[(logits[:, anchors], boxes[:, anchors]) for logits, boxes in self.predictions],
            valid=None if self.valid is None else self.valid[:, anchors],
        )

    def rearranged(self, order: Order) -> Batch:
        gt_offsets = torch.cat([torch.tensor([0]), self.gt_offsets.diff()[order.images].cumsum(0)])
        return (
            self.with_images(order.images)
            .with_objects(self.gt_boxes[order.rows], self.gt_labels[order.rows], gt_offsets)
            .with_anchors(order.anchors, order.level_sizes)
        )

    def map_boxes(self, function) -> Batch:
        """A batch with ``function`` applied to every tensor of boxes: anchors, objects, crowds, predictions."""
        return dataclasses.replace(
            self,
            anchors=function(self.anchors),
            gt_boxes=function(self.gt_boxes),
            predictions=[(logits, function(boxes)) for logits, boxes in self.predictions],
            ignore_boxes=None if self.ignore_boxes is None else function(self.ignore_boxes),
        )

    def map_logits(self, function) -> Batch:
        return dataclasses.replace(self, predictions=[(function(x), boxes) for x, boxes in self.predictions])


def _rows_of_images(offsets: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    rows = [torch.arange(int(offsets[b]), int(offsets[b + 1])) for b in images.tolist()]
    rows = torch.cat([torch.zeros(0, dtype=torch.int64), *rows])
    return rows, torch.cat([torch.tensor([0]), offsets.diff()[images].cumsum(0)])


@st.composite
def batches(draw: st.DrawFn, *, exact: bool = True, odd: bool = True, networks: int = 1, min_images: int = 0) -> Batch:
    """Batches whose objects, anchors and predictions overlap freely. Some have crowds or anchors that are not valid.

    ``exact`` and ``odd`` are those of :func:`boxes_of`.
    """
    generator = draw(generators())
    if draw(st.sampled_from(["edge case", "crowded", "crowded", "crowded"])) == "crowded":
        images, levels = torch.randint(1, 4, (2,), generator=generator).tolist()
        objects = torch.randint(1, 7, (images,), generator=generator).tolist()
        level_sizes = torch.randint(10, 30, (levels,), generator=generator).tolist()
    else:
        objects = draw(st.lists(st.integers(0, 4), min_size=min_images, max_size=3))
        level_sizes = draw(st.lists(st.integers(0, 20), min_size=1, max_size=4))
    images, count = len(objects), sum(level_sizes)

    def new_boxes(count: int) -> Tensor:
        return boxes_of(generator, count, exact=exact, odd=odd)

    def prediction() -> tuple[Tensor, Tensor]:
        logits = 2 * torch.randn(images, count, CLASSES, generator=generator) - 1
        return logits, new_boxes(images * count).view(images, count, 4)

    batch = Batch(
        anchors=new_boxes(count),
        level_sizes=level_sizes,
        gt_boxes=new_boxes(sum(objects)),
        gt_labels=torch.randint(0, CLASSES, (sum(objects),), generator=generator),
        gt_offsets=torch.tensor([0, *objects]).cumsum(0),
        predictions=[prediction() for _ in range(networks)],
    )
    if draw(st.booleans()):
        batch = dataclasses.replace(batch, valid=torch.rand(images, count, generator=generator) < 0.8)
    if draw(st.booleans()):
        crowds = torch.randint(0, 2, (images,), generator=generator)
        ends = torch.cat([torch.tensor([0]), crowds.cumsum(0)])
        batch = dataclasses.replace(batch, ignore_boxes=new_boxes(int(ends[-1])), ignore_offsets=ends)
    return batch


@st.composite
def orders(draw: st.DrawFn, batch: Batch, *, within_images: bool) -> Order:
    """Orders of the images. With ``within_images`` also orders of objects within their image, of levels, and of anchors
    within their level."""
    generator = draw(generators())

    def shuffled(count: int, move: bool = True) -> Tensor:
        return torch.randperm(count, generator=generator) if move else torch.arange(count)

    images = shuffled(batch.images, draw(st.booleans()) or not within_images)
    move_objects, move_levels, move_anchors = (within_images and draw(st.booleans()) for _ in range(3))
    empty = torch.zeros(0, dtype=torch.int64)
    begins, counts = batch.gt_offsets[:-1], batch.gt_offsets.diff()
    rows = [begins[b] + shuffled(int(counts[b]), move_objects) for b in images]
    levels = shuffled(len(batch.level_sizes), move_levels)
    starts = torch.tensor([0, *batch.level_sizes]).cumsum(0)
    anchors = [starts[level] + shuffled(batch.level_sizes[level], move_anchors) for level in levels]
    level_sizes = [batch.level_sizes[level] for level in levels]
    return Order(images, torch.cat([empty, *rows]), torch.cat([empty, *anchors]), levels, level_sizes)


def configs(**fixed) -> st.SearchStrategy[AssignConfig]:
    """Any options; the arguments named here are fixed."""
    options = {
        "iou_threshold": st.sampled_from([0.05, 0.1, 0.2, 0.5]),
        "low_quality": st.sampled_from(["all", "own", "none"]),
        "topk": st.integers(1, 9),
        "box_cost": st.sampled_from(["iou", "giou", "diou", "ciou"]),
        "box_weight": st.sampled_from([1.0, 1.3]),
        "covariance": st.sampled_from(["full", "tied"]),
        "max_iter": st.sampled_from([1, 5, 100]),
        "reg_covar": st.sampled_from([1e-6, 1e-2]),
        "split": st.sampled_from(["peak", "posterior", "band"]),
        "single_candidate": st.sampled_from(["keep", "drop"]),
        "no_component0": st.sampled_from(["all", "none"]),
        "prefix": st.booleans(),
    }
    options.update({name: st.just(value) for name, value in fixed.items()})
    return st.builds(AssignConfig, **options)


def co_options() -> st.SearchStrategy[dict[str, str]]:
    """Every allowed pair of indicator and granularity."""
    pairs = [(i, g) for i in ("std_mean", "fisher") for g in ("iteration", "image", "object")]
    pairs.append(("std_mean", "object_level"))
    return st.sampled_from([{"indicator": i, "granularity": g} for i, g in pairs])
