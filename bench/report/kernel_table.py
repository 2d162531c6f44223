"""Prints registers, shared memory, stack and spills of every kernel: ``python -m bench.report.kernel_table``.

The kernels are compiled in ``build/cubins`` with the flags of CMakeLists.txt, for each of its architectures.
"""

from __future__ import annotations

import re

from bench.measure.sass.cubins import architectures, compile_cubins, sources
from bench.measure.sass.ptxas import Resources, demangle, resources

TYPE = re.compile(r"\b(BFloat16|Half|double|float)\b")
WORDS = {"BFloat16": "bfloat16", "Half": "half", "float": "float", "double": "double"}
CLOSE = 16  # types are one row if their registers differ by no more


def logs(of_architectures: list[int] | None = None) -> list[str]:
    """What ptxas says of every CUDA source for each architecture: of CMakeLists.txt, if none is given."""
    return [c.log for a in of_architectures or architectures() for c in compile_cubins(sources(), a).values()]


def number(architecture: str) -> int:
    return int(re.sub(r"\D", "", architecture))


def table(of_kernels: list[Resources]) -> list[str]:
    """A Markdown table. Types whose kernels hardly differ are one row; then a cell has the least and the most."""
    names = demangle([r.kernel for r in of_kernels])
    architectures = sorted({r.architecture for r in of_kernels}, key=number)
    families: dict[str, dict[str, dict[str, Resources]]] = {}  # kernel with T for its type, type, architecture
    for r in of_kernels:
        types = TYPE.findall(names[r.kernel])
        family = families.setdefault(TYPE.sub("T", names[r.kernel]), {})
        family.setdefault(types[0] if types else "", {})[r.architecture] = r
    lines = [
        f"| kernel | T | {' | '.join(architectures)} | shared | STACK | spilled |",
        "|---|---|" + "--:|" * (len(architectures) + 3),
    ]
    for name in sorted(families):
        for types in folded(families[name]):
            rows = [families[name][t] for t in types]
            registers = [span([x[a].registers for x in rows if a in x]) for a in architectures]
            rest = [span([getattr(r, k) for x in rows for r in x.values()]) for k in ("shared", "stack", "spilled")]
            words = ", ".join(WORDS.get(t, t) for t in sorted(types))
            lines.append(f"| `{name}` | {words} | {' | '.join([*registers, *rest])} |")
    return lines


def span(numbers: list[int]) -> str:
    return "" if not numbers else f"{min(numbers)}" + (f"-{max(numbers)}" if max(numbers) > min(numbers) else "")


def folded(types: dict[str, dict[str, Resources]]) -> list[list[str]]:
    """The types in groups that make one row."""
    groups: list[list[str]] = []
    for t in types:
        for group in groups:
            if all(is_close(types[t], types[other]) for other in group):
                group.append(t)
                break
        else:
            groups.append([t])
    return groups


def is_close(a: dict[str, Resources], b: dict[str, Resources]) -> bool:
    return a.keys() == b.keys() and all(
        abs(a[x].registers - b[x].registers) <= CLOSE
        and (a[x].shared, a[x].stack, a[x].spilled) == (b[x].shared, b[x].stack, b[x].spilled)
        for x in a
    )


if __name__ == "__main__":
    print("\n".join(table([r for log in logs() for r in resources(log)])))
