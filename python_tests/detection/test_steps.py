"""What a training step of any method calls."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from colad_ops.detection import LAD, PAA, CoLAD, Method, SoLAD
from python_tests.support.detection_cases import pictures, tiny_network, two_images
from python_tests.support.op_contract import RecordOperators

METHODS: dict[str, tuple[Callable[[], Method], int]] = {
    "PAA": (lambda: PAA(tiny_network(0)), 1),
    "LAD": (lambda: LAD(tiny_network(0), tiny_network(1)), 2),
    "SoLAD": (lambda: SoLAD(tiny_network(0), tiny_network(1)), 2),
    "CoLAD": (lambda: CoLAD([tiny_network(0), tiny_network(1)]), 2),
}
"""Each with its number of networks."""
every_method = pytest.mark.parametrize("name", METHODS)


@every_method
def test_each_network_decodes_once(name: str) -> None:
    make, networks = METHODS[name]
    with RecordOperators() as record:
        make().loss(pictures(), two_images())
    names = [func._schema.name for func, _, _ in record.calls]
    assert names.count("colad::decode_boxes") == networks
