"""Operators that are differentiable once say so when a second derivative is asked for."""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from torch import Tensor


def register_once(name: str) -> None:
    """Makes the derivative of ``colad::{name}_backward`` an error; torch would take it for 0 or for unused."""

    def backward(ctx: Any, *grads: Tensor) -> NoReturn:
        raise RuntimeError(f"{name} is differentiable once, got a request for its second derivative")

    torch.library.register_autograd(f"colad::{name}_backward", backward)
