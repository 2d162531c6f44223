"""Operators without a derivative: their results are decisions, and autograd passes them by."""

from __future__ import annotations

import torch

_library = torch.library.Library("colad", "IMPL")


def register_no_derivative(name: str) -> None:
    """The results of ``colad::{name}`` never require a gradient, even if its inputs do. Without this, torch records the
    call, so every caller has to detach every input."""
    _library.impl(name, torch.library.fallthrough_kernel, "Autograd")
