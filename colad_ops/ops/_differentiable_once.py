"""Operators that are differentiable once raise an error when a caller asks for a second derivative."""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from torch import Tensor


def register_once(name: str) -> None:
    """Makes the derivative of ``colad::{name}_backward`` an error. Without this, torch would take the derivative for 0
    or for unused."""

    def backward(ctx: Any, *grads: Tensor) -> NoReturn:
        raise RuntimeError(f"{name} is differentiable once, got a request for its second derivative")

    torch.library.register_autograd(f"colad::{name}_backward", backward)
