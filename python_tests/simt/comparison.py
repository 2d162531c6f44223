"""Runs the cases of an operator in the emulator, in several orders of the threads, and compares with the CPU
operator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch

from python_tests import simt
from python_tests.simt.kernel_table import KERNELS
from python_tests.support.cases.assign_cost import AssignCostCases
from python_tests.support.cases.colad_assign import ColadAssignCases
from python_tests.support.cases.decode_boxes import DecodeBoxesCases, DecodeLevelsCases
from python_tests.support.cases.focal_kl import FocalKlLossCases
from python_tests.support.cases.focal_loss import SigmoidFocalLossCases
from python_tests.support.cases.gmm_em import GmmEmCases
from python_tests.support.cases.iou import AlignedBoxIouCases, BoxIouCases
from python_tests.support.cases.match_anchors import MatchAnchorsCases
from python_tests.support.cases.matched_iou import MatchedBoxIouCases
from python_tests.support.cases.nms import SortedNmsCases
from python_tests.support.cases.paa_assign import PaaAssignCases
from python_tests.support.cases.scale_gradient import ScaleGradientCases
from python_tests.support.cases.score_voting import ScoreVotingCases
from python_tests.support.cases.split_candidates import CostStatisticsCases, SplitCandidatesCases
from python_tests.support.op_contract import Case, RecordOperators, assert_same, copy_of_storage, tensors_of


class OperatorCases(Protocol):
    """Interface of a class in ``support/cases``. Classes of differentiable operators also have ``differentiable``."""

    operator: Callable[..., Any]

    @classmethod
    def cases(cls) -> list[Case]: ...


OPERATORS: tuple[type[OperatorCases], ...] = (
    BoxIouCases,
    AlignedBoxIouCases,
    MatchedBoxIouCases,
    DecodeBoxesCases,
    DecodeLevelsCases,
    MatchAnchorsCases,
    AssignCostCases,
    GmmEmCases,
    PaaAssignCases,
    SplitCandidatesCases,
    CostStatisticsCases,
    ColadAssignCases,
    SigmoidFocalLossCases,
    FocalKlLossCases,
    ScaleGradientCases,
    SortedNmsCases,
    ScoreVotingCases,
)
# Results may differ by rounding. A warp adds in another order than a loop, and every iteration of a mixture's fit does
# so again. The CPU fuses multiply-adds; the emulated kernels do not.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-5, torch.float16: 1e-3, torch.bfloat16: 8e-3}
COSTS_INSIDE = ("paa_assign", "colad_indicators", "colad_split")

# Both backends evaluate one expression without contraction: every bit is the same.
EXACT = ("match_anchors",)

HALF_TYPES = (torch.float16, torch.bfloat16)
OF_HALF_TYPES = 2**-11
"""Relative error of the losses' formulas for half types (``HalfMath``)."""


def name_of(operator: type[OperatorCases]) -> str:
    return operator.__name__.removesuffix("Cases")


def calls_of(operator: type[OperatorCases], case: Case) -> list[tuple[str, tuple, object]]:
    """(operator, arguments, the CPU's results) of a case, forward and backward."""
    differentiable = getattr(operator, "differentiable", ())
    args = [x.detach().requires_grad_() if i in differentiable else x for i, x in enumerate(case.args)]
    with RecordOperators() as record:
        result = operator.operator(*args, **case.kwargs)
        if differentiable and tensors_of(result)[0].requires_grad:
            result.float().sum().backward(retain_graph=True)  # an expanded gradient: one number for all elements
            result.float().square().sum().backward()  # a gradient with different elements
    calls = []
    for func, args, kwargs in record.calls:
        assert not kwargs
        args = torch.utils._pytree.tree_map_only(torch.Tensor, torch.Tensor.detach, args)
        calls.append((func._schema.name.split("::")[1], args, results_of(func, func, args)))
    return calls


def assert_same_bits(a: torch.Tensor, b: torch.Tensor) -> None:
    """The order of the threads must not show in the results."""
    bits = [x.reshape(-1).view(torch.uint8) for x in (a, b)]
    assert torch.equal(*bits), (a, b)


def results_of(call: Callable, operator: torch._ops.OpOverload, args: tuple) -> tuple:
    """What a call of the operator returns, and the arguments that it changes. These are copies: ``args`` stay as they
    are."""
    written = simt.written_arguments(operator)
    args = tuple(copy_of_storage(x) if i in written else x for i, x in enumerate(args))
    return call(*args), [args[i] for i in written]


def assert_kernels_equal_the_cpu(operator: type[OperatorCases], device: simt.Device, seeds: Iterable[int]) -> None:
    """Compares all cases of the operator with the CPU, and the orders of the threads with each other. Adds the kernels
    that ran to the table."""
    for case in operator.cases():
        buckets: dict[int, tuple[torch.Tensor, ...]] = {}
        for name, args, expected in calls_of(operator, case):
            first: dict[int, list[torch.Tensor]] = {}
            for seed in seeds:
                if name == "colad_split":  # takes the buckets of the kernels; the CPU has none
                    args = *args[:5], *buckets[seed], *args[7:]
                operator_of_name = getattr(torch.ops.colad, name).default
                found = results_of(lambda *a: device.call(name, a, seed), operator_of_name, args)  # noqa: B023
                if name == "colad_indicators":  # the places in the buckets depend on the order of the threads
                    results = tensors_of(found)
                    found, buckets[seed], expected = results[:4], tuple(results[4:]), tensors_of(expected)[:4]
                same = first.setdefault(simt.max_grid(seed), [x.clone() for x in tensors_of(found)])
                for a, b in zip(tensors_of(found), same, strict=True):
                    assert_same_bits(a, b)
                for kernel in device.kernels():
                    KERNELS.setdefault(kernel.partition("<")[0], Counter())[name_of(operator), case.name] += 1
                for a, e in zip(tensors_of(found), tensors_of(expected), strict=True):
                    of_costs = name in COSTS_INSIDE and e.dtype == torch.float64  # of float32 costs computed here
                    tolerance = TOLERANCE.get(torch.float32 if of_costs else e.dtype, 0.0)
                    tolerance = 0.0 if name in EXACT else tolerance
                    if "_loss" in name and args[0].dtype in HALF_TYPES:
                        tolerance = max(tolerance, OF_HALF_TYPES)
                    assert_same(a, e, rtol=tolerance, atol=tolerance)
