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
    meets = (Meet("big_share = 1.0", "MUFU", values_of_lane), Meet("scatter[k] +=", "DADD", 2 * values_of_lane))
    return HotLoop(("big_share =", "scatter[k] +="), meets)


def focal_kl_of_pack(holds: str, logits: int) -> HotLoop:
    never = ("std::pow(base", "std::sqrt(base", "odds = q / (T(1) - q)")
    return HotLoop((holds,), (Meet("over_a = T(1) / a", "MUFU.RCP", 2 * logits),), never, longest=False)


FORWARD, BACKWARD = "terms.difference * terms.difference", "base = difference * difference"
FLOAT, BFLOAT16 = "I(?=f)", "IN3c108BFloat16E"

HOT_LOOPS = {
    "em_32": Listed("EM, an iteration of up to 32 values", "gmm_em", "gmm_em_kernelIf", em_iteration(1), IN_L1),
    "em_64": Listed("EM, an iteration of 33 to 64 values", "gmm_em", "gmm_em_kernelIf", em_iteration(2), IN_L1),
    "split_em_32": Listed("EM in the split, up to 32", "split_candidates", "split_kernel", em_iteration(1), IN_L1),
    "split_em_64": Listed("EM in the split, 33 to 64", "split_candidates", "split_kernel", em_iteration(2), IN_L1),
    "match_first": Listed(
        "matching, first pass, a pair", "match_anchors", "first_pass_kernelIf", HotLoop(("meet(best, iou",))
    ),
    "match_second": Listed(
        "matching, second pass, a pair", "match_anchors", "second_pass_kernelIf", HotLoop(("pass.meet_object(",))
    ),
    "cost": Listed(
        "cost, a class", "assign_cost", "assign_cost_kernelIf",
        HotLoop(("class_cost(logit_at, first, step",), never=("std::pow(", "focal_loss_of_probability(")), IN_MEMORY,
    ),
    "focal_kl_forward": Listed(
        "focal-KL forward, a logit, float32", "focal_kl", f"dense_partials_kernel{FLOAT}",
        focal_kl_of_pack(FORWARD, 4), IN_MEMORY, 4,
    ),
    "focal_kl_backward": Listed(
        "focal-KL backward, a logit, float32", "focal_kl", f"dense_gradient_kernel{FLOAT}",
        focal_kl_of_pack(BACKWARD, 4), IN_MEMORY, 4,
    ),
    "focal_kl_forward_bf16": Listed(
        "focal-KL forward, a logit, bfloat16", "focal_kl", f"dense_partials_kernel{BFLOAT16}",
        focal_kl_of_pack(FORWARD, 8), IN_MEMORY, 8,
    ),
    "focal_kl_backward_bf16": Listed(
        "focal-KL backward, a logit, bfloat16", "focal_kl", f"dense_gradient_kernel{BFLOAT16}",
        focal_kl_of_pack(BACKWARD, 8), IN_MEMORY, 8,
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
