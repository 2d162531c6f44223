"""A stand-in for ``mmcv._ext``, the compiled operators of mmcv, which mmcv-lite does not have.

mmdetection imports the names of these operators when it is imported. The heads do not call them in training on the CPU.
A call raises NotImplementedError with the operator's name.
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


def install() -> StandIn | None:
    """Puts the stand-in in place of ``mmcv._ext``, and returns it. None if this mmcv has compiled operators of its
    own.

    Raises:
        ModuleNotFoundError: mmcv is not installed.
    """
    if NAME not in sys.modules:
        if importlib.util.find_spec(NAME) is not None:
            return None
        sys.modules[NAME] = StandIn()
    module = sys.modules[NAME]
    return module if isinstance(module, StandIn) else None
