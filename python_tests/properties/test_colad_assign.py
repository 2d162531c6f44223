"""Laws of colad_assign: the network that assigns.

Results are equal bit for bit, except where a comment gives a reason.
"""

from __future__ import annotations

import dataclasses

import torch
from hypothesis import given
from hypothesis import strategies as st

from colad_ops import colad_assign
from python_tests.support.op_contract import assert_same
from python_tests.support.property_checks import ROUNDING, assert_fields
from python_tests.support.scenes import make_scene
from python_tests.support.strategies import (
    batches,
    co_options,
    configs,
    laws,
)


@laws()
@given(batches(networks=3), configs(), co_options())
def test_each_object_is_assigned_by_its_teacher(batch, config, co_options):
    """The teacher is the network of highest indicator. There is one level, so that no object mixes networks."""
    batch = dataclasses.replace(batch, level_sizes=[len(batch.anchors)])
    result = batch.co_assign(config, **co_options)
    singles = [batch.assign(config, k) for k in range(3)]
    for row, teacher in enumerate(result.teacher.flatten().clamp(min=0).tolist()):
        assert_same(result.matched == row, singles[teacher].matched == row)
        assert_fields(result.assignment, singles[teacher], [row], new_rows=[row])

    fisher, granularity = co_options["indicator"] == "fisher", co_options["granularity"]
    own = torch.stack([single.fisher if fisher else single.std / single.mean for single in singles])
    defined = ~own.isnan().T
    if granularity == "iteration":
        assert_same(result.indicators, own.nanmean(1), rtol=ROUNDING)
    for row, teacher in enumerate(result.teacher.flatten().tolist()):
        if granularity == "iteration":
            compared = own.nanmean(1)
        elif granularity == "image":
            compared = own[:, batch.image_of_row == batch.image_of_row[row]].nanmean(1)
        elif granularity == "object" or defined[row].all():
            compared = own[:, row]
        elif defined[row].any():  # several samples for some networks only: their order decides
            continue
        else:  # one sample on the level: the lowest cost
            compared = -torch.stack([single.mean[row] for single in singles])
        compared = compared.nan_to_num(nan=-torch.inf)
        assert compared[teacher] >= compared.max() * (1 - ROUNDING * compared.max().sign())


@laws()
@given(batches(), configs(), co_options(), st.sampled_from([2, 3, 4]))
def test_equal_networks_assign_as_one(batch, config, co_options, count):
    """The first network is the teacher. With granularity "object_level", the last network is the teacher on a level
    with several samples."""
    result = batch.with_networks([0] * count).co_assign(config, **co_options)
    assert_same(result.assignment, batch.assign(config))
    assert_same(result.indicators, result.indicators[:1].expand(count))
    allowed = [0] if co_options["granularity"] != "object_level" else [-1, 0, count - 1]
    assert torch.isin(result.teacher, torch.tensor(allowed)).all()


@laws(50)
@given(st.lists(st.integers(0, 30), max_size=5), st.integers(0, 1000), st.integers(2, 5), co_options())
def test_equal_networks_tie_in_images_of_many_objects(objects, seed, count, co_options):
    """The means of equal networks are equal bit for bit, for any number of summands."""
    scene = make_scene(objects, seed=seed)
    objects = (scene.gt_boxes, scene.gt_labels, scene.gt_offsets)
    predictions = [(scene.logits, scene.boxes)] * count
    result = colad_assign(predictions, scene.anchors, scene.level_sizes, *objects, **co_options)
    assert_same(result.indicators, result.indicators[:1].expand(count))
    if co_options["granularity"] != "object_level":
        assert not result.teacher.any()
