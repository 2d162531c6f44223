"""Runs the training code with the operators' references, which are plain PyTorch, in place of the operators."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any

import colad_ops


def references() -> dict[Callable, Callable]:
    """``{operator: its reference}`` for all public operators that have a reference."""
    found = {}
    for name in colad_ops.__all__:
        operator = getattr(colad_ops, name)
        reference = getattr(sys.modules.get(operator.__module__), f"{name}_reference", None)
        if reference is not None:
            found[operator] = reference
    return found


@cache
def _places() -> list[tuple[ModuleType, str, Callable, Callable]]:
    """Every name in a module of colad_ops that refers to an operator: (module, name, operator, reference)."""
    of_operator = {id(operator): (operator, reference) for operator, reference in references().items()}
    modules = [module for name, module in sys.modules.items() if name.partition(".")[0] == "colad_ops"]
    return [
        (module, name, *of_operator[id(value)])
        for module in modules
        for name, value in vars(module).items()
        if id(value) in of_operator
    ]


@contextmanager
def operators_replaced() -> Iterator[None]:
    """Inside this context, a call of an operator by its Python name calls its reference. Modules that call operators
    must be imported before."""
    places = _places()
    for module, name, _, reference in places:
        setattr(module, name, reference)
    try:
        yield
    finally:
        for module, name, operator, _ in places:
            setattr(module, name, operator)


def with_references(run: Callable[[], Any]) -> Callable[[], Any]:
    def run_replaced() -> Any:
        with operators_replaced():
            return run()

    return run_replaced
