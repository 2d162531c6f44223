"""Methods by name, and the networks of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data import Annotations
from ..detection import LAD, PAA, CoLAD, DetectionNetwork, Method, SoLAD, build_network
from .checkpoint import load_checkpoint, network_state

METHOD_NAMES = ("paa", "lad", "solad", "colad")


def build_method(name: str, network: DetectionNetwork, other: DetectionNetwork | None = None) -> Method:
    """The method ``name`` with the paper's options.

    ``other`` is the teacher of LAD and SoLAD, and CoLAD's second network.

    Raises:
        ValueError: an unknown name, ``other`` missing, or ``other`` given with PAA.
    """
    if name not in METHOD_NAMES:
        raise ValueError(f"method should be one of {', '.join(METHOD_NAMES)}, got {name!r}")
    if name == "paa":
        if other is not None:
            raise ValueError("method paa trains one network, got two")
        return PAA(network)
    if other is None:
        raise ValueError(
            f"method {name} needs a second network: {'what it learns with' if name == 'colad' else 'its teacher'}"
        )
    if name == "colad":
        return CoLAD([network, other])
    return {"lad": LAD, "solad": SoLAD}[name](network, other)


def describe(
    method: str, network_names: Mapping[str, str], annotations: Annotations, resize: tuple[int, int] | None
) -> dict[str, Any]:
    """The description in a checkpoint: all that evaluation and prediction need besides the weights.

    ``network_names`` maps each name in ``method.networks`` to the name for ``build_network``.
    """
    return {
        "method": method,
        "networks": dict(network_names),
        "category_ids": list(annotations.category_ids),
        "class_names": list(annotations.class_names),
        "resize": None if resize is None else list(resize),
    }


@dataclass(frozen=True)
class TrainedNetwork:
    """A network of a checkpoint, in eval mode, and what is needed to use it."""

    network: DetectionNetwork
    network_name: str  # for build_network
    category_ids: tuple[int, ...]
    class_names: tuple[str, ...]
    resize: tuple[int, int] | None


def load_network(path: str | Path, which: str | None = None) -> TrainedNetwork:
    """Build a network of a checkpoint and load its weights, strictly.

    Args:
        path: checkpoint of ``colad train``.
        which: its name there (``student``, ``network1`` ...); None: the first.

    Raises:
        FileNotFoundError, ValueError: see ``load_checkpoint``; no network of that name.
    """
    state = load_checkpoint(path)
    which, weights = network_state(state, which, path)
    about = state["description"]
    missing = [key for key in ("networks", "category_ids", "class_names", "resize") if key not in about]
    if missing:
        raise ValueError(f"checkpoint {path} does not say its {', '.join(missing)}")
    network = build_network(about["networks"][which], len(about["category_ids"]))
    network.load_state_dict(weights, strict=True)
    return TrainedNetwork(
        network.eval(),
        about["networks"][which],
        tuple(about["category_ids"]),
        tuple(about["class_names"]),
        None if about["resize"] is None else tuple(about["resize"]),
    )


def require_same_categories(trained: Sequence[int], wanted: Sequence[int], path: str | Path) -> None:
    """Raises ValueError unless a checkpoint and a data set have the same categories."""
    if tuple(trained) != tuple(wanted):
        raise ValueError(f"{path} was trained on the categories {list(trained)}, the data set has {list(wanted)}")
