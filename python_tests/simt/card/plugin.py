"""A pytest plugin (``-p python_tests.simt.card.plugin``): tests that need a CUDA device run on an emulated card. It
keeps only these tests and those of this folder, and runs each test only in the file that defines it."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
import torch

from python_tests.simt.card import Card

HERE = Path(__file__).parent
CARD = Card()  # before anything is differentiated: then autograd asks which devices there are

# A test on CUDA forbids waiting with this function.
torch.cuda.set_sync_debug_mode = lambda mode: CARD.forbid_waiting(mode == "error")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    def kept(item: pytest.Item) -> bool:
        imported = item.cls is not None and item.cls.__module__ != item.module.__name__
        return (HERE in item.path.parents or "cuda" in item.fixturenames) and not imported

    config.hook.pytest_deselected(items=[item for item in items if not kept(item)])
    items[:] = [item for item in items if kept(item)]


@pytest.fixture
def card() -> Card:
    CARD.begin()
    return CARD


def pytest_fixture_setup(fixturedef: pytest.FixtureDef, request: pytest.FixtureRequest) -> torch.device | None:
    """In place of the fixture ``cuda`` of ``python_tests/conftest.py``."""
    if fixturedef.argname != "cuda":
        return None
    CARD.begin(seed=zlib.crc32(request.node.name.encode()))
    fixturedef.cached_result = (CARD.cards[0], fixturedef.cache_key(request), None)
    return CARD.cards[0]
