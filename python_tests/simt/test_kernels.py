"""Compares every CUDA kernel, run thread by thread, with the CPU operator: on the cases of the operator tests, in
several orders of the threads. ``simt/__init__.py`` describes the other checks."""

from __future__ import annotations

import re

import pytest
import torch

from colad_ops.ops.colad_assign import GRANULARITIES, INDICATORS
from python_tests import simt
from python_tests.simt.comparison import OPERATORS, OperatorCases, assert_kernels_equal_the_cpu, calls_of, name_of
from python_tests.simt.kernel_table import KERNELS, SEEDS
from python_tests.support.cases import colad_assign, paa_assign
from python_tests.support.op_contract import Case


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
    # Every thread reads where its object's bucket lies and which image is the object's.
    assert candidates <= reads <= candidates + 6 * threads * objects


def test_every_kernel_was_run() -> None:
    """The table has a row for every kernel in the sources."""
    if len(KERNELS) == 0:
        pytest.skip("the kernels are run by the tests before this one")
    sources = [path.read_text() for path in simt.CSRC.glob("**/*.cu*")]
    bounds = r"(?:__launch_bounds__\([^()]*(?:\([^()]*\)[^()]*)*\)\s*)?"
    names = {name for text in sources for name in re.findall(rf"__global__ void\s+{bounds}(\w+)\(", text)}
    assert names == set(KERNELS)
