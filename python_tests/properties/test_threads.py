"""Every operator gives the same bits with any number of threads.

Results are equal bit for bit, except where a comment gives a reason.
"""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from colad_ops import (
    batched_nms,
    box_iou,
    decode_boxes,
    gmm_em,
    matched_box_iou,
    score_voting,
)
from python_tests.properties.options import IOU_MODES, LOSSES, MIXTURES
from python_tests.support.op_contract import assert_same
from python_tests.support.property_checks import value_and_gradients
from python_tests.support.scenes import make_scene
from python_tests.support.strategies import (
    Batch,
    at_thread_counts,
    boxes_of,
    co_options,
    configs,
    generators,
    laws,
)


@laws(10)
@given(st.lists(st.integers(4, 8), min_size=2, max_size=3), st.integers(0, 1000), configs(), co_options())
def test_repeats_bit_for_bit_at_any_number_of_threads(objects, seed, config, co_options):
    """The scenes are large enough for a second thread in every operator: several images with 21504 anchors each."""
    scenes = [make_scene(objects, size=512, strides=(4, 8, 16), seed=seed + k) for k in range(2)]
    batch = Batch(
        scenes[0].anchors,
        scenes[0].level_sizes,
        scenes[0].gt_boxes,
        scenes[0].gt_labels,
        scenes[0].gt_offsets,
        [(scene.logits, scene.boxes) for scene in scenes],
    )
    first, *others = at_thread_counts(
        lambda: (
            batch.match(**config.matching_options()),
            batch.assign(config),
            batch.co_assign(config, **co_options),
        )
    )
    for other in others:
        assert_same(other, first)


@laws(6)
@given(generators(), IOU_MODES, LOSSES, MIXTURES)
def test_operators_repeat_bit_for_bit_at_any_number_of_threads(generator, mode, loss, options):
    """The inputs are large enough for a second thread."""
    a, b = (boxes_of(generator, 200, exact=False, odd=True) for _ in range(2))
    student, probs = (torch.rand(3, 1500, 4, generator=generator) for _ in range(2))
    labels = torch.randint(-2, 5, (3, 1500), generator=generator)
    predicted = boxes_of(generator, 80_000, exact=False, odd=True)[None]
    matched = torch.randint(-200, 200, (1, 80_000), generator=generator).clamp(min=-2)
    values, offsets = torch.rand(1000, generator=generator), torch.arange(0, 1001, 20)
    deltas = torch.randn(3, 40_000, 4, generator=generator)
    anchors = boxes_of(generator, 40_000, exact=False, odd=True)
    scores, classes = torch.rand(200, generator=generator), labels[0, :200].clamp(0, 2)
    results = at_thread_counts(
        lambda: (
            value_and_gradients(lambda a, b: box_iou(a, b, mode), a, b),
            value_and_gradients(lambda a: matched_box_iou(a, b, matched, mode=mode), predicted),
            [value_and_gradients(lambda x, r=r: loss(x, probs, labels, reduction=r), student) for r in ("none", "sum")],
            value_and_gradients(lambda x: decode_boxes(anchors, x), deltas),
            gmm_em(values, offsets, **options),
            score_voting(a, scores, classes, b, student[0, :200, :3]),
            batched_nms(a, scores, classes, 0.5),
        )
    )
    for other in results[1:]:
        assert_same(other, results[0])
