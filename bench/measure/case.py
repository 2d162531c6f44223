"""A case: a call of our operator, the peers that compute the same, a lower bound, goals. An outcome: the measurements
of a case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.measure.machine import LowerBound, Machine
from bench.measure.memory import extra_memory
from bench.measure.timing import Sample, Timing, compare

OURS = "ours"
SLOW = 1e6  # microseconds; the memory of a slower peer is not measured, because that takes two more calls


def as_returned(result: Any) -> Any:
    return result


@dataclass(frozen=True)
class Peer:
    """Another way to compute the same result. ``missing`` is the reason if the peer does not run here."""

    name: str
    version: str
    run: Callable[[], Any] | None
    missing: str = ""
    comparable: Callable[[Any], Any] = as_returned
    """Converts the result of ``run`` for ``Case.check``; not timed."""
    same: bool = True
    """False: the peer computes something else. It is timed for scale, and its result is not checked."""


@dataclass(frozen=True)
class Goal:
    """``kind`` is ``"times"``: at least ``bound`` times as fast as ``peer``; ``"ms"``: at most ``bound`` milliseconds;
    or ``"extra"``: at most ``bound`` bytes of extra memory."""

    kind: str
    bound: float
    peer: str = ""

    def __str__(self) -> str:
        if self.kind == "times":
            return f">= {self.bound:g} x {self.peer}"
        return f"<= {self.bound:g} ms" if self.kind == "ms" else f"<= {show_bytes(self.bound)} extra"

    def reached(self, outcome: Outcome) -> bool | None:
        """None if it is not known, because the peer did not run or memory was not measured."""
        if self.kind == "times":
            ratio = outcome.ratio(self.peer)
            return None if ratio is None else ratio >= self.bound
        if self.kind == "ms":
            return outcome.timings[OURS].median / 1e3 <= self.bound
        extra = outcome.extra.get(OURS)
        return None if extra is None else extra <= self.bound


@dataclass(frozen=True)
class Case:
    op: str
    what: str
    ours: Callable[[], Any]
    peers: Sequence[Peer]
    check: Callable[[Any, Any], None]
    """``check(our result, the peer's result)`` raises AssertionError if the results disagree."""
    lower_bound: LowerBound | None = None
    goals: Sequence[Goal] = ()
    two_threads: bool = False
    """Whether the case is also measured with two threads, by wall time."""
    once: bool = False
    """Whether a sample is a single call: see ``compare``."""


@dataclass
class Outcome:
    case: Case
    threads: int
    timings: dict[str, Timing]
    """Timings of our operator and of every peer that ran."""
    extra: dict[str, int | None]
    """Bytes of extra memory (memory.py) of our operator and of the peers that are faster than ``SLOW``."""
    missing: dict[str, str] = field(default_factory=dict)
    """Peers that did not run, and why."""

    def ratio(self, peer: str) -> float | None:
        """Time of the peer over time of our operator; None if the peer did not run."""
        if peer not in self.timings:
            return None
        return self.timings[peer].median / self.timings[OURS].median

    @property
    def share_of_lower_bound(self) -> float | None:
        """Lower bound over our time: 1 means as fast as the machine can be. The lower bound is that of one thread, so
        the value is None with more threads."""
        if self.case.lower_bound is None or self.threads > 1:
            return None
        return self.case.lower_bound.seconds * 1e6 / self.timings[OURS].median


def run_case(case: Case, machine: Machine, sample: Sample, rounds: int, seconds: float) -> Outcome:
    """Checks that the peers agree with our operator, then measures time and memory of all.

    Raises:
        AssertionError: the result of a peer differs; the message names the peer.
    """
    ours = case.ours()
    runs, missing = {OURS: case.ours}, {}
    for peer in case.peers:
        if peer.run is None:
            missing[peer.name] = peer.missing
            continue
        try:
            result = peer.run()
        except Exception as error:  # a peer that cannot do the task is a result; the bench goes on
            missing[peer.name] = f"raised {type(error).__name__}: {(str(error).splitlines() or [''])[0][:100]}"
            continue
        if peer.same:
            try:
                case.check(ours, peer.comparable(result))
            except AssertionError as error:
                raise AssertionError(f"{case.op} {case.what}: {peer.name} disagrees with ours: {error}") from error
        runs[peer.name] = peer.run
        del result
    del ours
    timings = compare(runs, sample, rounds, seconds, case.once)
    seen = [name for name in runs if name == OURS or timings[name].median < SLOW]
    extra = {name: extra_memory(runs[name], machine.device) for name in seen}
    return Outcome(case, machine.threads, timings, extra, missing)


def show_bytes(count: float | None) -> str:
    if count is None:
        return ""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.0f} kB"
