"""Calls of every public function, and of every operator of ``torch.ops.colad``, forward and backward, with every tensor
that it can take."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten_with_path, tree_map_only, tree_map_with_path

import colad_ops
from python_tests.errors.valid_calls import CROWD, LABELS, VALID
from python_tests.support.op_contract import RecordOperators, tensors_of

Path = tuple
REGIONS = {"valid": LABELS >= 0} | CROWD
LOSSES = (colad_ops.sigmoid_focal_loss, colad_ops.focal_kl_loss)
DIFFERENTIABLE = (
    colad_ops.box_iou,
    colad_ops.aligned_box_iou,
    colad_ops.matched_box_iou,
    colad_ops.decode_boxes,
    *LOSSES,
)
FUNCTIONS: list[tuple[Callable, dict[str, Any]]] = [
    *(
        (function, arguments | REGIONS if {"anchors", "gt_boxes"} <= arguments.keys() else arguments)
        for function, arguments in VALID.items()
    ),
    (colad_ops.decode_boxes, VALID[colad_ops.decode_boxes] | {"deltas": torch.rand(1, 3, 4)}),
    # With these options, functions call further operators or give them further tensors.
    (colad_ops.colad_assign, VALID[colad_ops.colad_assign] | {"granularity": "image"}),
    (colad_ops.colad_assign, VALID[colad_ops.colad_assign] | {"granularity": "object_level"}),
    *((loss, VALID[loss] | {"reduction": "none"}) for loss in LOSSES),
    *((loss, VALID[loss] | {"avg_factor": 2.0}) for loss in LOSSES),
]
"""Calls of the public functions, with tensors of the CPU."""


def results_and_gradients(function: Callable, arguments: dict[str, Any]) -> list[Tensor]:
    """With gradients where the function is differentiable."""
    if function not in DIFFERENTIABLE:
        return tensors_of(function(**arguments))
    names = ("boxes1", "boxes2", "boxes", "deltas", "logits", "student_logits")
    inputs = {name: x.detach().clone().requires_grad_() for name, x in arguments.items() if name in names}
    result = function(**arguments | inputs)
    one, squares = result.sum(), result.square().sum()  # one number for all elements, and different ones
    gradients = [torch.autograd.grad(y, list(inputs.values()), retain_graph=True) for y in (one, squares)]
    return [result.detach(), *gradients[0], *gradients[1]]


def placed(args: Any, others: torch.device, at: Path | None = None, device: torch.device | None = None) -> Any:
    """The arguments with their tensors on the device ``others``, and the one at the place ``at`` on ``device``."""

    def place(path: Path, value: Any) -> Any:
        return value.to(device if path == at else others) if isinstance(value, Tensor) else value

    return tree_map_with_path(place, args)


def places(args: Any) -> list[Path]:
    """Where in the arguments the tensors are."""
    return [path for path, value in tree_flatten_with_path(args)[0] if isinstance(value, Tensor)]


class OperatorCall:
    """``operator(*args)``, with tensors of the CPU."""

    def __init__(self, operator: torch._ops.OpOverload, args: tuple) -> None:
        self.name = operator._schema.name.removeprefix("colad::")
        self.operator, self.args = operator, args

    def argument(self, path: Path) -> str:
        return self.operator._schema.arguments[path[0].idx].name

    def tensors(self) -> set[tuple[str, str]]:
        """(operator, argument) of its tensors."""
        return {(self.name, self.argument(path)) for path in places(self.args)}


@cache
def operator_calls(card: torch.device) -> list[OperatorCall]:
    """Calls that together give every operator every tensor that it can take: those that the public functions make on a
    card, and then on the CPU."""
    with RecordOperators() as record:
        for device in (card, torch.device("cpu")):
            for function, arguments in FUNCTIONS:
                on_device = placed(arguments, device)
                function(**on_device)
                results_and_gradients(function, on_device)
            for loss in LOSSES:  # torch lets a number of the CPU meet a tensor of a card: no case of FUNCTIONS
                arguments = placed(VALID[loss] | {"avg_factor": torch.tensor(2.0)}, device)
                results_and_gradients(loss, arguments)
    kept: list[OperatorCall] = []
    seen: set[tuple[str, str]] = set()
    for operator, args, _ in record.calls:
        call = OperatorCall(operator, tree_map_only(Tensor, lambda x: x.detach().cpu(), args))
        if not call.tensors() <= seen:
            kept.append(call)
            seen |= call.tensors()
    return kept


def tensor_arguments() -> set[tuple[str, str]]:
    """(operator, argument) of all that ``torch.ops.colad`` has."""
    names = [name for name in torch._C._dispatch_get_all_op_names() if name.startswith("colad::")]
    return {
        (name.removeprefix("colad::"), argument.name)
        for name in names
        for argument in torch._C._get_schema(name, "").arguments
        if "Tensor" in str(argument.type)
    }
