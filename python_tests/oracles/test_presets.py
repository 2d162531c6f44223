"""The presets against plain NumPy and scikit-learn versions of the codes that they reproduce: the original PAA code
(kkhoot/PAA), mmdetection and the official LAD code. One image, object and level is computed at a time.

Matching and costs are computed in float64 from the scene. The mixture is scikit-learn's, in float64 on the float32
costs. Cases that rounding decides are excluded; the tests count them and bound their number:

- images where two compared IoUs differ by less than 1e-6 but are not equal;
- objects whose fit has a posterior within 1e-9 of 1/2, or two highest likelihoods of different costs within 1e-9, or
  stops at the tolerance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from colad_ops import AssignConfig, paa_assign
from python_tests.support.scenes import Scene, make_scene
from python_tests.support.sklearn_mixture import fit_sklearn, stops_clearly

THRESHOLD, TOPK, ALPHA, GAMMA = 0.1, 9, 0.25, 2.0  # of every code's COCO configuration
CLASSES = 5


@dataclass(frozen=True)
class Code:
    """The choices in which the codes differ."""

    last_pixel: float
    """Added to x2 and y2 for matching: 1 if they are the last pixel inside the box."""
    best_anchor_goes_to_its_own_object: bool
    """True: the best anchors of an object are matched to the object that overlaps them most. False: to this object."""
    box_weight: float
    single_is_positive: bool
    all_positive_without_cheap: bool
    """For an object without a candidate in the cheap component."""
    expensive_before_the_cut_are_positive: bool


KKHOOT = Code(1.0, True, 1.0, True, True, True)
MMDET = Code(0.0, False, 1.3, False, False, False)
STANDARDIZED = Code(0.0, False, 1.3, True, False, False)


def extents(boxes: np.ndarray) -> np.ndarray:
    return np.maximum(boxes[..., 2:] - boxes[..., :2], 0)


def intersection_and_union(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    common = np.maximum(high - low, 0).prod(axis=-1)
    return common, extents(a).prod(axis=-1) + extents(b).prod(axis=-1) - common


def generalised_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    common, union = intersection_and_union(a, b)
    hull = np.maximum(a[..., 2:], b[..., 2:]) - np.minimum(a[..., :2], b[..., :2])
    area = np.maximum(hull, 0).prod(axis=-1)
    return common / union - (area - union) / area


def close_but_not_equal(a: np.ndarray, b: np.ndarray | float) -> np.ndarray:
    return (np.abs(a - b) < 1e-6) & (a != b)


def match_image(anchors: np.ndarray, objects: np.ndarray, code: Code) -> tuple[np.ndarray, bool]:
    """Object of each anchor, -1 without an object; and whether rounding can change the result."""
    matched = np.full(len(anchors), -1)
    if len(objects) == 0:
        return matched, False
    far = np.array([0, 0, code.last_pixel, code.last_pixel])
    common, union = intersection_and_union((objects + far)[:, None], (anchors + far)[None])
    iou = common / union
    own, largest = iou.argmax(axis=0), iou.max(axis=0)
    matched[largest >= THRESHOLD] = own[largest >= THRESHOLD]
    for row in range(len(objects)):
        best = iou[row] == iou[row].max()  # every anchor that misses it, where the object overlaps none
        matched[best] = own[best] if code.best_anchor_goes_to_its_own_object else row
    unclear = close_but_not_equal(largest, THRESHOLD).any()
    unclear |= close_but_not_equal(iou, largest).any() or close_but_not_equal(iou, iou.max(axis=1)[:, None]).any()
    return matched, bool(unclear)


def cost_of(logits: np.ndarray, box: np.ndarray, gt_box: np.ndarray, gt_class: int, code: Code) -> float:
    """Focal loss of all classes and the weighted GIoU loss."""
    is_class = np.arange(len(logits)) == gt_class
    right = 1 / (1 + np.exp(-np.where(is_class, logits, -logits)))
    focal = np.where(is_class, ALPHA, 1 - ALPHA) * (1 - right) ** GAMMA * -np.log(right)
    return float(focal.sum() + code.box_weight * (1 - generalised_iou(box, gt_box)))


def cheapest_of_each_level(mine: np.ndarray, cost: np.ndarray, level_sizes: list[int]) -> np.ndarray:
    """Anchors, cheapest first."""
    chosen, start = [], 0
    for size in level_sizes:
        of_level = mine[(mine >= start) & (mine < start + size)]
        chosen += of_level[np.argsort(cost[of_level], kind="stable")][:TOPK].tolist()
        start += size
    chosen = np.sort(np.array(chosen, dtype=int))
    return chosen[np.argsort(cost[chosen], kind="stable")]


def split(costs: np.ndarray, code: Code, tally: Counter) -> tuple[np.ndarray, bool]:
    """Whether each candidate, cheapest first, is positive; and whether rounding can change the result."""
    if len(costs) == 1:
        tally["single"] += 1
        return np.array([code.single_is_positive]), False
    column = costs[:, None]
    # In one dimension mmdetection's "diag" equals "full", except for the cancellation in its variances.
    mixture = fit_sklearn(costs, "full")
    posterior, likelihood = mixture.predict_proba(column)[:, 0], mixture.score_samples(column)
    unclear = (np.abs(posterior - 0.5) < 1e-9).any() or not stops_clearly(mixture)
    cheap = mixture.predict(column) == 0
    if not cheap.any():
        tally["no cheap component"] += 1
        return np.full(len(costs), code.all_positive_without_cheap), bool(unclear)
    cut = np.flatnonzero(cheap & (likelihood == likelihood[cheap].max()))[0]
    others = cheap & (costs != costs[cut])
    unclear |= bool((likelihood[cut] - likelihood[others] < 1e-9).any())
    positive = np.arange(len(costs)) <= cut
    tally["expensive before the cut"] += int((positive & ~cheap).any())
    return positive if code.expensive_before_the_cut_are_positive else positive & cheap, bool(unclear)


@dataclass
class Expected:
    """Of one image; objects are local rows."""

    matched: np.ndarray
    positives: np.ndarray
    unclear: bool
    unclear_objects: list[int]


def assign_image(scene: Scene, image: int, cost32: np.ndarray, code: Code, tally: Counter) -> Expected:
    """``cost32 (A,)`` are our float32 costs. They are compared with the float64 costs, and then used for all decisions,
    as every code uses float32 costs."""
    start, end = scene.gt_offsets[image : image + 2].tolist()
    objects, classes = scene.gt_boxes[start:end].double().numpy(), scene.gt_labels[start:end].tolist()
    matched, unclear = match_image(scene.anchors.double().numpy(), objects, code)
    logits, boxes = scene.logits[image].double().numpy(), scene.boxes[image].double().numpy()
    cost = np.full(len(matched), np.inf)
    for anchor in np.flatnonzero(matched >= 0):
        row = matched[anchor]
        cost[anchor] = cost_of(logits[anchor], boxes[anchor], objects[row], classes[row], code)
    expected = Expected(matched, np.full(len(matched), -1), unclear, [])
    if unclear:
        return expected
    np.testing.assert_allclose(cost32, cost, rtol=1e-5, atol=1e-5)
    for row in range(len(objects)):
        mine = np.flatnonzero(matched == row)
        if len(mine) == 0:
            continue
        chosen = cheapest_of_each_level(mine, cost32, scene.level_sizes)
        positive, unclear_object = split(cost32[chosen].astype(np.float64), code, tally)
        expected.positives[chosen[positive]] = row
        if unclear_object:
            expected.unclear_objects.append(row)
    return expected


def tiny(scene: Scene) -> None:
    """Sides of 1 to 3 pixels: all IoUs are below the threshold, and one or a few anchors that contain them are best."""
    side = torch.linspace(1, 3, len(scene.gt_boxes))[:, None]
    scene.gt_boxes[:, 2:] = scene.gt_boxes[:, :2] + side


def far(scene: Scene) -> None:
    """The second and the last object overlap nothing."""
    scene.gt_boxes[[1, -1]] += 2000


def duplicates(scene: Scene) -> None:
    scene.gt_boxes[1] = scene.gt_boxes[0]
    scene.gt_boxes[-1] = scene.gt_boxes[-2]


def quarter_pixels(scene: Scene) -> None:
    """Exact IoUs with many ties."""
    scene.gt_boxes[:] = (scene.gt_boxes * 4).round() / 4


def as_the_anchors(scene: Scene) -> None:
    """Each object equals an anchor, so opposite neighbours have equal IoUs."""
    scene.gt_boxes[:] = scene.anchors[5 :: len(scene.anchors) // len(scene.gt_boxes)][: len(scene.gt_boxes)]


def good_detector(scene: Scene) -> None:
    """Boxes close to the nearest object, and confident logits for its class."""
    for image, nearest in nearest_objects(scene):
        scene.boxes[image] = 0.8 * scene.gt_boxes[nearest] + 0.2 * scene.boxes[image]
        scene.logits[image].scatter_add_(1, scene.gt_labels[nearest][:, None], torch.full((len(nearest), 1), 4.0))


def undecided_detector(scene: Scene) -> None:
    """Costs that differ by a thousandth, so all candidates are in the same component."""
    scene.logits *= 1e-3
    for image, nearest in nearest_objects(scene):
        scene.boxes[image] = scene.gt_boxes[nearest]


def nearest_objects(scene: Scene) -> Iterator[tuple[int, torch.Tensor]]:
    """For images with objects: the nearest object's row for each anchor."""
    for image in range(len(scene.boxes)):
        start, end = scene.gt_offsets[image : image + 2].tolist()
        if start < end:
            yield image, torch.cdist(scene.anchors, scene.gt_boxes[start:end]).argmin(dim=1) + start


def none(scene: Scene) -> None:
    pass


CHANGES = (none, tiny, far, duplicates, quarter_pixels, as_the_anchors, good_detector, undecided_detector)


def scenes(seeds: int) -> Iterator[Scene]:
    for seed in range(seeds):
        for change in CHANGES:
            scene = make_scene([4, 0, 6], seed=seed, classes=CLASSES)
            change(scene)
            yield scene


@pytest.mark.parametrize(
    ("preset", "code"),
    [
        (AssignConfig.kkhoot, KKHOOT),
        (AssignConfig.mmdet, MMDET),
        (AssignConfig.official_lad, MMDET),
        (lambda: AssignConfig.official_lad(single_candidate="keep"), STANDARDIZED),
    ],
    ids=["kkhoot", "mmdet", "official_lad", "standardized"],
)
def test_preset_is_the_code(preset: Callable[[], AssignConfig], code: Code) -> None:
    tally = Counter()
    for scene in scenes(seeds=7):
        found = paa_assign(
            scene.logits,
            scene.boxes,
            scene.anchors,
            scene.level_sizes,
            scene.gt_boxes,
            scene.gt_labels,
            scene.gt_offsets,
            preset(),
        )
        labels = found.labels(CLASSES).numpy()
        for image in range(len(scene.logits)):
            start, end = scene.gt_offsets[image : image + 2].tolist()
            expected = assign_image(scene, image, found.cost[image].numpy(), code, tally)
            tally["images"] += 1
            if expected.unclear:
                tally["unclear images"] += 1
                continue
            positives = np.where(found.matched[image] >= 0, found.matched[image] - start, found.matched[image])
            unclear = np.isin(expected.matched, expected.unclear_objects)
            np.testing.assert_array_equal(positives[~unclear], expected.positives[~unclear])
            classes = np.append(scene.gt_labels[start:end].numpy(), CLASSES)[expected.positives]
            np.testing.assert_array_equal(labels[image][~unclear], classes[~unclear])
            for row in range(end - start):
                tally["objects"] += 1
                tally["without candidates"] += not (expected.matched == row).any()
                if row in expected.unclear_objects:
                    tally["unclear objects"] += 1
                    continue
                assert found.num_pos[start + row] == (expected.positives == row).sum()
    print(dict(tally))
    assert tally["unclear images"] <= 0.02 * tally["images"]
    assert tally["unclear objects"] <= 0.05 * tally["objects"]
    for wart in ("single", "no cheap component", "expensive before the cut", "without candidates"):
        assert tally[wart] > 0, wart
