"""The formula headers of the operators, exposed to NumPy. ``float32`` and ``float64`` have the formulas that exist in
both precisions, ``fast`` those of the losses' CUDA kernels; ``compiled`` has those that exist in one. They are compiled
from ``module.cpp`` into ``build/formulas`` on the first import, and again when a source is newer."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sysconfig
from pathlib import Path
from types import ModuleType

import numpy as np
import pybind11
import pytest

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
CSRC = REPOSITORY / "csrc"
MODULE = REPOSITORY / "build" / "formulas" / ("colad_formulas" + sysconfig.get_config_var("EXT_SUFFIX"))


def _sources() -> list[Path]:
    names = ("host_device.h", "elementary.h", "logistic.h", "approximate.h", "fast_elementary.h")
    others = ("gmm_em/gmm_em_lanes.h", "losses/loss_pair.h")
    headers = [*(CSRC / "common" / name for name in names), *(CSRC / "ops" / name for name in others)]
    headers += (CSRC / "ops").glob("*/*_math.h")
    return [HERE / "module.cpp", HERE / "fast_formulas.h", Path(__file__), *headers]


def _compile() -> None:
    """Compiles the module. This needs only a C++ compiler and the headers of pybind11. The headers of torch are not on
    the include path, so no formula can use them."""
    MODULE.parent.mkdir(parents=True, exist_ok=True)
    # The complete file is renamed, so no other test process loads an incomplete file.
    partial = MODULE.with_suffix(f".{os.getpid()}.partial")
    includes = [CSRC, pybind11.get_include(), sysconfig.get_path("include")]
    command = [os.environ.get("CXX", "g++"), "-std=c++20", "-Wall", "-Wextra", "-Werror", "-O1", "-fvisibility=hidden"]
    command += ["-shared", "-fPIC"]
    command += [*(f"-I{folder}" for folder in includes), str(HERE / "module.cpp"), "-o", str(partial)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{result.stderr}")
    partial.replace(MODULE)


def _load() -> ModuleType:
    if not MODULE.is_file() or MODULE.stat().st_mtime < max(source.stat().st_mtime for source in _sources()):
        _compile()
    spec = importlib.util.spec_from_file_location("colad_formulas", MODULE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


compiled = _load()
float32, float64, fast = compiled.float32, compiled.float64, compiled.fast

PRECISIONS = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])


def of(dtype: type) -> ModuleType:
    """The formulas in NumPy's ``float32`` or ``float64``."""
    return float32 if dtype is np.float32 else float64
