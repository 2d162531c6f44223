"""What a training step of any method calls: each network decodes once, and the step compiles as one graph."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

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


@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
@pytest.mark.parametrize("name", ["PAA", "SoLAD", "CoLAD"])
def test_a_step_compiles_as_one_graph(name: str) -> None:
    method = METHODS[name][0]()
    torch._dynamo.reset()
    compiled = torch.compile(method.loss, fullgraph=True, backend="aot_eager")
    found, expected = compiled(pictures(), two_images()), method.loss(pictures(), two_images())
    assert found.keys() == expected.keys()
    torch.testing.assert_close(found["loss"], expected["loss"])
    found["loss"].backward()
    gradients = {parameter: parameter.grad for parameter in method.parameters()}
    method.zero_grad(set_to_none=True)
    expected["loss"].backward()
    for parameter, gradient in gradients.items():
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-4, atol=1e-6)
