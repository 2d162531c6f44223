"""An option has one name and one default: in schemas, in signatures, in references, in AssignConfig."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

import colad_ops
from colad_ops import AssignConfig

SCHEMAS = {
    name.removeprefix("colad::"): getattr(torch.ops.colad, name.removeprefix("colad::")).default._schema
    for name in torch._C._dispatch_get_all_op_names()
    if name.startswith("colad::")
}
FUNCTION_OF = {
    "box_iou": colad_ops.box_iou,
    "aligned_box_iou": colad_ops.aligned_box_iou,
    "matched_box_iou": colad_ops.matched_box_iou,
    "decode_boxes": colad_ops.decode_boxes,
    "match_anchors": colad_ops.match_anchors,
    "assign_cost": colad_ops.assign_cost,
    "gmm_em": colad_ops.gmm_em,
    "split_candidates": colad_ops.split_candidates,
    "cost_statistics": colad_ops.cost_statistics,
    "paa_assign": colad_ops.paa_assign,
    "colad_indicators": colad_ops.colad_assign,
    "colad_split": colad_ops.colad_assign,
    "sigmoid_focal_loss": colad_ops.sigmoid_focal_loss,
    "focal_kl_loss": colad_ops.focal_kl_loss,
    "nms_keep": colad_ops.batched_nms,
    "batched_nms": colad_ops.batched_nms,
    "score_voting": colad_ops.score_voting,
}
PARTS = ("_and_gradient", "_backward")
STEPS = ("scale_gradient_",)
"""Operators that only a derivative calls. They have no options."""
CONFIG = {field.name: field.default for field in dataclasses.fields(AssignConfig)}


def operator_of(name: str) -> str:
    """The operator that `name` is a part of: its backward, or its forward with a gradient."""
    for part in PARTS:
        name = name.removesuffix(part)
    return name


def options(schema: Any) -> Iterator[tuple[str, Any]]:
    """Names and defaults of an operator's arguments that are no data."""
    for argument in schema.arguments:
        if not is_data(argument) and str(argument.type) != "Optional[Tensor]":
            yield (
                argument.name,
                as_in_python(argument.default_value) if argument.has_default_value() else inspect.Parameter.empty,
            )


def as_in_python(default: Any) -> Any:
    """A default of a list is a tuple in Python, which nobody can change."""
    return tuple(default) if isinstance(default, list) else default


def is_data(argument: Any) -> bool:
    return str(argument.type) in ("Tensor", "List[Tensor]", "List[int]") or argument.name == "num_objects"


def defaults(function: Callable) -> dict[str, Any]:
    return {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}


def test_the_table_knows_every_operator():
    assert {operator_of(name) for name in SCHEMAS} == {*FUNCTION_OF, *STEPS}


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_every_option_has_the_default_of_python(name):
    found = dict(options(SCHEMAS[name]))
    if name in STEPS:
        assert not found
        return
    function = FUNCTION_OF[operator_of(name)]
    of_function = defaults(function)
    expected = {option: of_function.get(option, CONFIG.get(option)) for option in found}
    assert found == expected
    # An option that a function takes itself is not hidden in the configuration as well.
    assert not ("config" in of_function and set(found) & set(of_function) & set(CONFIG))


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_a_call_needs_nothing_but_data(name):
    for argument in SCHEMAS[name].arguments:
        assert argument.has_default_value() != is_data(argument), argument


@pytest.mark.parametrize("function", FUNCTION_OF.values(), ids=lambda function: function.__name__)
def test_the_reference_has_the_signature_of_its_operator(function):
    reference = getattr(sys.modules[function.__module__], f"{function.__name__}_reference")
    found, expected = inspect.signature(reference).parameters, inspect.signature(function).parameters
    if function is colad_ops.gmm_em:  # whose reference takes ragged segments only
        expected = {name: x for name, x in expected.items() if name not in ("offsets", "counts")}
        found = {name: x for name, x in found.items() if name != "offsets"}
    assert found == expected


def test_a_configuration_holds_the_options_of_an_assignment():
    config = AssignConfig()
    matching, cost, split = config.matching_options(), config.cost_options(), config.split_options()
    assert list(matching | cost | split | config.mixture_options()) == list(matching | cost | split)
    assert {**matching, **cost, **split} == CONFIG
    for options_of, operator in ((matching, "match_anchors"), (cost, "assign_cost"), (split, "split_candidates")):
        assert set(options_of) == set(dict(options(SCHEMAS[operator]))) - {"probs"}
    assert set(config.mixture_options()) == set(dict(options(SCHEMAS["gmm_em"])))
    assert set(dict(options(SCHEMAS["paa_assign"]))) == {*CONFIG, "probs"}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("loss", ["sigmoid_focal_loss", "focal_kl_loss"])
def test_a_part_of_a_loss_has_its_options_in_its_order(loss, part):
    whole = [option for option in options(SCHEMAS[loss]) if option[0] != "reduction"]
    divided = [("avg_factor", None), ("reduction", "sum")] if part == "_and_gradient" else []
    assert list(options(SCHEMAS[f"{loss}{part}"])) == divided + whole
