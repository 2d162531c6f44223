"""What only CUDA does of the losses: bfloat16 gradients in the forward pass, one launch each way."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from python_tests import simt
from python_tests.simt.comparison import OF_HALF_TYPES, TOLERANCE, results_of
from python_tests.simt.kernel_table import SEEDS
from python_tests.support.loss_inputs import DTYPES, maps, misaligned, other_logits, rows, some_labels, weights_of_maps
from python_tests.support.op_contract import assert_same, tensors_of

LOSSES = {"focal_kl_loss": other_logits, "sigmoid_focal_loss": some_labels}


@pytest.fixture(scope="module")
def device() -> simt.Device:
    return simt.Device(simt.build())


def logits_and_weights(dtype: torch.dtype) -> list[tuple[Tensor, Tensor | None]]:
    """Every layout for which a kernel has its own loop."""
    every_map = maps(2, 16, 24, dtype=dtype)
    return [
        (rows(411, 5, dtype=dtype), None),
        (misaligned(rows(41, 5, dtype=dtype)), None),
        (every_map, None),
        *((every_map, weights_of_maps(kind, 16, 24, dtype)) for kind in ("rows", "elements")),
        (rows(0, 5, dtype=dtype), None),
    ]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("gamma", [2.0, 1.0, 0.0, 1.7])
def test_a_sum_and_its_gradient(name: str, dtype: torch.dtype, gamma: float, device: simt.Device) -> None:
    """CPU and CUDA compute half types by different formulas, whose results are rounded."""
    operator = getattr(torch.ops.colad, f"{name}_and_gradient")
    half = dtype in (torch.float16, torch.bfloat16)
    for logits, weight in logits_and_weights(dtype):
        first, options = (logits, LOSSES[name](logits), weight), {"gamma": gamma, "avg_factor": 7.3}
        args = complete(operator.default, first, options)
        total, gradient = operator(*args)
        for seed in SEEDS:
            before = device.launches()
            found = device.call(f"{name}_and_gradient", args, seed)
            assert device.launches() - before == 1
            of_sum = OF_HALF_TYPES if half else TOLERANCE[total.dtype]
            assert_same(found[0], total, rtol=of_sum)
            assert_same(found[1], gradient, rtol=2 * OF_HALF_TYPES + TOLERANCE[dtype], atol=1e-6)


def complete(operator: torch._ops.OpOverload, first: tuple, options: dict) -> tuple:
    """All arguments by position."""
    rest = operator._schema.arguments[len(first) :]
    return *first, *(options.get(argument.name, argument.default_value) for argument in rest)


def test_a_gradient_is_scaled_in_one_launch(device: simt.Device) -> None:
    args = (rows(411, 5), torch.tensor(0.5))
    before = device.launches()
    operator = torch.ops.colad.scale_gradient_.default
    _, (found,) = results_of(lambda *a: device.call("scale_gradient_", a, seed=0), operator, args)
    assert device.launches() - before == 1
    assert found.equal(0.5 * args[0])


def test_a_gradient_times_one_is_not_touched(device: simt.Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient is handed over as memory that can only be read."""
    monkeypatch.setattr(simt, "written_arguments", lambda operator: [])
    device.call("scale_gradient_", (rows(411, 5), torch.tensor(1.0)), seed=0)
    with pytest.raises(RuntimeError, match="scale_gradient_kernel.* writes"):
        device.call("scale_gradient_", (rows(411, 5), torch.tensor(2.0)), seed=0)


def test_the_sum_does_not_depend_on_the_order_of_the_blocks(device: simt.Device) -> None:
    logits = rows(1801, 7)
    args = complete(torch.ops.colad.focal_kl_loss_and_gradient.default, (logits, other_logits(logits)), {})
    first, *others = (device.call("focal_kl_loss_and_gradient", args, seed) for seed in range(10))
    assert len(tensors_of(first)) == 2
    for other in others:
        assert_same(other, first)
