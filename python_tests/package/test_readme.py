"""The documents: their Python runs as it stands there, their commands exist, and what they name is there."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from colad_ops import AssignConfig
from colad_ops.cli import build_parser
from python_tests.support.scenes import make_scene

ROOT = Path(__file__).resolve().parents[2]
README, CONTRIBUTING = ROOT / "README.md", ROOT / "CONTRIBUTING.md"
DOCUMENTS = [README, CONTRIBUTING, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FOLDERS = ("csrc", "colad_ops", "python_tests", "bench", "gpu_checks", "examples", "docs", ".ci", ".github")

pytestmark = pytest.mark.skipif(not CONTRIBUTING.is_file(), reason="not run from the source tree")
EVERY_DOCUMENT = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def blocks(document: Path, language: str) -> list[str]:
    return [text for found, text in FENCE.findall(document.read_text()) if found == language]


def prose(document: Path) -> str:
    """The text outside blocks of code."""
    return FENCE.sub("", document.read_text())


def commands(document: Path) -> Iterator[list[str]]:
    """The words of each command, in blocks and between backquotes, without comments."""
    for block in blocks(document, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.count('"') % 2 == 0:  # not a command of several lines
                yield shlex.split(line, comments=True)
    for code in re.findall(r"`((?:make|python|colad|bash) [^`]+)`", prose(document)):
        yield code.split()


def run_blocks(document: Path, names: dict[str, Any]) -> dict[str, Any]:
    """Runs the Python blocks one after the other; returns the names that they leave."""
    for block in blocks(document, "python"):
        exec(compile(block, document.name, "exec"), names)
    return names


def inputs() -> dict[str, Any]:
    """What a detector has: predictions and anchors, and targets as torchvision has them."""
    scene = make_scene([3, 0, 2])
    sides = [12, 6, 3]
    return {
        "class_maps": [
            level.transpose(1, 2).reshape(3, 5, side, side).requires_grad_()
            for level, side in zip(scene.logits.split(scene.level_sizes, dim=1), sides, strict=True)
        ],
        "delta_maps": [torch.zeros(3, 4, side, side, requires_grad=True) for side in sides],
        "boxes": scene.boxes.requires_grad_(),
        "anchors": scene.anchors,
        "level_sizes": scene.level_sizes,
        "num_classes": 5,
        "targets": [
            {"boxes": scene.gt_boxes[a:b], "labels": scene.gt_labels[a:b]}
            for a, b in zip(scene.gt_offsets[:-1], scene.gt_offsets[1:], strict=True)
        ],
    }


def test_the_readmes_code_runs_and_its_two_ways_agree():
    names = run_blocks(README, inputs())
    assert len(blocks(README, "python")) == 2
    assert names["matched"].equal(names["assignment"].matched) and (names["matched"] >= 0).any()
    for name in ("cost", "num_pos", "mean", "std", "weights", "means", "variances"):
        torch.testing.assert_close(
            names[name], getattr(names["assignment"], name), rtol=0, atol=0, equal_nan=True, msg=name
        )
    losses = names["loss_cls"] + names["loss_box"]
    losses.backward()
    assert torch.isfinite(losses)
    assert all(x.grad is not None and x.grad.any() for x in (*names["class_maps"], names["boxes"]))


@EVERY_DOCUMENT
def test_the_code_of_every_document_runs(document):
    scene, teacher = make_scene([3, 0, 2]), make_scene([3, 0, 2], seed=1)
    names = {"teacher_logits": teacher.logits, "teacher_boxes": teacher.boxes}
    run_blocks(document, inputs() if document.name in (README.name, "integrations.md") else vars(scene) | names)


@EVERY_DOCUMENT
def test_every_block_says_what_it_is(document):
    assert {language for language, _ in FENCE.findall(document.read_text())} <= {"python", "bash", "text"}


def test_the_readme_is_short():
    assert len(README.read_text().splitlines()) <= 130


@EVERY_DOCUMENT
def test_no_line_is_long(document):
    lines = document.read_text().splitlines()
    assert [line for line in lines if len(LINK.sub("", line)) > 120 and not line.startswith("|")] == []


@EVERY_DOCUMENT
def test_links_lead_to_files(document):
    links = [link for link in LINK.findall(prose(document)) if not link.startswith("http")]
    assert [link for link in links if not (document.parent / link).exists()] == []


@EVERY_DOCUMENT
def test_files_that_are_named_exist(document):
    """What changed its name is in the table of CHANGELOG.md under the old one."""
    paths = re.findall(rf"`((?:{'|'.join(map(re.escape, FOLDERS))})/[\w./-]+)`", prose(document))
    gone = {"bench/gpu_check.sh"} if document.name == "CHANGELOG.md" else set()
    assert {path for path in paths if not (ROOT / path).exists()} == gone


@EVERY_DOCUMENT
def test_commands_exist(document):
    """The targets of make, the modules of Python, the scripts of bash, the options of colad."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    gone = ["colad bench", "python bench/instructions.py"] if document.name == "CHANGELOG.md" else []
    for words in commands(document):
        if words[:1] == ["make"]:
            assert set(words[1:]) <= targets, words
        elif words[:2] == ["python", "-m"]:
            assert importlib.util.find_spec(words[2]), words
        elif words[:1] == ["bash"]:
            assert (ROOT / words[1]).is_file(), words
        elif words[:1] == ["colad"] and " ".join(words) not in gone:
            assert_colad_takes(words[1:])
        elif words[:1] == ["python"] and words[1] != "-c":
            assert " ".join(words) in gone, words


def assert_colad_takes(arguments: list[str]) -> None:
    if len(arguments) == 1:  # a command that is named, not called
        arguments = [*arguments, "--help"]
    try:
        build_parser().parse_args(arguments)
    except SystemExit as end:
        assert end.code == 0, arguments


def test_the_tree_in_contributing_has_every_folder():
    tree = blocks(CONTRIBUTING, "text")[0]
    parents = [ROOT / name for name in ("csrc", "csrc/ops", "colad_ops", "bench", "python_tests")]
    folders = [folder for parent in parents for folder in parent.iterdir() if folder.is_dir()]
    named = set(re.findall(r"([\w.]+)/", tree))
    assert {folder.name for folder in folders if not folder.name.startswith("__")} - named == set()


def test_names_in_contributing_are_in_their_files():
    """In its tables: a name in the same cell as a file, or in the cell after it; and the macros of the schemas."""
    text = CONTRIBUTING.read_text()
    pairs = re.findall(r"`(\w+)` in `(\w+/[\w./]+)` \|", text)
    for path, names in re.findall(r"\| `(\w+/[\w./]+)` \| (`.*`) \|", text):
        pairs += [(name, path) for name in re.findall(r"`(\w+)`", names)]
    pairs += [(macro, "csrc/library.cpp") for macro in re.findall(r"`([A-Z_]+_OPTIONS)`", text)]
    assert len(pairs) > 30
    assert [(name, path) for name, path in pairs if not re.search(rf"\b{name}\b", (ROOT / path).read_text())] == []


def test_the_table_of_presets_is_right():
    """Its fields are those in which a preset differs from the default."""
    default, mmdet, kkhoot = (
        asdict(config) for config in (AssignConfig(), AssignConfig.mmdet(), AssignConfig.kkhoot())
    )
    assert AssignConfig.official_lad() == AssignConfig.official_colad() == AssignConfig.mmdet()
    text = (ROOT / "docs" / "presets.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| `(\S+)` \| `(\S+)` \| `(\S+)` \|", text, re.MULTILINE)
    fields = [name for name in default if not default[name] == mmdet[name] == kkhoot[name]]
    of_fields = [(name, *(repr(x[name]).replace("'", '"') for x in (default, mmdet, kkhoot))) for name in fields]
    assert sorted(rows) == sorted(of_fields)
