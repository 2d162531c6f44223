"""Who may import whom: no circles, no imports of tests, nothing of the tests or the benches in the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from python_tests.package.import_graph import Sources

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = [name for name in ("colad_ops", "bench", "gpu_checks", "python_tests") if (ROOT / name).is_dir()]
OUTSIDE = ("bench", "gpu_checks", "python_tests")  # of colad_ops

pytestmark = pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="not run from the source tree")
EVERY_PACKAGE = pytest.mark.parametrize("package", PACKAGES)


def sources(*packages: str) -> Sources:
    return Sources(ROOT, packages)


@EVERY_PACKAGE
def test_no_circle_of_imports(package):
    assert sources(package).circle() == ""


def test_no_circle_of_imports_across_packages():
    assert sources(*PACKAGES).circle() == ""


@EVERY_PACKAGE
def test_no_test_is_imported(package):
    assert sources(package).imports_of_tests() == []


@EVERY_PACKAGE
def test_no_path_is_edited(package):
    assert sources(package).path_edits() == []


@EVERY_PACKAGE
def test_every_folder_of_modules_is_a_package(package):
    assert sources(package).folders_without_init() == []


def test_colad_ops_imports_neither_tests_nor_benches():
    assert sources("colad_ops").imports_from(OUTSIDE) == []


@pytest.fixture
def tree(tmp_path):
    """Writes modules from a table of paths and texts and returns the sources of the package ``p``."""

    def write(modules: dict[str, str]) -> Sources:
        for path, text in modules.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return Sources(tmp_path, ["p"])

    return write


@pytest.mark.parametrize(
    "b",
    [
        "import p.a",
        "from p import a",
        "from p.a import name",
        "from . import a",
        "from .a import name",
        "try:\n    from .a import name\nexcept ImportError:\n    pass",
        "class B:\n    from .a import name",
    ],
)
def test_a_circle_is_named(tree, b):
    found = tree({"p/__init__.py": "", "p/a.py": "from p.b import name", "p/b.py": b}).circle()
    assert found in ("p.a -> p.b -> p.a", "p.b -> p.a -> p.b")


def test_a_circle_through_a_package_is_named(tree):
    modules = {"p/__init__.py": "from .q.a import A", "p/q/__init__.py": "", "p/q/a.py": "from .. import B"}
    assert tree(modules).circle() in ("p -> p.q.a -> p", "p.q.a -> p -> p.q.a")


@pytest.mark.parametrize(
    "b",
    [
        "def function():\n    import p.a",
        "async def function():\n    from . import a",
        "if TYPE_CHECKING:\n    from .a import name",
        "if typing.TYPE_CHECKING:\n    from .a import name\nelse:\n    import os",
        "import a",
        "from other import a",
    ],
)
def test_what_is_no_circle(tree, b):
    assert tree({"p/__init__.py": "", "p/a.py": "from p.b import name", "p/b.py": b}).circle() == ""


def test_modules_of_a_package_may_import_each_other_through_it(tree):
    modules = {"p/__init__.py": "from .b import name", "p/a.py": "", "p/b.py": "from . import a"}
    assert tree(modules).circle() == ""


@pytest.mark.parametrize(
    "text",
    [
        "import p.test_a",
        "from p.test_a import name",
        "from p import test_a",
        "from .test_a import name",
        "import test_a",
    ],
)
def test_an_import_of_a_test_is_found(tree, text):
    everywhere = {"p/b.py": text, "p/c.py": f"def function():\n    {text}"}
    named = "test_a" if text == "import test_a" else "p.test_a"
    found = tree({"p/__init__.py": "", "p/test_a.py": "", **everywhere}).imports_of_tests()
    assert found == [f"p.b imports {named}", f"p.c imports {named}"]


def test_an_import_of_another_package_is_found(tree):
    modules = {"p/a.py": "import bench.run", "p/b.py": "from bench import run", "p/c.py": "from p.bench import run"}
    assert tree(modules).imports_from(["bench"]) == ["p.a imports bench.run", "p.b imports bench"]


def test_a_path_edit_is_found(tree):
    assert tree({"p/a.py": f"import sys\n{'sys'}.path.insert(0, '.')", "p/b.py": "import sys"}).path_edits() == ["p.a"]


def test_a_folder_without_init_is_found(tree):
    (found,) = tree({"p/__init__.py": "", "p/q/a.py": ""}).folders_without_init()
    assert found.endswith("/p/q")
