"""The training code with the operators' twins in plain PyTorch in the operators' place."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any

import colad_ops


def twins() -> dict[Callable, Callable]:
    """``{operator: its twin}``, of all public operators that have one."""
    found = {}
    for name in colad_ops.__all__:
        operator = getattr(colad_ops, name)
        twin = getattr(sys.modules.get(operator.__module__), f"{name}_reference", None)
        if twin is not None:
            found[operator] = twin
    return found


@cache
def _places() -> list[tuple[ModuleType, str, Callable, Callable]]:
    """Every name of a module of colad_ops that stands for an operator: (module, name, operator, twin)."""
    of_operator = {id(operator): (operator, twin) for operator, twin in twins().items()}
    modules = [module for name, module in sys.modules.items() if name.partition(".")[0] == "colad_ops"]
    return [
        (module, name, *of_operator[id(value)])
        for module in modules
        for name, value in vars(module).items()
        if id(value) in of_operator
    ]


@contextmanager
def torch_twins() -> Iterator[None]:
    """Inside, whatever calls an operator by its Python name calls the twin. Import what uses them first."""
    places = _places()
    for module, name, _, twin in places:
        setattr(module, name, twin)
    try:
        yield
    finally:
        for module, name, operator, _ in places:
            setattr(module, name, operator)


def with_twins(run: Callable[[], Any]) -> Callable[[], Any]:
    def twin() -> Any:
        with torch_twins():
            return run()

    return twin
