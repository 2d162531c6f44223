"""Compares every CUDA kernel, run thread by thread, with the CPU operator: on the cases of the operator tests, in
several orders of the threads. ``simt/__init__.py`` describes the other checks."""

from __future__ import annotations

import re
from math import inf, nan

import pytest
import torch

from colad_ops.ops.colad_assign import GRANULARITIES, INDICATORS
from colad_ops.ops.iou import MODES
from python_tests import simt
from python_tests.simt.comparison import OPERATORS, OperatorCases, assert_kernels_equal_the_cpu, calls_of, name_of
from python_tests.simt.kernel_table import KERNELS, SEEDS
from python_tests.support.cases import colad_assign, paa_assign
from python_tests.support.op_contract import Case, assert_same
from python_tests.support.scenes import random_boxes


@pytest.fixture(scope="module")
def device() -> simt.Device:
    return simt.Device(simt.build())


@pytest.mark.parametrize("operator", OPERATORS, ids=name_of)
def test_kernels_equal_the_cpu(operator: type[OperatorCases], device: simt.Device) -> None:
    assert_kernels_equal_the_cpu(operator, device, SEEDS)


def kernels_of(operator: type[OperatorCases], case: Case, device: simt.Device) -> list[str]:
    launched: list[str] = []
    buckets: tuple[torch.Tensor, ...] = ()
    for name, args, _ in calls_of(operator, case):
        if name == "colad_split":  # takes the buckets of the kernels; the CPU has none
            args = *args[:5], *buckets, *args[7:]
        found = device.call(name, args, seed=0)
        launched += device.kernels()
        buckets = found[4:6]
    return launched


def test_launches_of_a_whole_assignment(device: simt.Device) -> None:
    """Four kernels after a fill with 0, for any number of images and objects."""
    for objects in ((1,), (5, 0, 7, 2)):
        launched = kernels_of(paa_assign.PaaAssignCases, paa_assign.scene_case("scene", objects=objects), device)
        assert [x.partition("<")[0] for x in launched] == [
            "first_pass_kernel",
            "second_pass_kernel",
            "candidate_cost_kernel",
            "split_kernel",
        ]


@pytest.mark.parametrize("indicator", INDICATORS)
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_launches_of_co_learning(indicator: str, granularity: str, device: simt.Device) -> None:
    """Four kernels after a fill with 0. With torch.distributed the ranks add up the totals before the last one."""
    if granularity == "object_level" and indicator == "fisher":
        pytest.skip("refused: the levels of an object have no mixtures of their own")
    case = colad_assign.case_of(2, indicator, granularity)
    assert len(kernels_of(colad_assign.ColadAssignCases, case, device)) == 4


@pytest.mark.parametrize("objects", [1, 10, 100, 1000])
def test_reads_of_the_split_grow_with_the_candidates_only(objects: int, device: simt.Device) -> None:
    """An object's block reads the object's own candidates, not the anchors of its image."""
    anchors, candidates = 20_000, 2_000
    matched = torch.full((1, anchors), -1)
    matched[0, ::10] = torch.arange(candidates) % objects
    cost = torch.rand(1, anchors, generator=torch.Generator().manual_seed(objects))
    offsets = torch.tensor([0, objects])
    device.call("split_candidates", (cost, matched, offsets, objects, [anchors]), seed=0)
    threads, reads = 256, device.reads()["split_kernel"]
    # Every thread reads where its object's bucket lies.
    assert candidates <= reads <= candidates + 6 * threads * objects


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bad", [nan, inf, 1e30])
def test_gradients_of_boxes_that_are_not_finite(device: simt.Device, mode: str, bad: float) -> None:
    """The backward of box_iou skips pairs of finite boxes without a derivative, and no others."""
    first, second = random_boxes(torch.Generator().manual_seed(0), 45, 100.0).split([5, 40])
    grad = torch.linspace(-1.0, 1.0, 200).view(5, 40)
    grad[1, 2], first[3, 2], second[7, 0], second[8] = bad, bad, -bad, bad
    for args in ((grad, first, second, mode), (grad.T.contiguous(), second, first, mode)):
        expected = torch.ops.colad.box_iou_backward(*args)
        assert_same(device.call("box_iou_backward", args, seed=0), expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("row", [3, 2**40, 2**63 - 1, -3, -(2**63)])
def test_a_match_that_does_not_exist_has_no_object(device: simt.Device, row: int) -> None:
    """On the CPU it raises an error. A kernel reads nothing there."""
    boxes, objects = random_boxes(torch.Generator().manual_seed(1), 6).split([3, 3])
    matched = torch.tensor([[0, row, 2]])
    for mode in MODES:
        expected = torch.ops.colad.matched_box_iou(boxes[None], objects, torch.tensor([[0, -1, 2]]), mode)
        assert_same(device.call("matched_box_iou", (boxes[None], objects, matched, mode), seed=0), expected, atol=1e-6)
        args = torch.ones(1, 3), boxes[None], objects, matched, mode
        assert (device.call("matched_box_iou_backward", args, seed=0)[0, 1] == 0).all()


def test_every_kernel_was_run() -> None:
    """The table has a row for every kernel in the sources."""
    if len(KERNELS) == 0:
        pytest.skip("the kernels are run by the tests before this one")
    sources = [path.read_text() for path in simt.CSRC.glob("**/*.cu*")]
    bounds = r"(?:__launch_bounds__\([^()]*(?:\([^()]*\)[^()]*)*\)\s*)?"
    names = {name for text in sources for name in re.findall(rf"__global__ void\s+{bounds}(\w+)\(", text)}
    assert names == set(KERNELS)
