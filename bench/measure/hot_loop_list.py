"""The hot loops of the CUDA kernels, and their figures in the machine code of an architecture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench.measure.sass.cubins import compile_cubins
from bench.measure.sass.cycles import IN_L1, IN_L2, IN_MEMORY
from bench.measure.sass.flow import Flow
from bench.measure.sass.hot_loops import Figures, HotLoop, Meet, figures, find_kernel, usual_way
from bench.measure.sass.listing import disassemble
from bench.paths import ROOT


@dataclass(frozen=True)
class Listed:
    what: str
    op: str
    kernel: str
    """Pattern of the mangled name."""
    hot: HotLoop
    load_latency: int = IN_L2
    elements: int = 1
    """Elements of a way round the loop, if the figures are wanted of one element."""


def em_iteration(values_of_lane: int) -> HotLoop:
    """With covariance "full", and no mean that moves so far that a second pass is needed."""
    holds = (
        f"fit_lane_values<kTied>(LaneValues<{values_of_lane},",
        ": fit_values<false>(value",
        "fast_terms(own, other)",
    )
    return HotLoop(holds, never=("scatter_around(values, terms",))


def focal_kl_of_pack(logits: int) -> HotLoop:
    """The loop over the packs of a thread, with gamma 2 and no weight."""
    holds = ("load_pack<T, n>(p.input.data", "item < walk.items; item += thread_count()")
    never = (
        "Math::power", "Math::root", "pairs[j] = weighted", "side_of_probability(x", "read_rows(p, at)", "rows_before",
        "read_weights(p)",
    )  # fmt: skip
    return HotLoop(holds, (Meet("base * terms.kl", "FMUL", 3 * logits),), never, longest=False)


FLOAT, BFLOAT16 = "I(?=f)", "IN3c108BFloat16E"
COST_LOADS = 10  # classes that a thread loads at once: kLoads of listed_costs.cuh
CLASSES = "at[k * step]"
COSTS_OF_LIST = HotLoop((CLASSES, "for_each_cost<T, kSquare, false>(costs"))

HOT_LOOPS = {
    "em_32": Listed("EM, an iteration of up to 32 values", "gmm_em", "gmm_em_kernelIf", em_iteration(1), IN_L1),
    "em_64": Listed("EM, an iteration of 33 to 64 values", "gmm_em", "gmm_em_kernelIf", em_iteration(2), IN_L1),
    "split_em_32": Listed("EM in the split, up to 32", "split_candidates", "split_kernel", em_iteration(1), IN_L1),
    "split_em_64": Listed("EM in the split, 33 to 64", "split_candidates", "split_kernel", em_iteration(2), IN_L1),
    "match_first": Listed(
        "matching, first pass, an object that a warp meets", "match_anchors", "first_pass_kernelIf",
        HotLoop(("tops[i] = warp_max(",), never=("takes_part = own.takes_part_in(p, __shfl_sync",)), elements=2,
    ),
    "match_second": Listed(
        "matching, second pass, an object that a warp meets", "match_anchors", "second_pass_kernelIf",
        HotLoop(("found.claimed = ious[i] ==",)), elements=2,
    ),
    "cost": Listed(
        "cost in `paa_assign`, a class", "paa_assign", "candidate_cost_kernelIfLb1E", COSTS_OF_LIST, IN_MEMORY,
        COST_LOADS,
    ),
    "cost_alone": Listed(
        "cost in `assign_cost`, a class", "assign_cost", "assign_cost_kernelIfLb1ELb0E", HotLoop((CLASSES,)), IN_MEMORY,
        COST_LOADS,
    ),
    "focal_kl": Listed(
        "focal-KL with its gradient, a logit, float32", "focal_kl", f"dense_sum_kernel{FLOAT}",
        focal_kl_of_pack(4), IN_MEMORY, 4,
    ),
    "focal_kl_bf16": Listed(
        "focal-KL with its gradient, a logit, bfloat16", "focal_kl", f"dense_sum_kernel{BFLOAT16}",
        focal_kl_of_pack(8), IN_MEMORY, 8,
    ),
}  # fmt: skip


def measure_hot_loops(names: Iterable[str] = HOT_LOOPS, architecture: int = 90) -> dict[str, Figures]:
    """Figures of a way round each loop: of all its elements."""
    listed = {name: HOT_LOOPS[name] for name in names}
    sources = {op: ROOT / "csrc" / "ops" / op / f"{op}_cuda.cu" for op in {x.op for x in listed.values()}}
    cubins = compile_cubins(sorted(sources.values()), architecture)
    flows = {}
    for op, source in sources.items():
        kernels = disassemble(cubins[source].path, "|".join(x.kernel for x in listed.values() if x.op == op))
        for pattern in {x.kernel for x in listed.values() if x.op == op}:
            flows[op, pattern] = Flow(find_kernel(kernels, pattern))
    return {
        name: figures(usual_way(flows[x.op, x.kernel], x.hot), x.load_latency) for name, x in listed.items()
    }  # fmt: skip
