"""Ways to call an operator that leave out what a call does not need. They matter where there is little to compute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# What torch's kernel for the derivative (see call_differentiable) does around the operator. The name is not public:
# without it, every call takes the long way.
_BelowAutograd = getattr(torch._C, "_AutoDispatchBelowAutograd", None)


def call_differentiable(operator: Any, *inputs: Tensor, **options: Any) -> Any:
    """``operator(*inputs, **options)``, past autograd's kernel if there is nothing to record. ``inputs``: what the
    operator is differentiable in.

    :func:`torch.library.register_autograd` makes that kernel, in Python. It takes 4 us, more than a small operator.
    """
    if torch.is_grad_enabled() and any([x.requires_grad for x in inputs]):
        return operator(*inputs, **options)
    return call_below_autograd(operator, *inputs, **options)


def call_below_autograd(operator: Any, *arguments: Any, **options: Any) -> Any:
    """``operator(*arguments, **options)``, past autograd's kernel. There is nothing to record."""
    if torch.compiler.is_compiling() or _BelowAutograd is None:
        return operator(*arguments, **options)
    with _BelowAutograd():
        return operator(*arguments, **options)


def data_in_order(operator: Any) -> Callable[..., list]:
    """A function that takes the data of a call by keyword and returns it in the order of the operator's schema: the
    tensors, lists and optional tensors before the first option.

    torch takes 0.2 us to find an argument that is passed by keyword.
    """
    names = []
    for argument in operator.default._schema.arguments:
        if "Tensor" not in str(argument.type) and "List" not in str(argument.type):
            break
        names.append(argument.name)

    def in_order(**data: Any) -> list:
        if len(data) > len(names):
            raise TypeError(f"unknown data for {operator}: {', '.join(sorted(set(data) - set(names)))}")
        return [data[name] for name in names]

    return in_order
