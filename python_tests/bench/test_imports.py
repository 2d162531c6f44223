"""The folders of ``bench`` import each other in one direction."""

import ast

from bench.paths import ROOT

ORDER = ("workload", "measure", "peers", "report", "cases")
"""Each imports only from those before it."""


def imported_modules(path):
    tree = ast.parse(path.read_text())
    return [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]


def test_folders_import_in_one_direction():
    for place, folder in enumerate(ORDER):
        for path in (ROOT / "bench" / folder).rglob("*.py"):
            for module in imported_modules(path):
                package, _, rest = module.partition(".")
                assert package != "gpu_checks", f"{path} imports {module}"
                if package == "bench" and rest != "paths":
                    assert rest.split(".")[0] in ORDER[: place + 1], f"{path} imports {module}"
