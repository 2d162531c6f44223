"""Compares every CUDA kernel, run thread by thread, with the CPU operator: on the cases of the operator tests, in
several orders of the threads. ``simt/__init__.py`` describes the other checks."""

from __future__ import annotations

import re
from math import inf, nan

import pytest
import torch

from colad_ops.ops.iou import MODES
from python_tests import simt
from python_tests.simt.comparison import OPERATORS, OperatorCases, assert_kernels_equal_the_cpu, calls_of, name_of
from python_tests.simt.kernel_table import KERNELS, SEEDS
from python_tests.support.cases import paa_assign
from python_tests.support.op_contract import assert_same
from python_tests.support.scenes import random_boxes


@pytest.fixture(scope="module")
def device() -> simt.Device:
    return simt.Device(simt.build())


@pytest.mark.parametrize("operator", OPERATORS, ids=name_of)
def test_kernels_equal_the_cpu(operator: type[OperatorCases], device: simt.Device) -> None:
    assert_kernels_equal_the_cpu(operator, device, SEEDS)


def test_a_whole_assignment_is_four_launches_and_one_fill(device: simt.Device) -> None:
    """For any number of images and objects: two passes of matching (after a fill of each object's best IoU with 0), the
    cost, and the split."""
    for objects in ((1,), (5, 0, 7, 2)):
        case = paa_assign.scene_case("scene", objects=objects)
        before = device.launches()
        for name, args, _ in calls_of(paa_assign.PaaAssignCases, case):
            device.call(name, args, seed=0)
        assert device.launches() - before == 4


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


def test_every_kernel_was_run() -> None:
    """The table has a row for every kernel in the sources."""
    if len(KERNELS) == 0:
        pytest.skip("the kernels are run by the tests before this one")
    sources = [path.read_text() for path in simt.CSRC.glob("**/*.cu*")]
    bounds = r"(?:__launch_bounds__\([^()]*(?:\([^()]*\)[^()]*)*\)\s*)?"
    names = {name for text in sources for name in re.findall(rf"__global__ void\s+{bounds}(\w+)\(", text)}
    assert names == set(KERNELS)
