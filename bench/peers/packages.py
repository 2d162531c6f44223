"""Makes peers from torch and from packages. A package that cannot be imported gives a missing peer with the reason."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from bench.measure.case import Peer
from bench.peers.names import MMDET


def torch_peer(name: str, run: Callable[[], Any], **options) -> Peer:
    return Peer(name, torch.__version__, run, **options)


def compiled(function: Callable, **options) -> Callable:
    """``torch.compile`` of a function. It is compiled again for every new input shape."""
    torch._dynamo.config.recompile_limit = 64  # of all the benches together, not of a model
    return torch.compile(function, dynamic=False, **options)


def package_peer(name: str, module: str, make: Callable[[ModuleType], Callable[[], Any]], **options) -> Peer:
    """A peer whose timed call is ``make(module)``; a missing peer without the module. ``options`` are those of
    ``Peer``."""
    imported, reason = import_peer(module)
    if imported is None:
        return Peer(name, "", None, reason)
    return Peer(name, imported.__version__, make(imported), **options)


@cache
def import_peer(name: str) -> tuple[ModuleType | None, str]:
    """The module, or None and the reason."""
    try:
        if name == "torchvision":
            _declare_nms_where_torchvision_cannot()
        return importlib.import_module(name), ""
    except Exception as error:  # the import of a foreign package can raise any error
        return None, f"not importable: {(str(error).splitlines() or [type(error).__name__])[0][:100]}"


def _declare_nms_where_torchvision_cannot() -> None:
    """Declares two operator names of torchvision. A torchvision built for CUDA cannot load its compiled operators with
    a CPU build of torch, and then its import fails because two names are missing. The benches time its Python
    functions, which need only the names."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None:
        return
    try:
        (library,) = Path(spec.origin).parent.glob("_C*.so")  # _C_stable.so since torchvision 0.29
        torch.ops.load_library(str(library))
    except OSError:
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def mmdetection(make: Callable[[ModuleType], Callable[[], Any]]) -> Peer:
    """A peer from ``mmdet.structures.bbox``. The heads of mmdet are not called; eager_paa.py computes the same."""
    return package_peer(MMDET, "mmdet.structures.bbox", make)
