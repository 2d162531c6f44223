"""The longest and the shortest way once round a loop of a kernel's machine code.

Which way a warp takes depends on the data. The longest way that runs no slow path is the one with all values ordinary
and every ``if`` of the source taken. The shortest is the one with every ``if`` skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bench.measure.sass import Instruction
from bench.measure.sass_flow import Flow, Loop

# Functions of the compiler (a division's slow path) and code for a warp that has diverged: a way avoids them as long as
# there is another one.
SLOW = {"CALL", "WARPSYNC"}
Marker = Callable[[Instruction], int | None]
State = tuple[int, tuple[int, ...]]  # a block, and how many of each marker came before it


class Ways:
    """The ways round a loop that meet each marker a given number of times.

    ``marker_of`` gives an instruction the index of the marker that it is, or None. A marker with a predicate may do
    nothing and is not counted. ``never`` are addresses of blocks that no way runs. An inner loop without a marker is run
    once.
    """

    def __init__(
        self, flow: Flow, loop: Loop, marker_of: Marker = lambda _: None, wanted: tuple[int, ...] = (),
        never: frozenset[int] = frozenset(),
    ) -> None:  # fmt: skip
        self.flow, self.loop, self.wanted = flow, loop, wanted
        self.blocks = {address: flow.blocks[address] for address in loop.body - never}
        self.marks = {
            address: [marker_of(i) for i in block.instructions if not i.predicate]
            for address, block in self.blocks.items()
        }
        inner = [x for x in flow.loops if x.header != loop.header and x.body <= loop.body]
        unmarked = [x for x in inner if not any(any(n is not None for n in self.marks.get(a, [])) for a in x.body)]
        self.closed = {(address, x.header) for x in unmarked for address in x.body}

    def longest(self) -> list[Instruction]:
        return self._best(max)

    def shortest(self) -> list[Instruction]:
        return self._best(min)

    def _met(self, state: State) -> tuple[int, ...]:
        """How many of each marker there are up to the end of the state's block."""
        address, met = state
        return tuple(m + self.marks[address].count(n) for n, m in enumerate(met))

    def _next(self, state: State) -> Iterator[State | None]:
        """The states that may follow; None is the end of the way."""
        address, met = state[0], self._met(state)
        if any(m > w for m, w in zip(met, self.wanted)):
            return
        for successor in self.blocks[address].successors:
            if successor == self.loop.header:
                if met == self.wanted:
                    yield None
            elif successor in self.blocks and (address, successor) not in self.closed:
                yield successor, met

    def _best(self, choose: Callable) -> list[Instruction]:
        """The way with the fewest slow blocks, and among those the one with the largest or least sum of stalls."""
        start = (self.loop.header, (0,) * len(self.wanted))
        best: dict[State | None, tuple[int, int, State | None]] = {None: (0, 0, None)}
        for state in self._last_first(start):
            options = [(*best[x][:2], x) for x in self._next(state) if x in best]
            if options:
                fewest = min(slow for slow, _, _ in options)
                _, length, after = choose((o for o in options if o[0] == fewest), key=lambda o: o[1])
                code = self.blocks[state[0]].instructions
                slow = any(i.name in SLOW for i in code)
                best[state] = fewest + slow, length + sum(max(i.control.stall, 1) for i in code), after
        if start not in best:
            raise LookupError(f"no way round the loop at {self.loop.header:#x} meets the markers {self.wanted} times")
        way, state = [], start
        while state is not None:
            block = self.blocks[state[0]]
            way += block.instructions
            way += way_through(self.flow, block.callee) if block.callee is not None else []
            state = best[state][2]
        return way

    def _last_first(self, start: State) -> Iterator[State]:
        """The states from the start on, each after all that may follow it."""
        done: set[State] = set()
        stack = [(start, False)]
        while stack:
            state, finished = stack.pop()
            if finished:
                yield state
            elif state not in done:
                done.add(state)
                stack.append((state, True))
                stack += [(x, False) for x in self._next(state) if x is not None]


def way_through(flow: Flow, entry: int) -> list[Instruction]:
    """The instructions of the way through a function with the fewest blocks."""
    came_from: dict[int, int | None] = {entry: None}
    pending = [entry]
    for address in pending:
        block = flow.blocks[address]
        if block.instructions[-1].name == "RET":
            way: list[Instruction] = []
            at: int | None = address
            while at is not None:
                way = [*flow.blocks[at].instructions, *way]
                at = came_from[at]
            return way
        for successor in block.successors:
            if successor not in came_from:
                came_from[successor] = address
                pending.append(successor)
    raise LookupError(f"the function at {entry:#x} does not return")
