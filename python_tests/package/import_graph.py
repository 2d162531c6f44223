"""Which module imports which, read from the sources; nothing is imported.

``from a import b`` is an import of the module ``a.b`` where there is one, else of ``a``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PATH_EDIT = re.compile(r"\bsys\.path\b")


class Sources:
    """The modules of some packages under a root folder."""

    def __init__(self, root: Path, packages: Sequence[str]) -> None:
        self.files = {
            _name(root, file): file for package in packages for file in sorted((root / package).rglob("*.py"))
        }

    def imports_of(self, module: str, inside_functions: bool) -> list[str]:
        """Full names, also of modules of other packages. Imports ``if TYPE_CHECKING`` do not count, those inside
        functions only where asked for."""
        file = self.files[module]
        package = module if file.name == "__init__.py" else module.rpartition(".")[0]
        imported = []
        for node in _statements(ast.parse(file.read_text()), inside_functions):
            if isinstance(node, ast.Import):
                imported += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = _absolute(node, package)
                names = (f"{base}.{alias.name}" for alias in node.names)
                imported += [name if name in self.files else base for name in names]
        return list(dict.fromkeys(imported))

    def circle(self) -> str:
        """One circle of imports as ``a -> b -> a``, empty where there is none."""
        graph = {
            module: [name for name in self.imports_of(module, inside_functions=False) if name in self.files]
            for module in self.files
        }
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            return " -> ".join(reversed(error.args[1]))
        return ""

    def imports_of_tests(self) -> list[str]:
        """Every import of a test module, ``a imports b``."""
        return self._imports(lambda name: name.rpartition(".")[2].startswith("test_"))

    def imports_from(self, packages: Sequence[str]) -> list[str]:
        """Every import of these packages or of their modules, ``a imports b``."""
        return self._imports(lambda name: name.partition(".")[0] in packages)

    def path_edits(self) -> list[str]:
        """The modules that name the list of folders where the interpreter looks for modules."""
        return [module for module, file in self.files.items() if PATH_EDIT.search(file.read_text())]

    def folders_without_init(self) -> list[str]:
        return sorted({str(file.parent) for file in self.files.values() if not (file.parent / "__init__.py").is_file()})

    def _imports(self, matches: Callable[[str], bool]) -> list[str]:
        return [
            f"{module} imports {name}"
            for module in self.files
            for name in self.imports_of(module, inside_functions=True)
            if matches(name)
        ]


def _name(root: Path, file: Path) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    """What stands between ``from`` and ``import``, with the package in place of the dots."""
    parts = package.split(".")
    base = parts[: len(parts) - node.level + 1] if node.level else []
    return ".".join([*base, node.module] if node.module else base)


def _statements(node: ast.AST, inside_functions: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and not inside_functions:
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield other
                yield from _statements(other, inside_functions)
            continue
        yield child
        yield from _statements(child, inside_functions)
