"""What a call leaves out because it does not need it: options at their default, autograd where nothing is recorded."""

import copy
import pickle
import sys

import pytest
import torch

from colad_ops import AssignConfig, aligned_box_iou, box_iou, match_anchors, paa_assign
from colad_ops.ops import _call
from colad_ops.ops._call import data_in_order
from python_tests.support.op_contract import assert_same
from python_tests.support.scenes import make_scene

SCHEMA = {argument.name: argument for argument in torch.ops.colad.paa_assign.default._schema.arguments}
PRESETS = (AssignConfig.mmdet, AssignConfig.official_lad, AssignConfig.official_colad, AssignConfig.kkhoot)


def scene_arguments():
    scene = make_scene([2, 3])
    objects = scene.gt_boxes, scene.gt_labels, scene.gt_offsets
    return scene.logits, scene.boxes, scene.anchors, scene.level_sizes, *objects


@pytest.mark.parametrize("preset", [AssignConfig, *PRESETS])
def test_the_changed_options_and_the_defaults_of_the_schema_are_the_configuration(preset):
    config = preset()
    every = {**config.matching_options(), **config.cost_options(), **config.split_options()}
    assert {**{name: SCHEMA[name].default_value for name in every}, **config.changed_options} == every
    assert bool(config.changed_options) == (config != AssignConfig())
    assert all(every[name] != SCHEMA[name].default_value for name in config.changed_options)
    config.changed_options["topk"] = -1  # a dictionary of the caller's
    assert config.changed_options == preset().changed_options


def test_an_option_of_the_wrong_type_is_not_taken_for_the_default():
    config = AssignConfig(topk=9.0)
    assert config == AssignConfig() and config.changed_options == {"topk": 9.0}
    with pytest.raises(RuntimeError, match="topk"):
        paa_assign(*scene_arguments(), config)


def test_a_copy_of_a_configuration_finds_its_changed_options_itself():
    """A pickle may be read by another version, whose schema has other defaults."""
    config = AssignConfig.mmdet(topk=4)
    object.__setattr__(config, "_changed", {"topk": -1})
    for same in (pickle.loads(pickle.dumps(config)), copy.copy(config), copy.deepcopy(config)):
        assert same == config and same.changed_options == AssignConfig.mmdet(topk=4).changed_options


def test_data_is_put_in_the_order_of_the_schema():
    names = list(SCHEMA)
    data = names[: names.index("iou_threshold")]
    in_order = data_in_order(torch.ops.colad.paa_assign)
    assert in_order(**{name: name for name in reversed(data)}) == data
    with pytest.raises(KeyError):
        in_order(**{name: name for name in data[1:]})
    with pytest.raises(TypeError, match="unknown"):
        in_order(**{name: name for name in data}, unknown=0)


def test_a_decision_has_no_gradient_whatever_its_inputs_have():
    logits, boxes, anchors, level_sizes, gt_boxes, gt_labels, gt_offsets = scene_arguments()
    logits, boxes, anchors, gt_boxes = (x.requires_grad_() for x in (logits, boxes, anchors, gt_boxes))
    *results, _, _ = paa_assign(logits, boxes, anchors, level_sizes, gt_boxes, gt_labels, gt_offsets)
    results += match_anchors(anchors, gt_boxes, gt_offsets)
    results += torch.ops.colad.paa_assign([logits], [boxes], anchors, gt_boxes, gt_labels, gt_offsets, level_sizes)
    results += torch.ops.colad.match_anchors(anchors, gt_boxes, gt_offsets)
    assert not any(x.requires_grad for x in results)
    strided = torch.stack([anchors, anchors], 2)[..., 0]  # the operator copies them, and autograd records the copy
    assert not match_anchors(strided, gt_boxes, gt_offsets).iou.requires_grad


def test_an_assignment_in_a_compiled_loss():
    """The graph has a backward, the assignment in it has none, and the configuration is made in the graph."""
    logits, *others = scene_arguments()

    def loss(logits):
        assigned = paa_assign(2 * logits, *others, AssignConfig(topk=5))
        return (logits.square() * (assigned.matched >= 0).unsqueeze(-1)).sum() / assigned.num_pos_total

    torch._dynamo.reset()
    gradients = []
    for function in (loss, torch.compile(loss, fullgraph=True, backend="aot_eager")):
        leaf = logits.clone().requires_grad_()
        gradients.append(torch.autograd.grad(function(leaf), leaf)[0])
    assert gradients[0].count_nonzero() > 0
    assert_same(gradients[1], gradients[0], rtol=1e-6)


def called_functions(run):
    """Names of the Python functions that ``run`` calls."""
    names = []
    sys.setprofile(lambda frame, event, argument: names.append(frame.f_code.co_name) if event == "call" else None)
    try:
        run()
    finally:
        sys.setprofile(None)
    return names


@pytest.mark.parametrize("function", [box_iou, aligned_box_iou])
def test_autograd_takes_part_only_where_it_records(function, monkeypatch):
    boxes, leaf = torch.rand(3, 4), torch.rand(3, 4, requires_grad=True)
    expected = function(boxes, leaf.detach())
    for other in (leaf.detach(), leaf):
        assert function(boxes, other).requires_grad == function(other, boxes).requires_grad == other.requires_grad
        assert ("autograd_impl" in called_functions(lambda: function(boxes, other))) == other.requires_grad  # noqa: B023
    with torch.no_grad():
        assert "autograd_impl" not in called_functions(lambda: function(boxes, leaf))
        assert_same(function(boxes, leaf), expected)
    monkeypatch.setattr(_call, "_BelowAutograd", None)  # as in a torch that does not have it
    assert "autograd_impl" in called_functions(lambda: function(boxes, boxes))
    assert_same(function(boxes, leaf.detach()), expected)
