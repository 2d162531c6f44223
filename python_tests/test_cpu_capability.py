"""The vectors that operators run with: the best that the CPU has or those that COLAD_CPU_CAPABILITY names, and with all
of them the same results, bit for bit."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch

import colad_ops

HERE = Path(__file__).resolve().parent
VARIABLE = "COLAD_CPU_CAPABILITY"
FLAGS = {"baseline": set(), "avx2": {"avx2"}, "avx512": {"avx512f", "avx512bw", "avx512dq", "avx512vl"}}
GOLDEN = ("paa_assign", "colad_assign", "kkhoot_assign", "gmm2", "iou", "focal_kl")  # where vectors are used

CALLS = """
import json
import torch
import colad_ops

boxes, offsets, label = torch.rand(100, 4), torch.tensor([0, 100]), torch.tensor([0])
matched = torch.zeros(1, 100, dtype=torch.int64)
labels = matched[0]
leaf = boxes.clone().requires_grad_()
calls = {
    "box_iou": lambda: colad_ops.box_iou(boxes, boxes),
    "aligned_box_iou": lambda: colad_ops.aligned_box_iou(boxes, boxes),
    "match_anchors": lambda: colad_ops.match_anchors(boxes, boxes, offsets),
    "assign_cost": lambda: colad_ops.assign_cost(boxes[None], boxes[None], boxes[:1], label, matched),
    "gmm_em": lambda: colad_ops.gmm_em(torch.rand(100), offsets),
    "sigmoid_focal_loss": lambda: colad_ops.sigmoid_focal_loss(boxes, labels),
    "sigmoid_focal_loss_and_gradient": lambda: colad_ops.sigmoid_focal_loss(leaf, labels),
    "focal_kl_loss": lambda: colad_ops.focal_kl_loss(boxes, boxes),
    "focal_kl_loss_and_gradient": lambda: colad_ops.focal_kl_loss(leaf, boxes),
}
errors = {}
for name, call in calls.items():
    try:
        call()
    except RuntimeError as error:
        errors[name] = str(error)
print(json.dumps({"capability": colad_ops.build_info()["cpu_capability"], "errors": errors, "calls": list(calls)}))
"""


def capabilities_of_this_cpu() -> list[str]:
    """By what the kernel says."""
    text = Path("/proc/cpuinfo").read_text() if platform.machine() == "x86_64" else ""
    has = set(re.search(r"^flags\s*:(.*)$", text, re.MULTILINE).group(1).split()) if text else set()
    return [name for name, needed in FLAGS.items() if needed <= has]


HERE_ARE = capabilities_of_this_cpu()


def run(capability: str | None, *arguments: str) -> subprocess.CompletedProcess:
    """Python with the variable set to that, or not at all; with one thread, since a second waits for a busy machine."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE} | {"OMP_NUM_THREADS": "1"}
    environment |= {} if capability is None else {VARIABLE: capability}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=HERE.parent, capture_output=True, text=True
    )


def printed(result: subprocess.CompletedProcess) -> dict[str, Any]:
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@lru_cache
def digests(capability: str) -> dict[str, Any]:
    return printed(run(capability, str(HERE / "operator_digests.py")))


@pytest.mark.parametrize("unset", [None, ""])
def test_the_best_is_chosen(unset):
    code = "import json, colad_ops; print(json.dumps(colad_ops.build_info()))"
    assert printed(run(unset, "-c", code))["cpu_capability"] == HERE_ARE[-1]


def test_this_process_runs_with_one_of_them():
    assert colad_ops.build_info()["cpu_capability"] == (os.environ.get(VARIABLE) or HERE_ARE[-1])


BEYOND = pytest.mark.skipif(HERE_ARE[-1] == "avx512", reason="this CPU has all of them")
REFUSED = {
    "nonsense": "baseline, avx2 or avx512, got nonsense",
    "avx512": f"one that this CPU has, at most {HERE_ARE[-1]}, got avx512",
}
ASKED = pytest.mark.parametrize("asked", ["nonsense", pytest.param("avx512", marks=BEYOND)])


@lru_cache
def refused(asked: str) -> dict[str, Any]:
    return printed(run(asked, "-c", CALLS))


@ASKED
def test_what_cannot_be_is_refused(asked):
    found = refused(asked)
    assert found["capability"] is None
    assert list(found["errors"]) == found["calls"]


@ASKED
@pytest.mark.xfail(strict=True, reason="torch's parallel_for keeps what a body throws to itself")
def test_the_refusal_names_the_variable_and_its_value(asked):
    found = refused(asked)
    assert found["errors"] == dict.fromkeys(found["calls"], f"{VARIABLE} should be {REFUSED[asked]}")


@pytest.mark.parametrize("capability", HERE_ARE)
def test_every_operator_gives_the_same_bits(capability):
    found = digests(capability)
    assert found["capability"] == capability
    assert found["digests"] == digests("baseline")["digests"]


def test_every_operator_is_among_them():
    every = {name for name in torch._C._dispatch_get_all_op_names() if name.startswith("colad::")}
    assert set(digests("baseline")["operators"]) == every


@pytest.mark.parametrize("capability", [c for c in HERE_ARE if c != colad_ops.build_info()["cpu_capability"]])
def test_the_golden_sets_hold(capability):
    """With the others than this process's, which runs them itself."""
    files = (str(HERE / f"test_golden_{kind}.py") for kind in GOLDEN)
    result = run(capability, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files)
    assert result.returncode == 0 and re.search(r"\d+ passed", result.stdout), result.stdout
