"""Laws of the assignment: match_anchors, paa_assign, split_candidates, colad_assign on any batch that hypothesis draws.

Results are equal bit for bit, except where a comment gives a reason.
"""

from __future__ import annotations

import dataclasses

import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from colad_ops import Assignment, CoAssignment, box_iou, split_candidates
from python_tests.support.op_contract import assert_same
from python_tests.support.property_checks import ROUNDING, assert_fields
from python_tests.support.strategies import (
    CLASSES,
    Batch,
    Order,
    batches,
    co_options,
    configs,
    laws,
    orders,
)


def overlaps(batch: Batch, image: int) -> Tensor:
    """``(objects, A)``: IoUs of an image; -1 if the IoU is NaN or the anchor is not valid."""
    rows = slice(int(batch.gt_offsets[image]), int(batch.gt_offsets[image + 1]))
    iou = box_iou(batch.gt_boxes[rows], batch.anchors).nan_to_num(nan=-1.0)
    return iou if batch.valid is None else torch.where(batch.valid[image], iou, -1)


def tied_objects(batch: Batch) -> tuple[bool, bool]:
    """Whether some anchor has the same IoU with two objects, and whether one is the best anchor of two objects. The
    order of rows decides in both cases."""
    alike = claimed_twice = False
    for image in range(batch.images):
        iou = overlaps(batch, image)
        if iou.numel() > 0:
            alike |= bool((((iou == iou.amax(0)) & (iou > 0)).sum(0) > 1).any())
            claimed_twice |= bool((((iou == iou.amax(1, keepdim=True)) & (iou > 0)).sum(0) > 1).any())
    return alike, claimed_twice


def has_tied_costs(matched: Tensor, cost: Tensor) -> bool:
    """Whether two candidates of an object have the same cost. Then the order of anchors decides."""
    candidate = (matched >= 0) & cost.isfinite()
    pairs = torch.stack([matched[candidate].double(), cost[candidate].double()], dim=1)
    return len(pairs.unique(dim=0)) < len(pairs)


def assert_rearranged(actual: Assignment, expected: Assignment, order: Order, rtol: float = 0.0) -> None:
    assert_same(actual.matched, order.of_match(expected.matched))
    assert_same(actual.cost, order.of_anchors(expected.cost))
    assert_fields(actual, expected, order.rows, rtol=rtol)


def assert_co_rearranged(actual: CoAssignment, expected: CoAssignment, order: Order) -> None:
    teacher = expected.teacher[order.rows]
    assert_same(actual.teacher, teacher[:, order.levels] if teacher.dim() == 2 else teacher)
    assert_rearranged(actual.assignment, expected.assignment, order, ROUNDING)
    assert_same(actual.indicators, expected.indicators, rtol=ROUNDING)  # a sum over the objects


@laws()
@given(st.data(), configs(claim_zero_overlap=False) | configs(claim_zero_overlap=True), co_options())
def test_rearranging_images_rearranges_the_result(data, config, co_options):
    """Ties are allowed here, because the order within an image stays the same."""
    batch = data.draw(batches(networks=2))
    order = data.draw(orders(batch, within_images=False))
    moved = batch.rearranged(order)
    match, moved_match = batch.match(**config.matching_options()), moved.match(**config.matching_options())
    assert_same(moved_match.matched, order.of_match(match.matched))
    assert_same(moved_match.iou, order.of_anchors(match.iou))
    assert_rearranged(moved.assign(config), batch.assign(config), order)
    assert_co_rearranged(moved.co_assign(config, **co_options), batch.co_assign(config, **co_options), order)


@laws()
@given(st.data(), configs(), co_options(), st.sampled_from([2, 3]))
def test_rearranging_objects_levels_and_anchors_rearranges_the_result(data, config, co_options, networks):
    """Ties go to the lower row and anchor, so these batches have no ties. With low_quality="all", an anchor that is the
    best anchor of two objects goes to the later one, so such a batch is matched with "own"."""
    batch = data.draw(batches(exact=False, networks=networks))
    alike, claimed_twice = tied_objects(batch)
    assume(not alike)
    if claimed_twice and config.low_quality == "all":
        config = dataclasses.replace(config, low_quality="own")
    results = [batch.assign(config, k) for k in range(networks)]
    match = batch.match(**config.matching_options())
    assume(not any(has_tied_costs(match.matched, result.cost) for result in results))

    order = data.draw(orders(batch, within_images=True))
    moved = batch.rearranged(order)
    moved_match = moved.match(**config.matching_options())
    assert_same(moved_match.matched, order.of_match(match.matched))
    assert_same(moved_match.iou, order.of_anchors(match.iou))
    for k, result in enumerate(results):
        assert_rearranged(moved.assign(config, k), result, order, ROUNDING)
    assert_co_rearranged(moved.co_assign(config, **co_options), batch.co_assign(config, **co_options), order)


def decided_rows(batch: Batch, indicator: Tensor, granularity: str) -> Tensor:
    """``(G,)``: objects whose teacher does not depend on the order of equal networks, from the indicators of one
    network. With one sample or none, the indicator of every network is undefined or 0."""
    own = indicator > 0
    if granularity == "iteration":
        return own.any().expand(len(own))
    if granularity == "image":
        return torch.zeros(batch.images).index_add(0, batch.image_of_row, own.float())[batch.image_of_row] > 0
    return own if granularity == "object" else torch.ones_like(own)  # a level's single samples are compared by cost


@laws()
@given(batches(exact=False, odd=False, networks=3), configs(), co_options(), st.permutations(range(3)))
def test_rearranging_networks_rearranges_the_teachers(batch, config, co_options, networks):
    """Of equal networks the order decides, so the networks in these batches are different."""
    single = batch.assign(config)
    assume(not has_tied_costs(batch.match(**config.matching_options()).matched, single.cost))
    result = batch.co_assign(config, **co_options)
    moved = batch.with_networks(networks).co_assign(config, **co_options)
    assert_same(moved.indicators, result.indicators[networks])

    indicator = single.fisher if co_options["indicator"] == "fisher" else single.std / single.mean
    decided = decided_rows(batch, indicator, co_options["granularity"])
    old_network = torch.tensor([*networks, -1])  # -1: a level without candidates
    assert_same(old_network[moved.teacher[decided]], result.teacher[decided])
    assert_fields(moved.assignment, result.assignment, decided, new_rows=decided)
    for row in decided.nonzero()[:, 0].tolist():
        assert_same(moved.matched == row, result.matched == row)


@laws()
@given(
    batches(networks=2),
    configs(),
    co_options(),
    st.tuples(st.integers(-4096, 4096), st.integers(-4096, 4096)),
    st.integers(-10, 10),
)
def test_exact_translation_and_scaling_change_nothing(batch, config, co_options, shift, exponent):
    """No operation rounds, so even the cost does not change, for every box cost."""
    shift = torch.tensor([*shift, *shift], dtype=torch.float32)
    moved = batch.map_boxes(lambda boxes: (boxes + shift) * 2.0**exponent)
    assert_same(moved.match(**config.matching_options()), batch.match(**config.matching_options()))
    assert_same(moved.assign(config)[:-2], batch.assign(config)[:-2])  # the last two fields are the given objects
    result, moved_result = batch.co_assign(config, **co_options), moved.co_assign(config, **co_options)
    assert_same(moved_result.assignment[:-2], result.assignment[:-2])
    assert_same(moved_result[1:], result[1:])


@laws()
@given(st.data(), configs(box_cost="iou"), st.floats(-100, 100, width=32), st.floats(0.375, 2.5, width=32))
def test_translation_and_scaling_change_no_label_away_from_boundaries(data, config, shift, scale):
    """Coordinates up to 290 round by at most 1.5e-5 in each of two steps, and sides are at least 4. So an IoU changes
    by less than 1e-4, and every decision here has a larger margin."""
    margin = 1e-4
    batch = data.draw(batches(exact=False, odd=False))
    for image in range(batch.images):
        iou = overlaps(batch, image)
        assume(not ((iou - config.iou_threshold).abs() < margin).any())
        if iou.numel() > 0:
            for dim in (0, 1):  # margins among the objects of an anchor, and among the anchors of an object
                best = iou.topk(min(2, iou.shape[dim]), dim=dim).values
                runner_up = best.select(dim, -1) if iou.shape[dim] > 1 else -torch.ones(())
                assume(not ((best.select(dim, 0) - runner_up < 2 * margin) & (best.select(dim, 0) > 0)).any())
    matching = config.matching_options()
    moved = batch.map_boxes(lambda boxes: boxes * scale + shift)
    matched = batch.match(**matching).matched
    assert_same(moved.match(**matching).matched, matched)

    result, moved_result = batch.assign(config), moved.assign(config)
    assert_same(moved_result.cost, result.cost, atol=config.box_weight * margin)
    # Fits and cuts have boundaries too. An object is on such a boundary if its positives change when its costs change
    # by the margin.
    generator = torch.Generator().manual_seed(0)
    steady = torch.ones_like(result.num_pos, dtype=torch.bool)
    for _ in range(4):
        noise = (2 * torch.rand(result.cost.shape, generator=generator) - 1) * config.box_weight * margin
        scene = (batch.level_sizes, batch.gt_boxes, batch.gt_labels, batch.gt_offsets, config)
        near = split_candidates(result.cost + noise, matched, *scene)
        for row in (matched[near.matched != result.matched]).tolist():
            steady[row] = False
    labels, moved_labels = result.labels(CLASSES), moved_result.labels(CLASSES)
    of_steady = torch.cat([steady, torch.tensor([True])])[matched.clamp(min=-1)]
    assert_same(moved_labels[of_steady], labels[of_steady])
    assume(bool(steady.any()) or len(steady) == 0)


@laws()
@given(st.data(), configs(), co_options())
def test_an_image_twice_is_assigned_twice(data, config, co_options):
    batch = data.draw(batches(networks=2, min_images=1))
    image = data.draw(st.integers(0, batch.images - 1))
    twice = batch.with_images(torch.tensor([image, image]))
    once = batch.with_images(torch.tensor([image]))
    objects = len(once.gt_boxes)
    single, double = once.assign(config), twice.assign(config)
    co_single, co_double = once.co_assign(config, **co_options), twice.co_assign(config, **co_options)
    assert_same(co_double.teacher, co_single.teacher.repeat(2, *[1] * (co_single.teacher.dim() - 1)))
    assert_same(co_double.indicators, co_single.indicators, rtol=ROUNDING)
    for one, two in ((single, double), (co_single.assignment, co_double.assignment)):
        second = torch.where(one.matched >= 0, one.matched + objects, one.matched)
        assert_same(two.matched, torch.cat([one.matched, second]))
        assert_same(two.cost, one.cost.repeat(2, 1))
        assert_fields(two, one, torch.arange(objects).repeat(2))


@laws()
@given(batches(networks=2), configs(), co_options().filter(lambda o: o["granularity"] != "iteration"))
def test_a_batch_is_assigned_image_by_image(batch, config, co_options):
    """Granularity "iteration" is excluded, because it chooses one teacher for the whole batch."""
    match = batch.match(**config.matching_options())
    whole, co_whole = batch.assign(config), batch.co_assign(config, **co_options)
    for image in range(batch.images):
        alone = batch.with_images(torch.tensor([image]))
        rows = torch.arange(int(batch.gt_offsets[image]), int(batch.gt_offsets[image + 1]))
        match_alone, assigned = alone.match(**config.matching_options()), alone.assign(config)
        co_assigned = alone.co_assign(config, **co_options)
        assert_same(match_alone.iou[0], match.iou[image])
        assert_same(co_assigned.teacher, co_whole.teacher[rows])
        for one, all_images in ((match_alone, match), (assigned, whole), (co_assigned.assignment, co_whole.assignment)):
            matched = torch.where(one.matched >= 0, one.matched + batch.gt_offsets[image], one.matched)
            assert_same(matched[0], all_images.matched[image])
        for one, all_images in ((assigned, whole), (co_assigned.assignment, co_whole.assignment)):
            assert_same(one.cost[0], all_images.cost[image])
            assert_fields(one, all_images, rows)


@laws()
@given(st.data(), configs(), co_options())
def test_a_far_away_object_changes_nothing_for_the_others(data, config, co_options):
    """The object overlaps no anchor. It is inserted in any image, at any row. A NaN object counts as far away too."""
    batch = data.draw(batches(networks=2, min_images=1))
    image = data.draw(st.integers(0, batch.images - 1))
    row = data.draw(st.integers(int(batch.gt_offsets[image]), int(batch.gt_offsets[image + 1])))
    corner = data.draw(st.sampled_from([5000.0, -5000.0, torch.nan]))
    far = torch.tensor([[corner, corner, corner + 30, corner + 30]])
    others = torch.arange(len(batch.gt_boxes) + 1) != row
    with_far = batch.with_objects(
        torch.cat([batch.gt_boxes[:row], far, batch.gt_boxes[row:]]),
        torch.cat([batch.gt_labels[:row], torch.tensor([CLASSES - 1]), batch.gt_labels[row:]]),
        batch.gt_offsets + (torch.arange(batch.images + 1) > image),
    )
    new_row = torch.cat([others.nonzero()[:, 0], torch.tensor([-2, -1])])  # -2 and -1 stay what they are
    options = config.matching_options()
    result, far_result = batch.co_assign(config, **co_options), with_far.co_assign(config, **co_options)
    assert_same(far_result.teacher[others], result.teacher)
    assert_same(far_result.indicators, result.indicators, rtol=ROUNDING)
    pairs = [(with_far.assign(config), batch.assign(config)), (far_result.assignment, result.assignment)]
    for new, old in [(with_far.match(**options), batch.match(**options)), *pairs]:
        assert_same(new.matched, new_row[old.matched])
    for new, old in pairs:
        assert_same(new.cost, old.cost)
        assert_fields(new, old, torch.arange(len(batch.gt_boxes)), new_rows=others)
        assert new.num_pos[row] == 0


@laws()
@given(st.data(), configs())
def test_anchors_that_overlap_nothing_change_nothing_for_the_others(data, config):
    batch = data.draw(batches(min_images=1))
    far = data.draw(st.lists(st.sampled_from([5000.0, torch.nan]), min_size=1, max_size=3))
    far = torch.tensor(far).view(-1, 1) + torch.tensor([0.0, 0.0, 30.0, 30.0])
    level = data.draw(st.integers(0, len(batch.level_sizes) - 1))
    end = sum(batch.level_sizes[: level + 1])
    sizes = [size + len(far) * (l == level) for l, size in enumerate(batch.level_sizes)]
    count = len(batch.anchors)
    index = torch.cat([torch.arange(end), torch.arange(count, count + len(far)), torch.arange(end, count)])
    old = (index < count).nonzero()[:, 0]

    def widened(values: Tensor, fill: float) -> Tensor:
        return torch.cat([values, values.new_full((values.shape[0], len(far), *values.shape[2:]), fill)], 1)[:, index]

    wide = dataclasses.replace(
        batch,
        anchors=torch.cat([batch.anchors, far])[index],
        level_sizes=sizes,
        predictions=[(widened(logits, 5.0), widened(boxes, 3.0)) for logits, boxes in batch.predictions],
        valid=None if batch.valid is None else widened(batch.valid, True),
    )
    result, expected = wide.assign(config), batch.assign(config)
    assert_same(result.matched[:, old], expected.matched)


@laws(60)
@given(batches(networks=2), configs(), co_options(), st.sampled_from([torch.float16, torch.bfloat16]))
def test_half_types_are_assigned_as_their_values_in_float32(batch, config, co_options, dtype):
    half = batch.map_boxes(lambda x: x.to(dtype)).map_logits(lambda x: x.to(dtype))
    full = half.map_boxes(Tensor.float).map_logits(Tensor.float)
    match, expected = half.match(**config.matching_options()), full.match(**config.matching_options())
    assert_same(match.matched, expected.matched)
    assert_same(match.iou, expected.iou.to(dtype))
    assert_same(half.assign(config)[:-2], full.assign(config)[:-2])
    result, expected = half.co_assign(config, **co_options), full.co_assign(config, **co_options)
    assert_same((result.assignment[:-2], result[1:]), (expected.assignment[:-2], expected[1:]))
