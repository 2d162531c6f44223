"""``gmm_em`` in the emulator, bit for bit as the fit of a warp on the host. So what ``python_tests/formulas`` shows of
that fit for millions of segments holds for the kernel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import colad_ops  # noqa: F401  registers torch.ops.colad
from python_tests import formulas, simt
from python_tests.support.op_contract import assert_same

DEFAULTS = {"covariance": "full", "max_iter": 100, "tol": 1e-3, "reg_covar": 1e-6}


@pytest.fixture(scope="module")
def device() -> simt.Device:
    return simt.Device(simt.build())


def segments() -> tuple[Tensor, Tensor]:
    """Values and offsets. One value a lane, two a lane, more; a group and an outlier, whose fit takes a second pass;
    equal values; values that are no numbers."""
    random = np.random.default_rng(0)
    pieces = [random.gamma(4, 0.5, n) + 0.3 for n in (0, 1, 2, 3, 19, 31, 32, 33, 63, 64, 65, 96, 97, 200)]
    pieces += [np.append(random.normal(1, 0.05, n), 7.0) for n in (15, 40, 80)]
    pieces += [np.full(n, 1.7) for n in (5, 33, 70)] + [np.append(np.zeros(4), 5.0)]
    pieces += [np.append(random.normal(1, 0.05, n), bad) for n in (4, 40, 80) for bad in (np.nan, np.inf, 1e200)]
    offsets = np.cumsum([0, *map(len, pieces)])
    return torch.from_numpy(np.concatenate(pieces)), torch.from_numpy(offsets)


@pytest.mark.parametrize(
    "options",
    [{}, {"covariance": "tied"}, {"reg_covar": 0.0}, {"tol": 0.0, "max_iter": 20}, {"max_iter": 1}],
    ids=str,
)
def test_the_kernel_equals_the_fit_on_the_host(options: dict, device: simt.Device) -> None:
    values, offsets = segments()
    chosen = DEFAULTS | options
    before = formulas.warp_fit().second_passes()
    tied = {"tied": chosen["covariance"] == "tied"} | {k: v for k, v in chosen.items() if k != "covariance"}
    expected = formulas.warp_fit().fit_segments(values.numpy(), offsets.numpy(), **tied)
    if chosen["max_iter"] > 1:
        assert formulas.warp_fit().second_passes() > before
    for seed in range(2):
        found = device.call("gmm_em", (values, offsets[:-1].clone(), offsets[1:].clone(), *chosen.values()), seed)
        for a, b in zip(found, expected, strict=True):
            assert_same(a, torch.from_numpy(b))


def test_values_between_segments_are_padding(device: simt.Device) -> None:
    values = segments()[0][:150]
    starts, ends = torch.tensor([3, 20, 20, 60, 140]), torch.tensor([10, 20, 55, 137, 146])
    expected = torch.ops.colad.gmm_em(values, starts, ends, *DEFAULTS.values())
    for seed in range(3):
        before = device.launches()
        found = device.call("gmm_em", (values, starts, ends, *DEFAULTS.values()), seed)
        assert device.launches() - before == 1
        assert_same(found, expected, rtol=1e-9, atol=1e-9)
    padding = torch.ones(150, dtype=torch.bool)
    for start, end in zip(starts.tolist(), ends.tolist()):
        padding[start:end] = False
    assert (found[4][padding] == -1).all() and found[3][padding].isnan().all() and found[5][padding].isnan().all()


def test_wrong_offsets_stay_inside_the_values(device: simt.Device) -> None:
    """The host cannot check them on a device."""
    values = segments()[0][:50]
    found = device.call(
        "gmm_em", (values, torch.tensor([-7, 30, 45]), torch.tensor([20, 22, 2**40]), *DEFAULTS.values()), seed=0
    )
    expected = torch.ops.colad.gmm_em(values, torch.tensor([0, 22, 45]), torch.tensor([20, 22, 50]), *DEFAULTS.values())
    assert_same(found[:3], expected[:3], rtol=1e-9)
