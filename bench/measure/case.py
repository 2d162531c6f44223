"""A case: a call of ours, the peers that do the same, a lower bound, goals. An outcome: what was measured of it."""

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
    """Another way to the same result; ``missing`` says why it does not run here."""

    name: str
    version: str
    run: Callable[[], Any] | None
    missing: str = ""
    comparable: Callable[[Any], Any] = as_returned
    """Turns what ``run`` returned into what ``Case.check`` compares; not timed."""
    same: bool = True
    """False: computes something else, timed for scale and not checked."""


@dataclass(frozen=True)
class Goal:
    """``kind``: ``"times"``, at least ``bound`` times as fast as ``peer``; ``"ms"``, at most so many milliseconds;
    ``"extra"``, at most so many bytes of extra memory."""

    kind: str
    bound: float
    peer: str = ""

    def __str__(self) -> str:
        if self.kind == "times":
            return f">= {self.bound:g} x {self.peer}"
        return f"<= {self.bound:g} ms" if self.kind == "ms" else f"<= {show_bytes(self.bound)} extra"

    def reached(self, outcome: Outcome) -> bool | None:
        """None: not known, because the peer did not run."""
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
    """``check(ours, peer's)`` raises AssertionError where the results disagree."""
    lower_bound: LowerBound | None = None
    goals: Sequence[Goal] = ()
    two_threads: bool = False
    """Whether it is measured with two threads by wall time too."""
    once: bool = False
    """Whether a sample is a single call, see ``compare``."""


@dataclass
class Outcome:
    case: Case
    threads: int
    timings: dict[str, Timing]
    """Of ours and of every peer that ran."""
    extra: dict[str, int | None]
    """Bytes of extra memory (memory.py) of ours and of the peers that are not ``SLOW``."""
    missing: dict[str, str] = field(default_factory=dict)
    """Peers that did not run, and why."""

    def ratio(self, peer: str) -> float | None:
        """How many times as long the peer takes."""
        if peer not in self.timings:
            return None
        return self.timings[peer].median / self.timings[OURS].median

    @property
    def share_of_lower_bound(self) -> float | None:
        """1: ours is as fast as the machine can be. The lower bound is that of one thread."""
        if self.case.lower_bound is None or self.threads > 1:
            return None
        return self.case.lower_bound.seconds * 1e6 / self.timings[OURS].median


def run_case(case: Case, machine: Machine, sample: Sample, rounds: int, seconds: float) -> Outcome:
    """Checks that the peers agree with ours, then times all of them and takes their memory.

    Raises:
        AssertionError: a peer's result differs, with its name.
    """
    ours = case.ours()
    runs, missing = {OURS: case.ours}, {}
    for peer in case.peers:
        if peer.run is None:
            missing[peer.name] = peer.missing
            continue
        try:
            result = peer.run()
        except Exception as error:  # a peer that cannot do the task is a finding, not an end of the bench
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
