"""The formulas of the assignment and of postprocessing against their definitions in plain Python: matching rule, cost,
order of samples, split, NMS, votes."""

from __future__ import annotations

import itertools

import mpmath
import numpy as np
import pytest

from python_tests.formulas import PRECISIONS, compiled, of
from python_tests.formulas.iou import box_iou
from python_tests.support.exact_iou import MODES, exact, overlapping_boxes, random_boxes, rationals
from python_tests.support.exact_losses import exact_focal

MODES_OF_SPLIT = ("peak", "posterior", "band")
BACKGROUND, POSITIVE, IGNORED = range(3)
ALL, OWN, NONE = range(3)  # low_quality


# Matching


@PRECISIONS
def test_an_object_claims_the_anchors_that_tie_its_best(dtype: type) -> None:
    iou = np.array([0.4, 0.4, 0.3, 0, 0, np.nan], dtype=dtype)
    best = np.array([0.4, 0.5, 0, 0, 0.2, np.nan], dtype=dtype)
    assert np.flatnonzero(of(dtype).ties_best(iou, best, False)).tolist() == [0]
    assert np.flatnonzero(of(dtype).ties_best(iou, best, True)).tolist() == [0, 3]  # the defect: all of IoU 0


@PRECISIONS
@pytest.mark.parametrize(
    ("iou", "own", "claimed", "matched"),  # matched: with low_quality all, own, none
    [
        (0.5, 3, -1, (3, 3, 3)),
        (0.1, 3, -1, (3, 3, 3)),  # an IoU equal to the threshold is enough
        (0.0999, 3, -1, (-1, -1, -1)),
        (0.05, 3, 3, (3, 3, -1)),
        (0.05, 3, 7, (7, 3, -1)),
        (0.5, 3, 7, (7, 3, 3)),
        (-1, -1, -1, (-1, -1, -1)),  # no object, or only NaN
    ],
)
def test_match_of_an_anchor(dtype: type, iou: float, own: int, claimed: int, matched: tuple[int, int, int]) -> None:
    for low_quality in (ALL, OWN, NONE):
        assert of(dtype).resolve_match(dtype(iou), own, claimed, dtype(0.1), low_quality) == matched[low_quality]


# Cost


@pytest.mark.parametrize("mode", ["iou", "giou"])
@pytest.mark.parametrize("probs", [False, True])
def test_cost_is_focal_loss_plus_weighted_box_term(mode: str, probs: bool) -> None:
    """Compares with equation (2) in 30 digits."""
    rng = np.random.default_rng(0)
    boxes, objects = overlapping_boxes(rng, 40, np.float32)
    objects = np.sort(objects.reshape(-1, 2, 2), axis=1).reshape(-1, 4)
    alpha, gamma, weight = 0.25, 2.0, 1.3
    for box, gt, corners in zip(boxes, objects, rationals(boxes, objects)):
        logits = rng.normal(-2, 3, 5).astype(np.float32)
        label = int(rng.integers(5))
        if probs:
            given = (1 / (1 + np.exp(-logits))).astype(np.float32)
            exact_logits = [mpmath.log(mpmath.mpf(float(p)) / (1 - mpmath.mpf(float(p)))) for p in given]
        else:
            given, exact_logits = logits, [mpmath.mpf(float(x)) for x in logits]
        with mpmath.workdps(30):
            focal = sum(exact_focal(x, c == label, alpha, gamma) for c, x in enumerate(exact_logits))
            wanted = float(focal) + float(np.float32(weight)) * (1 - float(exact(corners, mode)))
        cost = compiled.assign_cost(
            given.tolist(), label, box.tolist(), gt.tolist(), alpha, gamma, weight, MODES.index(mode), probs
        )
        assert cost == pytest.approx(wanted, rel=4e-6)


# Order of samples


def test_keys_sort_by_cost_then_anchor() -> None:
    above = np.nextafter(np.float32(1.5), np.float32(2))
    costs = np.array([0.0, -0.0, 1e-45, -1e-45, 1.5, -1.5, 3.4e38, -3.4e38, 1.1754944e-38, above], dtype=np.float32)
    anchors = np.array([0, 1, 7, 22399, 2**31, 2**32 - 2])
    cost, anchor = (grid.ravel() for grid in np.meshgrid(costs, anchors, indexing="ij"))
    keys = compiled.sample_key(cost, anchor)
    np.testing.assert_array_equal(np.argsort(keys, kind="stable"), np.lexsort((anchor, cost)))
    np.testing.assert_array_equal(compiled.sample_cost(keys), cost)
    np.testing.assert_array_equal(compiled.sample_anchor(keys), anchor)
    assert (keys < 2**64 - 1).all()  # padding, which is not a sample


def test_mean_and_std_are_nan_where_undefined() -> None:
    assert compiled.mean_of(6.0, 4) == 1.5 and compiled.std_of(12.0, 4) == 2.0
    assert np.isnan(compiled.mean_of(0.0, 0))
    assert np.isnan(compiled.std_of(0.0, 1)) and np.isnan(compiled.std_of(0.0, 0))


# Split


def test_peak_is_the_first_of_the_highest_component_0_samples_in_any_order() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        count = int(rng.integers(1, 8))
        likelihood, label = rng.integers(-3, 1, count).astype(float), rng.integers(0, 2, count)
        cheap = np.flatnonzero(label == 0)
        wanted = cheap[np.argmax(likelihood[cheap])] if len(cheap) else -1
        for order in (range(count), reversed(range(count)), rng.permutation(count)):
            assert compiled.first_peak(likelihood, label, list(order)) == wanted


def spec_fates(labels: list[int], peak: int, split: str, keep_single: bool, keep_all: bool, prefix: bool) -> list[int]:
    """The split as documented, for all samples of an object at once. ``peak`` is a component-0 sample or -1."""
    count = len(labels)
    if count == 1:
        return [POSITIVE if keep_single else BACKGROUND]
    cheap = {i for i in range(count) if labels[i] == 0}
    if not cheap:
        return [POSITIVE if keep_all else BACKGROUND] * count
    if split == "posterior":
        positive = cheap | ({0} if prefix else set())
    else:
        positive = set(range(peak + 1)) if prefix else {i for i in cheap if i <= peak}
    ignored = cheap - positive if split == "band" else set()
    return [POSITIVE if i in positive else IGNORED if i in ignored else BACKGROUND for i in range(count)]


@pytest.mark.parametrize("split", MODES_OF_SPLIT)
def test_fate_of_every_sample(split: str) -> None:
    """Tests all labellings of up to 5 samples, all peaks and all options."""
    for count in range(1, 6):
        for labels, options in itertools.product(
            itertools.product((0, 1), repeat=count), itertools.product((False, True), repeat=3)
        ):
            for peak in [i for i in range(count) if labels[i] == 0] or [-1]:
                fates = [
                    compiled.fate_of(i, labels[i], count, peak, MODES_OF_SPLIT.index(split), *options)
                    for i in range(count)
                ]
                assert fates == spec_fates(list(labels), peak, split, *options)
                if all(options):  # the default: there is always a positive, and the cheapest sample is always positive
                    assert fates[0] == POSITIVE


# Suppression and votes


@PRECISIONS
def test_only_an_iou_above_the_threshold_suppresses(dtype: type) -> None:
    kept, other = np.array([[0, 0, 2, 2]], dtype=dtype), np.array([[0, 0, 2, 1]], dtype=dtype)  # IoU 1/2, exactly
    threshold = np.array([0.5, np.nextafter(dtype(0.5), dtype(0))], dtype=dtype)
    assert of(dtype).suppresses(*kept.T, *other.T, threshold).tolist() == [False, True]
    nan = np.full((1, 4), np.nan, dtype=dtype)
    assert not of(dtype).suppresses(*kept.T, *nan.T, dtype(0)).any()


@PRECISIONS
def test_votes(dtype: type) -> None:
    """Weights score * exp(-(1 - IoU)^2 / sigma) above both thresholds; the voted box is their weighted mean."""
    rng = np.random.default_rng(2)
    box = np.array([10, 10, 60, 50], dtype=dtype)
    voters = (box + rng.uniform(-15, 15, (200, 4))).astype(dtype)
    voters[150:] = random_boxes(rng, 50, dtype, scale=1000)  # most do not overlap
    scores = rng.uniform(0, 1, 200).astype(dtype)
    voters[0], scores[0] = np.nan, 0.9
    scores[1] = np.nan
    sigma, iou_threshold, score_threshold = 0.025, 0.01, 0.05
    iou = box_iou(np.tile(box, (200, 1)), voters, "iou")
    with np.errstate(invalid="ignore"):
        votes = (iou > dtype(iou_threshold)) & (scores > dtype(score_threshold))
    wanted = np.where(votes, scores * np.exp(-((1 - iou.astype(np.float64)) ** 2) / sigma), 0)
    weights = of(dtype).vote_weight(*box, *voters.T, scores, sigma, iou_threshold, score_threshold)
    assert 50 < votes.sum() < 170
    np.testing.assert_allclose(weights, wanted, rtol=256 * np.finfo(dtype).eps, atol=1e-30)

    voted = of(dtype).voted_box(box.tolist(), np.column_stack([voters, weights]).tolist())
    mean = (wanted[votes, None] * voters[votes].astype(np.float64)).sum(0) / wanted[votes].sum()
    np.testing.assert_allclose(voted, mean, rtol=256 * np.finfo(dtype).eps)
    assert of(dtype).voted_box(box.tolist(), []) == box.tolist()  # a box without voters does not change
