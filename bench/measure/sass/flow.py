"""Basic blocks and natural loops of a kernel's machine code."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bench.measure.sass.listing import Instruction, Kernel

ENDS = {"BRA", "EXIT", "RET", "BRX", "JMX", "KILL", "BPT"}


@dataclass(frozen=True)
class Block:
    instructions: tuple[Instruction, ...]
    successors: tuple[int, ...]
    """Addresses of the blocks that may follow."""
    callee: int | None = None
    """Address of the function that the last instruction calls."""

    @property
    def address(self) -> int:
        return self.instructions[0].address


@dataclass(frozen=True)
class Loop:
    header: int
    body: frozenset[int]
    """Addresses of the blocks of the loop, the header included."""


class Flow:
    """The control flow of a kernel and of the functions in its section."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.blocks = {block.address: block for block in split_blocks(kernel)}
        self.predecessors: dict[int, list[int]] = {address: [] for address in self.blocks}
        for block in self.blocks.values():
            for successor in block.successors:
                self.predecessors[successor].append(block.address)
        self.loops = self._loops()

    def _loops(self) -> list[Loop]:
        """Natural loops, those with the same header merged, from the outermost to the innermost."""
        order, back_edges = depth_first(self.blocks)
        bodies: dict[int, set[int]] = {}
        for tail, header in back_edges:
            body = bodies.setdefault(header, {header})
            pending = [tail]
            while pending:
                address = pending.pop()
                if address not in body:
                    body.add(address)
                    pending += self.predecessors[address]
        loops = [Loop(header, frozenset(body)) for header, body in bodies.items()]
        return sorted(loops, key=lambda loop: (-len(loop.body), loop.header))

    def instructions(self, loop: Loop) -> list[Instruction]:
        return [i for address in sorted(loop.body) for i in self.blocks[address].instructions]


def split_blocks(kernel: Kernel) -> list[Block]:
    code = kernel.instructions
    targets = {i.address: target for i in code if (target := branch_target(kernel, i)) is not None}
    end = code[-1].address + 16
    starts = {code[0].address, *(t for t in targets.values() if t < end), *kernel.labels.values()}
    starts |= {i.address + 16 for i in code if i.name in ENDS or i.name == "CALL"}
    blocks, current = [], []
    for instruction in code:
        if instruction.address in starts and current:
            blocks.append(current)
            current = []
        current.append(instruction)
    blocks.append(current)
    made = []
    for block in blocks:
        last = block[-1]
        after = last.address + 16
        falls_through = last.name not in ENDS or is_conditional(last)
        successors = [after] if falls_through and after < end else []
        target = targets.get(last.address)
        callee = target if last.name == "CALL" else None
        if target is not None and last.name != "CALL":
            successors.append(target)
        made.append(Block(tuple(block), tuple(successors), callee))
    return made


def is_conditional(i: Instruction) -> bool:
    # BRA.DIV jumps if the warp has diverged. In "BRA P2, `(label)" the predicate is the first operand.
    return i.predicate not in ("", "@PT", "@UPT") or i.opcode == "BRA.DIV" or bool(re.match(r"!?U?P\d", i.operands))


def branch_target(kernel: Kernel, i: Instruction) -> int | None:
    """The address that an instruction may jump to. BSSY and WARPSYNC name one too, but control falls through them."""
    if i.name not in ("BRA", "CALL"):
        return None
    label = re.search(r"`\(([^)]+)\)", i.operands)
    return kernel.labels.get(label[1]) if label else None


def depth_first(blocks: dict[int, Block]) -> tuple[list[int], list[tuple[int, int]]]:
    """Blocks in the order of the first visit, and the edges to a block that is still open: they close loops."""
    order, back_edges = [], []
    state: dict[int, int] = {}  # 1 open, 2 done
    for root in sorted(blocks):
        if root in state:
            continue
        state[root] = 1
        order.append(root)
        stack = [(root, iter(blocks[root].successors))]
        while stack:
            address, successors = stack[-1]
            for successor in successors:
                if successor not in state:
                    state[successor] = 1
                    order.append(successor)
                    stack.append((successor, iter(blocks[successor].successors)))
                    break
                if state[successor] == 1:
                    back_edges.append((address, successor))
            else:
                state[address] = 2
                stack.pop()
    return order, back_edges
