"""Checkpoints, replaced atomically: the file is always a whole one, the old or the new."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from ..detection import Method

FORMAT = "colad_ops checkpoint 1"


def save_checkpoint(
    path: str | Path,
    method: Method,
    *,
    iteration: int,
    description: dict[str, Any],
    optimizer: torch.optim.Optimizer | None = None,
) -> None:
    """Write a checkpoint atomically: to a temporary file beside it, flushed to the disk, then renamed over it.

    Args:
        path: file to write; its folder must exist.
        method: what was trained. LAD's teacher is not written.
        iteration: steps done.
        description: how the networks were built and trained, in plain values (str, int, float, lists, dicts).
        optimizer: needed to resume training.
    """
    state = {
        "format": FORMAT,
        "iteration": iteration,
        "description": description,
        "method": method.state_dict(),
        # The same tensors again, network by network, for programs that load one network; torch stores them once.
        "networks": {name: network.state_dict() for name, network in method.networks.items()},
        "optimizer": None if optimizer is None else optimizer.state_dict(),
    }
    path = Path(path)
    temporary = path.with_name(f"{path.name}.tmp{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)  # after a failure; after os.replace there is nothing left
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read what ``save_checkpoint`` wrote, tensors on the CPU; nothing in the file is executed.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another kind of file; the message names it.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such checkpoint: {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on a file of another kind the unpickler raises errors of any type
        raise ValueError(f"cannot read checkpoint {path} ({type(error).__name__})") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"{path} is no checkpoint of this program (no format {FORMAT!r})")
    return state


def network_state(state: dict[str, Any], name: str | None, path: str | Path) -> tuple[str, dict[str, torch.Tensor]]:
    """One network's name and weights of a loaded checkpoint; ``name`` None: its only network, or its first.

    Raises:
        ValueError: no network of that name.
    """
    networks = state["networks"]
    name = next(iter(networks)) if name is None else name
    if name not in networks:
        raise ValueError(f"{path} holds the networks {', '.join(networks)}, got {name!r}")
    return name, networks[name]
