"""The formula headers of the operators, exposed to NumPy. ``float32`` and ``float64`` have the formulas that exist in
both precisions, ``fast`` those of the losses' CUDA kernels; ``compiled`` has those that exist in one; ``warp_fit()``
has the mixture's fit of a warp. They are compiled into ``build/formulas`` when they are needed, and again when a
source is newer."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sysconfig
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pybind11
import pytest

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
CSRC = REPOSITORY / "csrc"
FOLDER = REPOSITORY / "build" / "formulas"


def _compile(module: Path, source: Path, flags: list[str]) -> None:
    """This needs only a C++ compiler and the headers of pybind11. The headers of torch are not on the include path, so
    no formula can use them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    # The complete file is renamed, so no other test process loads an incomplete file.
    partial = module.with_suffix(f".{os.getpid()}.partial")
    includes = [CSRC, pybind11.get_include(), sysconfig.get_path("include")]
    command = [os.environ.get("CXX", "g++"), "-std=c++20", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden"]
    command += ["-shared", "-fPIC", *flags]
    command += [*(f"-I{folder}" for folder in includes), str(source), "-o", str(partial)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{result.stderr}")
    partial.replace(module)


def _load(name: str, source: Path, flags: list[str]) -> ModuleType:
    headers = [*(CSRC / "ops").glob("*/*.h"), *(CSRC / "common").glob("*.h"), *HERE.glob("*.h")]
    newest = max(file.stat().st_mtime for file in (source, Path(__file__), *headers))
    module = FOLDER / (name + sysconfig.get_config_var("EXT_SUFFIX"))
    if not module.is_file() or module.stat().st_mtime < newest:
        _compile(module, source, flags)
    spec = importlib.util.spec_from_file_location(name, module)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@lru_cache
def warp_fit() -> ModuleType:
    """The fit of a warp for many segments. It is compiled for this CPU: the formulas say where multiply-adds are fused,
    and without the instruction each of them is a call."""
    flags = ["-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
    return _load("colad_warp_fit", HERE / "warp_fit.cpp", flags)


compiled = _load("colad_formulas", HERE / "module.cpp", ["-O1"])
float32, float64, fast = compiled.float32, compiled.float64, compiled.fast

PRECISIONS = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])


def of(dtype: type) -> ModuleType:
    """The formulas in NumPy's ``float32`` or ``float64``."""
    return float32 if dtype is np.float32 else float64
