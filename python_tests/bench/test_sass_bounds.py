"""Bounds of the machine code for sm_90, which depends on the compiler only: a figure that leaves its bound is a change
of a kernel or of nvcc. The bounds have some room for other versions of nvcc than 13.0."""

import pytest

from bench.measure.hot_loop_list import HOT_LOOPS, measure_hot_loops
from bench.measure.sass.cubins import compile_cubins, have_compiler
from bench.measure.sass.listing import find_nvdisasm
from bench.measure.sass.ptxas import demangle, resources
from bench.paths import ROOT

pytestmark = pytest.mark.skipif(
    not have_compiler() or find_nvdisasm() is None, reason="needs nvcc, cmake, ninja and nvdisasm"
)

# Of a way round the loop: the most instructions of an element, the most cycles of a warp, the least loads in flight.
BOUNDS = {
    "em_32": (1000, 4000, None),
    "em_64": (1250, 5000, None),
    "split_em_32": (1000, 4000, None),
    "split_em_64": (1250, 5000, None),
    "match_first": (62, 240, None),
    "match_second": (62, 250, None),
    "cost": (98, 1150, 1),
    "focal_kl_forward": (127, 2400, 3),
    "focal_kl_backward": (134, 2500, 3),
    "focal_kl_forward_bf16": (127, 4000, 4),
    "focal_kl_backward_bf16": (138, 4500, 4),
}

# The most registers of a kernel with a hot loop, in float32.
REGISTERS = {
    "first_pass_kernel<float>": 32,
    "second_pass_kernel<float>": 48,
    "assign_cost_kernel<float>": 40,
    "split_kernel": 96,
    "gmm_em_kernel<float>": 88,
    "dense_partials_kernel<float, FocalKlAt<float> >": 64,
    "dense_gradient_kernel<float, FocalKlAt<float> >": 64,
}

# Bytes of local memory of a thread, where it is not 0.
STACK = {"statistics_kernel": 192}


@pytest.fixture(scope="module")
def figures():
    return measure_hot_loops()


@pytest.fixture(scope="module")
def of_kernels():
    sources = sorted({ROOT / "csrc" / "ops" / x.op / f"{x.op}_cuda.cu" for x in HOT_LOOPS.values()})
    found = [r for cubin in compile_cubins(sources).values() for r in resources(cubin.log)]
    names = demangle([r.kernel for r in found])
    return {names[r.kernel]: r for r in found}


@pytest.mark.parametrize("name", HOT_LOOPS)
def test_a_hot_loop_keeps_its_bounds(figures, name):
    instructions, cycles, loads = BOUNDS[name]
    assert figures[name].instructions / HOT_LOOPS[name].elements <= instructions
    assert figures[name].cycles <= cycles
    assert loads is None or figures[name].loads >= loads


def test_kernels_with_hot_loops_keep_their_registers(of_kernels):
    assert {
        name: of_kernels[name].registers for name in REGISTERS if of_kernels[name].registers > REGISTERS[name]
    } == {}


def test_no_kernel_spills_or_keeps_anything_in_local_memory(of_kernels):
    assert {name: r.spilled for name, r in of_kernels.items() if r.spilled} == {}
    assert {name: r.stack for name, r in of_kernels.items() if r.stack} == STACK
