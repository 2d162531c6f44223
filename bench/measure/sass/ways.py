"""The longest and the shortest way once round a loop of a kernel's machine code, or through the whole kernel.

Which way a warp takes depends on the data. The longest way that runs no slow path is the one with all values ordinary
and every ``if`` of the source taken. The shortest is the one with every ``if`` skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bench.measure.sass.flow import Flow, Loop
from bench.measure.sass.listing import Instruction

# Functions of the compiler (a division's slow path) and code for a warp that has diverged: a way avoids them as long as
# there is another one.
SLOW = {"CALL", "WARPSYNC"}
Marker = Callable[[Instruction], int | None]
State = tuple[int, tuple[int, ...]]  # a block, and how many of each marker came before it


def whole_kernel(flow: Flow) -> Loop:
    """The blocks that are reached from the entry, as if they were a loop."""
    entry = flow.kernel.instructions[0].address
    reached = [entry]
    for address in reached:
        reached += [x for x in flow.blocks[address].successors if x not in reached]
    return Loop(entry, frozenset(reached))


class Ways:
    """The ways round a loop that meet each marker a given number of times.

    ``marker_of`` gives an instruction the index of the marker that it is, or None. ``avoided`` instructions are run
    only where there is no way around them. An inner loop without a marker is run once.
    """

    def __init__(
        self, flow: Flow, loop: Loop, marker_of: Marker = lambda _: None, wanted: tuple[int, ...] = (),
        avoided: Callable[[Instruction], bool] = lambda _: False,
    ) -> None:  # fmt: skip
        self.flow, self.loop, self.wanted = flow, loop, wanted
        self.blocks = {address: flow.blocks[address] for address in loop.body}
        self.avoided = {
            address: sum(i.name in SLOW or avoided(i) for i in block.instructions)
            for address, block in self.blocks.items()
        }
        self.marks = {address: [marker_of(i) for i in block.instructions] for address, block in self.blocks.items()}
        inner = [x for x in flow.loops if x.header != loop.header and x.body <= loop.body]
        unmarked = [x for x in inner if not any(any(n is not None for n in self.marks[a]) for a in x.body)]
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
        block = self.blocks[address]
        if block.instructions[-1].name == "EXIT" and met == self.wanted:
            yield None
        for successor in block.successors:
            if successor == self.loop.header:
                if met == self.wanted:
                    yield None
            elif successor in self.blocks and (address, successor) not in self.closed:
                yield successor, met

    def _best(self, choose: Callable) -> list[Instruction]:
        """The way with the fewest avoided instructions, and among those the one with the largest or least sum of
        stalls."""
        start = (self.loop.header, (0,) * len(self.wanted))
        best: dict[State | None, tuple[int, int, State | None]] = {None: (0, 0, None)}
        for state in self._last_first(start):
            options = [(*best[x][:2], x) for x in self._next(state) if x in best]
            if options:
                fewest = min(avoided for avoided, _, _ in options)
                _, length, after = choose((o for o in options if o[0] == fewest), key=lambda o: o[1])
                stalls = sum(max(i.control.stall, 1) for i in self.blocks[state[0]].instructions)
                best[state] = fewest + self.avoided[state[0]], length + stalls, after
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
