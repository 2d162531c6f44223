"""Every CUDA kernel, thread for thread, against the CPU operator: over the cases of the operators' own tests, in
several orders of its threads. See ``simt/__init__.py`` for what else is checked."""

from __future__ import annotations

import re
from collections import Counter

import pytest
import simt
import test_op_assign
import test_op_assign_cost
import test_op_co_assign
import test_op_gmm_em
import test_op_iou
import test_op_losses
import test_op_matching
import test_op_postprocess
import torch
from op_contract import Case, OpContract, RecordOperators, assert_same, tensors_of

from colad_ops import colad_assign


class TestColadAssign:
    """Not a contract of its own: the operators that it calls are met here."""

    __test__ = False
    operator = staticmethod(colad_assign)

    @classmethod
    def cases(cls) -> list[Case]:
        scene, predictions = test_op_co_assign.networks(objects=(3, 0, 4), count=3)
        ground_truth = scene.gt_boxes, scene.gt_labels, scene.gt_offsets
        args = predictions, scene.anchors, scene.level_sizes, *ground_truth
        return [Case(g, *args, granularity=g) for g in ("image", "object_level")]


CONTRACTS = (
    test_op_iou.TestBoxIou,
    test_op_iou.TestAlignedBoxIou,
    test_op_matching.TestMatchAnchors,
    test_op_assign_cost.TestAssignCost,
    test_op_gmm_em.TestGmmEm,
    test_op_assign.TestPaaAssign,
    test_op_assign.TestSplitCandidates,
    TestColadAssign,
    test_op_losses.TestSigmoidFocalLoss,
    test_op_losses.TestFocalKlLoss,
    test_op_postprocess.TestBatchedNms,
    test_op_postprocess.TestScoreVoting,
)
SEEDS = range(5)
KERNELS: dict[str, Counter] = {}
"""Launches of each kernel by contract and case, for the table at the end of the test run."""
# A warp adds in another order than a loop, and the fit of a mixture repeats that; the CPU fuses multiply-adds, the
# kernels do not.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-5, torch.float16: 1e-3, torch.bfloat16: 8e-3}


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
                for kernel in device.kernels():
                    KERNELS.setdefault(kernel.partition("<")[0], Counter())[contract.__name__[4:], case.name] += 1
                for a, e in zip(tensors_of(found), tensors_of(expected), strict=True):
                    of_costs = name == "paa_assign" and e.dtype == torch.float64  # of float32 costs made here
                    tolerance = TOLERANCE.get(torch.float32 if of_costs else e.dtype, 0.0)
                    assert_same(a, e, rtol=tolerance, atol=tolerance)


def test_a_whole_assignment_is_four_launches_and_one_fill(device: simt.Device) -> None:
    """Of any number of images and objects: two passes of matching (after the fill of each object's best IoU with 0),
    the cost, the split."""
    for objects in ((1,), (5, 0, 7, 2)):
        case = test_op_assign.scene_case("scene", objects=objects)
        before = device.launches()
        for name, args, _ in calls_of(test_op_assign.TestPaaAssign, case):
            device.call(name, args, seed=0)
        assert device.launches() - before == 4


def test_every_kernel_was_run() -> None:
    """Of all that the sources hold; a row a kernel in the table."""
    if len(KERNELS) == 0:
        pytest.skip("the kernels are run by the tests before this one")
    sources = [path.read_text() for path in simt.CSRC.glob("**/*.cu*")]
    bounds = r"(?:__launch_bounds__\([^()]*(?:\([^()]*\)[^()]*)*\)\s*)?"
    names = {name for text in sources for name in re.findall(rf"__global__ void\s+{bounds}(\w+)\(", text)}
    assert names == set(KERNELS)


def table() -> list[str]:
    """Kernel, cases, launches that equalled the CPU, in Markdown."""
    rows = ["kernel | of | cases | launches | orders of threads each | equal to the CPU", "---|---|---|---|---|---"]
    for kernel, counter in sorted(KERNELS.items()):
        contracts = sorted({contract for contract, _ in counter})
        rows.append(f"{kernel} | {', '.join(contracts)} | {len(counter)} | {counter.total()} | {len(SEEDS)} | all")
    return rows
