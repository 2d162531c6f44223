"""Every CUDA kernel, thread for thread, against the CPU operator: over the cases of the operators' own tests, in several
orders of its threads. See ``simt/__init__.py`` for what else is checked."""

from __future__ import annotations

from collections import Counter

import pytest
import simt
import torch
from op_contract import Case, OpContract, RecordOperators, assert_same, tensors_of
from test_op_assign import TestPaaAssign
from test_op_assign_cost import TestAssignCost
from test_op_gmm_em import TestGmmEm
from test_op_iou import TestAlignedBoxIou, TestBoxIou
from test_op_losses import TestFocalKlLoss, TestSigmoidFocalLoss
from test_op_matching import TestMatchAnchors
from test_op_postprocess import TestBatchedNms, TestScoreVoting

CONTRACTS = (
    TestBoxIou,
    TestAlignedBoxIou,
    TestMatchAnchors,
    TestAssignCost,
    TestGmmEm,
    TestPaaAssign,
    TestSigmoidFocalLoss,
    TestFocalKlLoss,
    TestBatchedNms,
    TestScoreVoting,
)
SEEDS = range(2)
# A warp adds in another order than a loop, and the fit of a mixture repeats that.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}


@pytest.fixture(scope="module")
def device() -> simt.Device:
    return simt.Device(simt.build())


def calls_of(contract: type[OpContract], case: Case) -> list[tuple[str, tuple, object]]:
    """(operator, arguments, the CPU's results) of a case, forward and backward."""
    differentiable = getattr(contract, "differentiable", ())
    args = [x.detach().requires_grad_() if i in differentiable else x for i, x in enumerate(case.args)]
    with RecordOperators() as record:
        result = contract.operator(*args, **case.kwargs)
        if differentiable and tensors_of(result)[0].requires_grad:
            result.float().sum().backward(retain_graph=True)  # a gradient of every element is one number, repeated
            result.float().square().sum().backward()  # and here a tensor
    calls = []
    for func, args, kwargs in record.calls:
        assert not kwargs
        args = torch.utils._pytree.tree_map_only(torch.Tensor, torch.Tensor.detach, args)
        calls.append((func._schema.name.split("::")[1], args, func(*args)))
    return calls


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda c: c.__name__[4:])
def test_kernels_equal_the_cpu(contract: type[OpContract], device: simt.Device) -> None:
    for case in contract.cases():
        for name, args, expected in calls_of(contract, case):
            for seed in SEEDS:
                found = device.call(name, args, seed)
                for a, e in zip(tensors_of(found), tensors_of(expected), strict=True):
                    tolerance = TOLERANCE.get(e.dtype, 0.0)
                    assert_same(a, e, rtol=tolerance, atol=tolerance)
