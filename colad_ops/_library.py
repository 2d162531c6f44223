"""Finds and loads ``libcolad_ops.so``. The package does not work without it, so one error names every likely cause.

The library lies beside this file. The environment variable ``COLAD_LIBRARY`` can name the path of another build, e.g.
one with sanitizers."""

from __future__ import annotations

import ctypes
import json
import os
from pathlib import Path
from typing import Any

import torch

BUILT = Path(__file__).parent / "libcolad_ops.so"
LIBRARY = Path(os.environ.get("COLAD_LIBRARY") or BUILT).absolute()


def load_library() -> ctypes.CDLL:
    """Registers ``torch.ops.colad``. Raises ImportError with the likely causes if that fails."""
    try:
        if not LIBRARY.is_file():
            raise OSError(f"{LIBRARY} does not exist")
        torch.ops.load_library(str(LIBRARY))
        return ctypes.CDLL(str(LIBRARY))
    except (OSError, RuntimeError) as error:
        raise ImportError(
            f"colad_ops could not load its compiled library: {error}\n"
            "Likely causes:\n"
            "  - it was never built: in the source tree run `pip install -e . --no-build-isolation`"
            f" ({BUILT.name} goes to {BUILT.parent})\n"
            f"  - COLAD_LIBRARY names another build: {os.environ.get('COLAD_LIBRARY') or 'no, it is not set'}\n"
            "  - colad_ops is imported from a source tree while another copy is installed: run from another folder\n"
            f"  - torch is older than 2.11 (this is {torch.__version__})\n"
            "  - the library was built on another platform or with a newer C++ runtime (libstdc++): build it here\n"
            "There is no fallback in Python."
        ) from error


_loaded = load_library()
_loaded.colad_build_info.restype = ctypes.c_char_p
_loaded.colad_cpu_capability.restype = ctypes.c_char_p
CPU_CAPABILITY: str = _loaded.colad_cpu_capability().decode()
if CPU_CAPABILITY not in ("baseline", "avx2", "avx512"):
    raise ImportError(CPU_CAPABILITY)


def build_info() -> dict[str, Any]:
    """How the loaded library was built, and with which vector instructions it runs.

    Returns:
        ``version``, ``commit`` (git, or "unknown"), ``compiler``, ``cuda`` (version of nvcc, or None when built without
        CUDA), ``cuda_archs`` (list, e.g. ``["80", "90", "120", "ptx120"]``), ``lowest_driver`` (the oldest NVIDIA
        driver, e.g. 580, that runs the code of these architectures), ``lowest_driver_for_ptx`` (that compiles the PTX,
        which other cards run; both None without CUDA, and with a CUDA that is newer than this library knows),
        ``torch_target`` (the oldest torch it runs with) and ``cpu_capability`` (``"avx512"``, ``"avx2"`` or
        ``"baseline"``): the highest that this CPU has, or a lower one that the environment variable
        ``COLAD_CPU_CAPABILITY`` names. If the variable names anything else, or a capability that this CPU does not
        have, the import raises ImportError.
    """
    info = json.loads(_loaded.colad_build_info())
    info["cuda"] = info["cuda"] or None
    info["cuda_archs"] = info["cuda_archs"].split()
    for name in ("lowest_driver", "lowest_driver_for_ptx"):
        info[name] = info[name] or None
    info["cpu_capability"] = CPU_CAPABILITY
    return info
