"""The parts of the GPU check and their steps. Each part fits into ``PART_SECONDS``; its steps run in processes of their
own, so that a CUDA error of one does not spoil the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bench.cases import BENCHES
from gpu_checks import (
    against_cpu,
    cuda_tests,
    em_slope,
    invariants,
    kernels,
    many_logits,
    peers,
    repeats,
    run_every_operator,
    sanitizer,
    streams,
    sweep,
    timing,
)
from gpu_checks.context import Context

PART_SECONDS = 285  # so that a part and the start of Python fit into a call of five minutes


@dataclass(frozen=True)
class Step:
    name: str
    check: Callable[[Context], str]
    """Returns what was seen. Raises if the check fails, ``CouldNotRun`` if this machine cannot run it."""
    seconds: int = 100
    """Time limit of the process; the rest of the part's time if that is less."""
    shows_on_a_gpu_only: bool = False
    """On the CPU the code runs too, but shows nothing about a GPU."""


@dataclass(frozen=True)
class Part:
    what: str
    steps: tuple[Step, ...]


def tool(name: str) -> Step:
    return Step(name, partial(sanitizer.sanitize, tool=name), sanitizer.SANITIZER_SECONDS, True)


PARTS = {
    "tests": Part(
        "the tests of python_tests that need a CUDA device",
        (Step("CUDA tests", cuda_tests.run_tests, PART_SECONDS, True),),
    ),
    "exact": Part(
        "GPU against CPU, on batches of all sizes",
        (
            Step("every operator", run_every_operator.check_every_operator),
            Step("full workload", against_cpu.check_every_call),
            Step("mixtures", against_cpu.check_mixtures),
            Step("batches", against_cpu.check_batches),
            Step("75,000 objects", against_cpu.check_crowd),
            Step("all anchors matched", against_cpu.check_all_matched),
            Step("over 2^31 logits", many_logits.check_many_logits),
        ),
    ),
    "device": Part(
        "no sync, CUDA graph, memory, another stream, the same bits in every run",
        (
            Step("no sync", invariants.check_no_sync, shows_on_a_gpu_only=True),
            Step("CUDA graph", invariants.check_graph, shows_on_a_gpu_only=True),
            Step("memory", invariants.check_memory, shows_on_a_gpu_only=True),
            Step("side stream", streams.check_side_stream, shows_on_a_gpu_only=True),
            Step("100 runs", repeats.check_repeats, 200),
        ),
    ),
    "times": Part(
        "microseconds of every operator and of every kernel, and of an iteration of EM",
        (
            Step("benches", timing.write_benches, 150),
            Step("kernels", kernels.write_kernels),
            Step("EM iteration", em_slope.write_em_slope),
        ),
    ),
    "peers": Part(
        "the operators against torchvision, eager torch and torch.compile",
        tuple(Step(f"peers of {name}", partial(peers.write_peers, bench=name)) for name in BENCHES if name in peers.ON),
    ),
    "memcheck": Part("compute-sanitizer: memcheck and initcheck", (tool("memcheck"), tool("initcheck"))),
    "racecheck": Part("compute-sanitizer: racecheck and synccheck", (tool("racecheck"), tool("synccheck"))),
    "sweep": Part(
        "block sizes that are not tuned, with the libraries of python -m gpu_checks.variants",
        (Step("sweep", sweep.write_sweep, PART_SECONDS),),
    ),
}
STEPS = {step.name: step for part in PARTS.values() for step in part.steps}
