"""The vectors that operators run with: the best that the CPU has, or those that COLAD_CPU_CAPABILITY names.

With all of them results are the same: bit for bit, or to within rounding where multiply-adds are fused.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch

import colad_ops
from python_tests.ops.operator_digests import FUSED

ROOT = Path(__file__).resolve().parents[2]
VARIABLE = "COLAD_CPU_CAPABILITY"
FLAGS = {
    "baseline": set(),
    "avx2": {"avx2", "fma", "f16c"},
    "avx512": {"avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512dq", "avx512vl"},
}
GOLDEN = ("paa_assign", "colad_assign", "kkhoot_assign", "gmm2", "iou", "focal_kl")  # where vectors are used


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
    return subprocess.run([sys.executable, *arguments], env=environment, cwd=ROOT, capture_output=True, text=True)


def printed(result: subprocess.CompletedProcess) -> dict[str, Any]:
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@lru_cache
def results(capability: str) -> tuple[dict[str, Any], dict[str, list[torch.Tensor]]]:
    """What ``ops/operator_digests.py`` prints, and what it saves."""
    with tempfile.NamedTemporaryFile() as file:
        printed_digests = printed(run(capability, "-m", "python_tests.ops.operator_digests", file.name))
        return printed_digests, torch.load(file.name)


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


@ASKED
def test_what_cannot_be_is_refused_on_import(asked):
    result = run(asked, "-c", "import colad_ops")
    assert result.returncode != 0
    assert f"ImportError: {VARIABLE} should be {REFUSED[asked]}" in result.stderr


@pytest.mark.parametrize("capability", HERE_ARE)
def test_operators_that_are_never_fused_give_the_same_bits(capability):
    found, _ = results(capability)
    assert found["capability"] == capability
    assert found["digests"] == results("baseline")[0]["digests"]


# Some units in the last place; of float64 more, as mixtures amplify rounding.
TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-12, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}


@pytest.mark.parametrize("capability", [c for c in HERE_ARE if c != "baseline"])
@pytest.mark.parametrize("group", [group.__name__ for group in FUSED])
def test_fused_operators_agree_to_within_rounding(group, capability):
    """And all that is decided is the same: matches, labels, iterations."""
    for found, wanted in zip(results(capability)[1][group], results("baseline")[1][group], strict=True):
        if found.is_floating_point():
            of_costs = group == "assignment"  # whose float64 results are those of float32 costs
            rtol = TOLERANCE[torch.float32 if of_costs else found.dtype]
            torch.testing.assert_close(found, wanted, rtol=rtol, atol=rtol, equal_nan=True)
        else:
            assert torch.equal(found, wanted)


def test_every_operator_is_among_them():
    every = {name for name in torch._C._dispatch_get_all_op_names() if name.startswith("colad::")}
    assert set(results("baseline")[0]["operators"]) == every


@pytest.mark.parametrize("capability", [c for c in HERE_ARE if c != colad_ops.build_info()["cpu_capability"]])
def test_the_golden_sets_hold(capability):
    """With the others than this process's, which runs them itself."""
    files = (f"python_tests/golden/test_{kind}.py" for kind in GOLDEN)
    result = run(capability, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files)
    assert result.returncode == 0 and re.search(r"\d+ passed", result.stdout), result.stdout
