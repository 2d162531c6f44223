"""Bounds of the machine code for sm_90, which depends on the compiler only: a figure that leaves its bound is a change
of a kernel or of nvcc. The bounds have some room for other versions of nvcc than 13.0."""

import pytest

from bench.measure.hot_loop_list import HOT_LOOPS, measure_hot_loops
from bench.measure.sass.cubins import compile_cubins, have_compiler
from bench.measure.sass.flow import Flow
from bench.measure.sass.hot_loops import find_kernel, straight_way
from bench.measure.sass.listing import disassemble, find_nvdisasm
from bench.measure.sass.ptxas import demangle, resources
from bench.paths import ROOT
from bench.workload.batch import make_workload
from bench.workload.matching_pairs import matching_pairs

pytestmark = pytest.mark.skipif(
    not have_compiler() or find_nvdisasm() is None, reason="needs nvcc, cmake, ninja and nvdisasm"
)

# Of a way round the loop: the most instructions of an element, the most cycles of a warp, the least loads in flight.
BOUNDS = {
    "em_32": (300, 680, None),
    "em_64": (392, 738, None),
    "split_em_32": (300, 680, None),
    "split_em_64": (392, 738, None),
    "match_first": (42.5, 395, None),
    "match_second": (42, 322, None),
    "cost": (36, 2120, 8),
    "cost_alone": (36.3, 7800, 2),
    "focal_kl": (101, 1690, 3),
    "focal_kl_bf16": (67.5, 1955, 4),
}

# Instructions for a pair of anchor and object. A warp skips the objects that do not reach its anchors: most of them.
MATCHING_PAIR = 8.5

# Instructions of a thread of the kernel that scales the gradient, if the factor is 1. It has at most as many threads as
# run at once.
SCALE_BY_ONE = 9

# The most registers of a kernel with a hot loop.
REGISTERS = {
    "first_pass_kernel<float>": 40,
    "second_pass_kernel<float>": 56,
    "assign_cost_kernel<float, true, false>": 44,
    "candidate_cost_kernel<float, true>": 72,
    "split_kernel": 96,
    "gmm_em_kernel<float>": 96,
    "dense_sum_kernel<float, FocalKlOnCuda<float> >": 64,
    "dense_sum_kernel<BFloat16, FocalKlOnCuda<BFloat16> >": 64,
}


def source_of(op):
    return ROOT / "csrc" / "ops" / op / f"{op}_cuda.cu"


@pytest.fixture(scope="module")
def figures():
    return measure_hot_loops()


@pytest.fixture(scope="module")
def of_kernels():
    sources = sorted({source_of(x.op) for x in HOT_LOOPS.values()})
    found = [r for cubin in compile_cubins(sources).values() for r in resources(cubin.log)]
    names = demangle([r.kernel for r in found])
    return {names[r.kernel]: r for r in found}


@pytest.mark.parametrize("name", HOT_LOOPS)
def test_a_hot_loop_keeps_its_bounds(figures, name):
    instructions, cycles, loads = BOUNDS[name]
    assert figures[name].instructions / HOT_LOOPS[name].elements <= instructions
    assert figures[name].cycles <= cycles
    assert loads is None or figures[name].loads >= loads


@pytest.mark.parametrize("name", ["match_first", "match_second"])
def test_matching_takes_few_instructions_a_pair(figures, name):
    pairs = matching_pairs(make_workload())
    of_met_object = figures[name].instructions / HOT_LOOPS[name].elements
    assert of_met_object * pairs.met / pairs.pairs <= MATCHING_PAIR


def test_scaling_by_one_ends_at_once():
    (cubin,) = compile_cubins([source_of("scale_gradient")]).values()
    pattern = "scale_gradient_kernelIf"
    flow = Flow(find_kernel(disassemble(cubin.path, pattern), pattern))
    assert len(straight_way(flow, ())) <= SCALE_BY_ONE


def test_kernels_with_hot_loops_keep_their_registers(of_kernels):
    assert {
        name: of_kernels[name].registers for name in REGISTERS if of_kernels[name].registers > REGISTERS[name]
    } == {}


def test_no_kernel_spills_or_keeps_anything_in_local_memory(of_kernels):
    assert {name: r for name, r in of_kernels.items() if r.spilled or r.stack} == {}
