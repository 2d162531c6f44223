"""Calls every operator on fixed inputs, forward and backward. As a script it prints digests of the bits of the results,
and saves the results of the operators with fused multiply-adds, whose last digits depend on the CPU.

The inputs reach every loop: every dtype and every option that is a compile-time constant of a loop, contiguous tensors,
channel maps and tensors with gaps, sizes around and between vectors and blocks, NaN and infinity.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

import colad_ops
from colad_ops import AssignConfig
from colad_ops.ops.nms import batched_nms_of_sorted_boxes
from python_tests.support.edge_case_boxes import seeded_boxes, with_edge_cases
from python_tests.support.op_contract import RecordOperators, strided, tensors_of
from python_tests.support.property_checks import value_and_gradients
from python_tests.support.scenes import make_scene, random_boxes

NAN, INF = float("nan"), float("inf")
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
IOU_MODES = ("iou", "iof", "giou", "diou", "ciou")
Results = Iterator[Any]


def with_odd_values(values: Tensor, every: int = 13) -> Tensor:
    """Mixes in infinities, NaN, zeros, values that saturate a sigmoid, and values that underflow."""
    odd = torch.tensor([NAN, INF, -INF, 0.0, -0.0, 1e4, -1e4, 88.0, -104.0, 1e-30, 17.0, -17.0], dtype=values.dtype)
    values = values.clone()
    flat = values.view(-1)[::every]
    flat.copy_(odd.repeat(len(flat) // len(odd) + 1)[: len(flat)])
    return values


@lru_cache
def odd_boxes(count: int, every: int = 7) -> Tensor:
    return with_edge_cases(seeded_boxes(count), every)


def layouts(tensor: Tensor) -> Iterator[Tensor]:
    """Layouts of ``(B, A, C)``: contiguous, as a channel map, with gaps."""
    yield tensor.contiguous()
    yield tensor.transpose(1, 2).contiguous().transpose(1, 2)
    yield strided(tensor)


def iou() -> Results:
    generator = torch.Generator().manual_seed(0)
    batches = (random_boxes(generator, 4 * 37).view(4, 1, 37, 4), random_boxes(generator, 3 * 21).view(3, 21, 4))
    for dtype, mode in itertools.product(DTYPES, IOU_MODES):
        for n, m in ((1, 1000), (70, 131), (131, 70)):
            a, b = (odd_boxes(count).to(dtype) for count in (n, m))
            yield value_and_gradients(lambda a, b, mode=mode: colad_ops.box_iou(a, b, mode), a, b)
            yield colad_ops.box_iou(strided(a), strided(b), mode)
        a = odd_boxes(1003).to(dtype)
        yield value_and_gradients(lambda a, b, mode=mode: colad_ops.aligned_box_iou(a, b, mode), a, a.roll(1, 0))
        yield colad_ops.aligned_box_iou(strided(a), strided(a.roll(2, 0)), mode)
        yield colad_ops.box_iou(*(x.to(dtype) for x in batches), mode)


def matched_iou() -> Results:
    generator = torch.Generator().manual_seed(9)
    for dtype, mode in itertools.product(DTYPES, IOU_MODES):
        boxes, objects = odd_boxes(2 * 501).to(dtype).view(2, 501, 4), odd_boxes(9, every=4).to(dtype)
        for least in (-2, -30, 0):
            matched = torch.randint(least, 9, (2, 501), generator=generator).clamp(min=-2)
            yield value_and_gradients(lambda x: colad_ops.matched_box_iou(x, objects, matched, mode=mode), boxes)  # noqa: B023
            yield colad_ops.matched_box_iou(strided(boxes), strided(objects), strided(matched), mode=mode)


def decoding() -> Results:
    generator = torch.Generator().manual_seed(9)
    sides = ((23, 31), (5, 7), (1, 1))
    for dtype, of_anchors, shapes in itertools.product(DTYPES, (torch.float32, torch.float64), (1, 3)):
        anchors = odd_boxes(shapes * sum(h * w for h, w in sides)).to(of_anchors)
        maps = [
            with_odd_values(3 * torch.randn(2, 4 * shapes, h, w, generator=generator), 31).to(dtype) for h, w in sides
        ]
        views = [m.unflatten(1, (shapes, 4)).flatten(3).permute(0, 3, 1, 2) for m in maps]
        for levels in (views, [x.contiguous() for x in views], [strided(x) for x in views]):
            for max_ratio in (62.5, 1.0, 1e36):
                yield value_and_gradients(lambda *x: colad_ops.decode_boxes(anchors, x, max_ratio=max_ratio), *levels)  # noqa: B023
        rows = torch.cat([x.flatten(1, 2) for x in views], dim=1)
        yield value_and_gradients(lambda x: colad_ops.decode_boxes(anchors, x, stds=(1.0, 0.5, 2.0, 0.1)), rows)  # noqa: B023


def matching() -> Results:
    generator = torch.Generator().manual_seed(1)
    objects, crowd = odd_boxes(75), odd_boxes(9, every=4)
    offsets, crowd_offsets = torch.tensor([0, 3, 3, 10, 75]), torch.tensor([0, 1, 2, 2, 9])
    flags = (("all", "own", "none"), (False, True), (False, True))
    for count, dtype, (low_quality, zero, inclusive) in itertools.product(
        (1, 65, 1003), DTYPES, itertools.product(*flags)
    ):
        anchors = odd_boxes(count).to(dtype)
        options = {"low_quality": low_quality, "claim_zero_overlap": zero, "inclusive_corners": inclusive}
        yield colad_ops.match_anchors(anchors, objects.to(dtype), offsets, **options)
        yield colad_ops.match_anchors(
            strided(anchors),
            strided(objects.to(dtype)),
            offsets,
            valid=torch.rand(4, count, generator=generator) < 0.7,
            ignore_boxes=crowd.to(dtype),
            ignore_offsets=crowd_offsets,
            ignore_iof=0.3,
            **options,
        )


def cost() -> Results:
    options = [
        {"box_cost": mode, "gamma": gamma, "alpha": alpha, "probs": probs}
        for mode in IOU_MODES
        for gamma, alpha in ((2.0, 0.25), (1.3, -1.0), (0.0, 0.25))
        for probs in (False, True)
    ]
    for dtype, classes in itertools.product(DTYPES, (1, 5, 83)):
        scene = make_scene([3, 0, 9], classes=classes, seed=classes, strides=(8, 16, 32))
        matched = colad_ops.match_anchors(scene.anchors, scene.gt_boxes, scene.gt_offsets).matched
        boxes = with_odd_values(scene.boxes, every=29).to(dtype)
        logits = with_odd_values(scene.logits.to(dtype), every=61)
        of_objects = scene.gt_boxes.to(dtype), scene.gt_labels, matched
        for chosen in options:
            values = logits.sigmoid() if chosen["probs"] else logits
            for x, b in zip(layouts(values), layouts(boxes)):
                yield colad_ops.assign_cost(x, b, *of_objects, **chosen)
            maps = ([m.clone() for m in x.transpose(1, 2).split(scene.level_sizes, dim=2)] for x in (values, boxes))
            of_levels = ([m.transpose(1, 2) for m in levels] for levels in maps)
            yield colad_ops.assign_cost(*of_levels, *of_objects, **chosen)


def mixtures() -> Results:
    generator = torch.Generator().manual_seed(2)
    counts = torch.tensor([*range(40), 63, 64, 65, 200, *[22] * 70])
    offsets = torch.cat([torch.tensor([0]), counts.cumsum(0)])
    values = torch.rand(int(offsets[-1]), generator=generator, dtype=torch.float64) * 3
    values[offsets[20] : offsets[21]] = 0.7  # equal
    values[offsets[25] : offsets[30]] *= 1e-4  # near one another
    with_odd = with_odd_values(values, every=97)
    for dtype, covariance in itertools.product(DTYPES, ("full", "tied")):
        for chosen in ({}, {"max_iter": 1}, {"tol": 0.0, "max_iter": 150}, {"reg_covar": 0.0}):
            for x in (values, with_odd):
                yield colad_ops.gmm_em(x.to(dtype), offsets, covariance=covariance, **chosen)
        yield colad_ops.gmm_em(strided(values.to(dtype)), offsets, covariance=covariance)
        padded = values[: 30 * 70].view(70, 30).to(dtype)
        yield colad_ops.gmm_em(padded, counts=torch.arange(70) % 31, covariance=covariance)


CONFIGS = (
    AssignConfig(),
    AssignConfig.mmdet(),
    AssignConfig.official_lad(),
    AssignConfig.official_colad(),
    AssignConfig.kkhoot(),
    AssignConfig(split="posterior", covariance="tied", topk=3),
    AssignConfig(split="band", gamma=1.5, topk=20),
)


def split() -> Results:
    """The part of an assignment after the costs."""
    scene = make_scene([7, 0, 1, 13], size=200, seed=7)
    objects = scene.gt_boxes, scene.gt_labels, scene.gt_offsets
    matched = colad_ops.match_anchors(scene.anchors, scene.gt_boxes, scene.gt_offsets).matched
    costs = torch.rand(2, *matched.shape, generator=torch.Generator().manual_seed(8)) * 2
    for cost, config in itertools.product((*costs, with_odd_values(costs[0]), strided(costs[1])), CONFIGS):
        yield colad_ops.split_candidates(cost, matched, scene.level_sizes, *objects, config)
        yield colad_ops.cost_statistics(cost, matched, scene.gt_offsets, len(scene.gt_boxes), scene.level_sizes)


def assignment() -> Results:
    indicators = [("std_mean", g) for g in ("iteration", "image", "object", "object_level")]
    indicators += [("fisher", g) for g in ("iteration", "image", "object")]
    for dtype, odd in itertools.product(DTYPES, (False, True)):
        scenes = [make_scene([7, 0, 1, 13], size=200, classes=7, seed=seed) for seed in (3, 4)]
        scene = scenes[0]
        rest = scene.anchors, scene.level_sizes, scene.gt_boxes, scene.gt_labels, scene.gt_offsets
        predictions = [(s.logits.to(dtype), s.boxes.to(dtype)) for s in scenes]
        if odd:
            predictions = [tuple(with_odd_values(x, every=211) for x in pair) for pair in predictions]
        for config in CONFIGS:
            result = colad_ops.paa_assign(*predictions[0], *rest, config)
            yield result, result.fisher
            yield colad_ops.paa_assign(*map(strided, predictions[0]), *rest, config)
        for indicator, granularity in indicators:
            yield colad_ops.colad_assign(predictions, *rest, indicator=indicator, granularity=granularity)


def losses() -> Results:
    generator = torch.Generator().manual_seed(5)
    shape = (2, 311, 7)
    rows, elements = torch.arange(2 * 311).view(2, 311) % 4 / 2, torch.rand(shape, generator=generator)
    labels = torch.randint(-2, 8, shape[:2], generator=generator)
    logits, teacher = (4 * torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    functions: list[tuple[Callable, tuple[str, ...]]] = [
        (lambda x, t, **o: colad_ops.sigmoid_focal_loss(x, labels, **o), ("alpha",)),
        (colad_ops.focal_kl_loss, ("smooth", "teacher_is_logits")),
    ]
    own: dict[str, tuple] = {"alpha": (0.25, -1.0), "smooth": (0.0, 1e-6), "teacher_is_logits": (True, False)}
    for dtype, odd in itertools.product(DTYPES, (False, True)):
        x, t = (with_odd_values(v.to(dtype)) if odd else v.to(dtype) for v in (logits, teacher))
        probs = torch.where(torch.arange(7) == 3, (t > 0).to(dtype), t.sigmoid())  # also 0 and 1
        for function, names in functions:
            for chosen in itertools.product(*(own[name] for name in names)):
                options = dict(zip(names, chosen))
                target = t if options.get("teacher_is_logits", True) else probs
                for gamma, weight in itertools.product((2.0, 1.0, 0.0, 0.5, 1.7), (None, rows, elements)):
                    options.update(gamma=gamma, weight=weight)
                    for reduction in ("none", "sum"):
                        yield value_and_gradients(lambda x: function(x, target, reduction=reduction, **options), x)  # noqa: B023
                for a, b in zip(layouts(x), layouts(target)):
                    leaf = a.detach().requires_grad_()
                    loss = function(leaf, b, avg_factor=7.3, **options)
                    yield loss, torch.autograd.grad(loss, leaf)
                    loss = function(leaf, b, reduction="none", **options)
                    yield loss, torch.autograd.grad(loss, leaf, torch.ones_like(x))


def after_the_network() -> Results:
    generator = torch.Generator().manual_seed(6)
    labels, offsets = torch.randint(0, 3, (301,), generator=generator), torch.tensor([0, 100, 100, 301])
    every_score = torch.rand(301, 3, generator=generator)
    scores = every_score.amax(1)
    for dtype in DTYPES:
        boxes, of_boxes = odd_boxes(301).to(dtype), scores.to(dtype)
        kept = colad_ops.batched_nms(boxes, of_boxes, labels, 0.5, offsets)
        yield kept, colad_ops.batched_nms(strided(boxes), of_boxes, labels, 0.3)
        yield batched_nms_of_sorted_boxes(boxes, of_boxes, labels, offsets, 0.5)  # nms_keep
        for chosen in (every_score, with_odd_values(every_score)):
            everything = boxes, chosen.to(dtype)
            yield colad_ops.score_voting(boxes[kept], of_boxes[kept], labels[kept], *everything)
            yield colad_ops.score_voting(boxes[kept], of_boxes[kept], labels[kept], *map(strided, everything))


EXACT = (iou, matched_iou, decoding, matching, after_the_network)
FUSED = (cost, mixtures, split, assignment, losses)  # use fused multiply-adds if the CPU has them


def digest(results: Results) -> str:
    """Digest of the bits. All NaNs are replaced by the same NaN, because the compiler chooses which operand's NaN a sum
    returns."""
    found = hashlib.sha256()
    for tensor in tensors_of(list(results)):
        if tensor.is_floating_point():
            tensor = torch.where(tensor.isnan(), NAN, tensor)
        found.update(tensor.contiguous().view(torch.uint8 if tensor.dim() else tensor.dtype).numpy().tobytes())
    return found.hexdigest()


def main(fused_results: str) -> dict[str, Any]:
    """Saves the results of the fused groups. Returns the digests by group, the operators that ran, and the vector
    instructions that they used."""
    with RecordOperators() as record:
        digests = {group.__name__: digest(group()) for group in EXACT}
        fused = {group.__name__: tensors_of(list(group())) for group in FUSED}
    torch.save(fused, fused_results)
    return {
        "capability": colad_ops.build_info()["cpu_capability"],
        "operators": sorted({func._schema.name for func, _, _ in record.calls}),
        "digests": digests,
        "digests_of_fused": {name: digest(iter(tensors)) for name, tensors in fused.items()},
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
