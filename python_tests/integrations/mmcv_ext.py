"""A stand-in for ``mmcv._ext``, the compiled operators of mmcv, which mmcv-lite does not have.

mmdetection imports the names of these operators when it is imported. The heads do not call them in training on the CPU.
A call raises NotImplementedError with the operator's name.

Import this module before mmdet: it puts the stand-in in its place where mmcv has no operators of its own.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType

NAME = "mmcv._ext"


class StandIn(ModuleType):
    """``asked`` has the names of the operators that were looked up."""

    def __init__(self) -> None:
        super().__init__(NAME, __doc__)
        self.asked: set[str] = set()

    def __getattr__(self, name: str) -> Callable:
        if name.startswith("__"):
            raise AttributeError(name)
        self.asked.add(name)

        def operator(*args: object, **kwargs: object) -> None:
            raise NotImplementedError(f"{NAME}.{name} is a stand-in: mmcv-lite has no compiled operators")

        return operator


def _installed() -> StandIn | None:
    if importlib.util.find_spec("mmcv") is None or importlib.util.find_spec(NAME) is not None:
        return None
    return sys.modules.setdefault(NAME, StandIn())


STAND_IN = _installed()
"""None without mmcv, and where it has compiled operators."""
