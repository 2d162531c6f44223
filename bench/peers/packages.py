"""Makes peers of torch and of packages; a package that cannot be imported gives a missing peer with the reason."""

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
    """``torch.compile`` of a function, compiled anew for every shape it is called with."""
    torch._dynamo.config.recompile_limit = 64  # of all the benches together, not of a model
    return torch.compile(function, dynamic=False, **options)


def package_peer(name: str, module: str, make: Callable[[ModuleType], Callable[[], Any]], **options) -> Peer:
    """``make(module)`` gives the call to be timed; ``options`` are ``Peer``'s. Without the module: a missing peer."""
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
    except Exception as error:  # whatever a package of somebody else's does at its import
        return None, f"not importable: {(str(error).splitlines() or [type(error).__name__])[0][:100]}"


def _declare_nms_where_torchvision_cannot() -> None:
    """torchvision built for CUDA cannot load its compiled operators beside a torch without, and then fails to import
    for want of two of their names. Its Python functions, which are what is timed here, need no more than the names."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None:
        return
    try:
        torch.ops.load_library(str(Path(spec.origin).parent / "_C.so"))
    except OSError:
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def mmdetection(make: Callable[[ModuleType], Callable[[], Any]]) -> Peer:
    """A peer of ``mmdet.structures.bbox``. Its heads are not called; eager_paa.py does what they do."""
    return package_peer(MMDET, "mmdet.structures.bbox", make)
