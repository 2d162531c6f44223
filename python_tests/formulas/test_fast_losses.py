"""The losses' formulas of the CUDA kernels, with the largest errors that a GPU's approximate functions may have.

For float32 they obey the bounds of the formulas of the CPU. For half types, the error is below half a rounding of
float16, relative to the result.
"""

from __future__ import annotations

from collections.abc import Iterator

import mpmath
import numpy as np
import pytest
import torch

from python_tests.formulas import fast, float64
from python_tests.support.exact_losses import (
    DIGITS,
    EVERY_GAMMA,
    LOGITS,
    assert_focal_kl_is_exact,
    exact_focal,
    real,
    underflow,
)

FOCAL_KL_OF_HALF_TYPES, FOCAL_OF_HALF_TYPES = 2.0**-11, 2.0**-15  # stated in the headers
SIGNS = (0b0000, 0b0101, 0b1010, 0b1111, 16, 17)
"""Signs of the errors of exp2, reciprocal, root and log2 (the first bit is the last digit). From 16 on they depend on
the argument."""
HALF_TYPES = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["f16", "bf16"])
TINY = 1e-24  # a result below this counts as 0


@pytest.fixture(autouse=True, params=SIGNS)
def signs(request: pytest.FixtureRequest) -> Iterator[None]:
    fast.set_signs(request.param)
    yield
    fast.set_signs(0)


@EVERY_GAMMA
@pytest.mark.parametrize("smooth", [0.0, 1e-6])
@pytest.mark.parametrize("teacher_is_logit", [True, False], ids=["logit", "probability"])
def test_focal_kl_in_float32_has_the_bounds_of_the_cpu(gamma: float, smooth: float, teacher_is_logit: bool) -> None:
    assert_focal_kl_is_exact(fast.single, np.float32, gamma, smooth, teacher_is_logit)


@EVERY_GAMMA
@pytest.mark.parametrize("math", [fast.single, fast.half], ids=["single", "half"])
def test_focal_kl_of_equal_logits_is_exactly_zero(math: object, gamma: float) -> None:
    x = np.array([*LOGITS, np.inf, -np.inf], dtype=np.float32)
    arguments = (x, x, True, np.float32(gamma), np.float32(0))
    assert (math.focal_kl_loss(*arguments) == 0).all()
    assert (math.focal_kl_derivative(*arguments) == 0).all()


@pytest.mark.parametrize("math", [fast.single, fast.half], ids=["single", "half"])
@pytest.mark.parametrize("teacher_is_logit", [True, False], ids=["logit", "probability"])
def test_nan_stays_nan(math: object, teacher_is_logit: bool) -> None:
    good, nan = np.float32(0.3), np.float32(np.nan)
    for student, teacher in ((nan, good), (good, nan), (nan, nan)):
        for gamma in (0, 0.5, 1, 2):
            arguments = (student, teacher, teacher_is_logit, np.float32(gamma), np.float32(0))
            assert np.isnan(math.focal_kl_loss(*arguments)) and np.isnan(math.focal_kl_derivative(*arguments))


def numbers(dtype: torch.dtype, *parts: np.ndarray) -> np.ndarray:
    """As float32, rounded to a half type."""
    return torch.from_numpy(np.concatenate(parts)).to(dtype).float().numpy()


def pairs_of_logits(dtype: torch.dtype, count: int = 4_000) -> tuple[np.ndarray, np.ndarray]:
    """Students and teachers of every size, half of them close to each other."""
    random = np.random.default_rng(0)
    students, teachers = [], []
    for scale in (0.001, 0.1, 1, 4, 20):
        x = random.normal(size=count) * scale
        near = x + 0.02 * np.abs(x) * random.normal(size=count) + 0.01 * random.normal(size=count)
        students.append(x)
        teachers.append(np.where(np.arange(count) % 2, near, random.normal(size=count) * scale))
    every = np.array(LOGITS)
    students.append(np.repeat(every, len(every)))
    teachers.append(np.tile(every, len(every)))
    return numbers(dtype, *students), numbers(dtype, *teachers)


def relative_error(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    assert np.isfinite(found).all()
    error = np.maximum(np.abs(found - wanted) - TINY, 0)
    return np.where(error == 0, 0, error / np.where(wanted == 0, np.finfo(float).tiny, np.abs(wanted)))


@HALF_TYPES
@EVERY_GAMMA
@pytest.mark.parametrize("smooth", [0.0, 1e-6])
def test_focal_kl_of_half_types(dtype: torch.dtype, gamma: float, smooth: float) -> None:
    x, z = pairs_of_logits(dtype)
    options = (True, np.float32(gamma), np.float32(smooth))
    for name in ("focal_kl_loss", "focal_kl_derivative"):
        found = getattr(fast.half, name)(x, z, *options).astype(float)
        wanted = getattr(float64, name)(x.astype(float), z.astype(float), True, *map(float, options[1:]))
        assert relative_error(found, wanted).max() <= FOCAL_KL_OF_HALF_TYPES
        assert name == "focal_kl_derivative" or (found >= 0).all()


@HALF_TYPES
@EVERY_GAMMA
def test_focal_kl_of_half_types_for_a_probability(dtype: torch.dtype, gamma: float) -> None:
    """A logit is known exactly, but the logit of a probability is rounded. As in float32, this error is multiplied by
    the condition number of the difference of the probabilities, and KL has cancellation."""
    x, z = (v.astype(float) for v in pairs_of_logits(dtype))
    x, q = x.astype(np.float32), numbers(dtype, 1 / (1 + np.exp(-np.clip(z, -700, 700))))
    other = np.where(q > 0.5, -x, x).astype(float)  # on the side where the teacher's probability is at most 1/2
    p, least = 1 / (1 + np.exp(-np.clip(other, -700, 700))), np.where(q > 0.5, 1 - q.astype(float), q)
    condition = np.maximum(p, least) / np.maximum(np.abs(p - least), 1e-300)
    rounded = (1 + np.abs(x)) * ((gamma + 3) * condition + 2 * np.minimum(condition, 10) ** 2)
    bound = FOCAL_KL_OF_HALF_TYPES + rounded * 2.0**-22
    meant = bound < 0.01  # above this, the inputs do not determine the difference of the probabilities
    assert meant.mean() > 0.75
    for name in ("focal_kl_loss", "focal_kl_derivative"):
        found = getattr(fast.half, name)(x, q, False, np.float32(gamma), np.float32(0)).astype(float)
        wanted = getattr(float64, name)(x.astype(float), q.astype(float), False, float(np.float32(gamma)), 0.0)
        assert (np.abs(found - wanted) <= FOCAL_KL_OF_HALF_TYPES * np.abs(wanted) + 2.0**-20).all()
        assert (relative_error(found, wanted) <= bound)[meant].all()


def logits(dtype: torch.dtype) -> np.ndarray:
    random = np.random.default_rng(0)
    return numbers(dtype, np.array(LOGITS), random.normal(size=10_000) * 8, random.normal(size=5_000) * 0.01)


@EVERY_GAMMA
@pytest.mark.parametrize("alpha", [0.25, -1.0, 0.0, 1.0])
@pytest.mark.parametrize("target", [False, True])
def test_focal_loss_in_float32_has_the_bounds_of_the_cpu(gamma: float, alpha: float, target: bool) -> None:
    x = np.array(LOGITS, dtype=np.float32)
    with mpmath.workdps(DIGITS):
        exact = [float(exact_focal(real(v), target, alpha, float(np.float32(gamma)))) for v in x]
    close = {"rtol": 16 * np.finfo(np.float32).eps, "atol": underflow(np.float32)}
    options = (target, np.float32(alpha), np.float32(gamma))
    np.testing.assert_allclose(fast.single.focal_loss(x, *options), exact, **close)
    x = logits(torch.float32)
    for name in ("focal_loss", "focal_loss_derivative"):
        found = getattr(fast.single, name)(x, *options)
        wanted = getattr(float64, name)(x.astype(float), target, alpha, float(np.float32(gamma)))
        np.testing.assert_allclose(found, wanted, **close)


@HALF_TYPES
@EVERY_GAMMA
@pytest.mark.parametrize("alpha", [0.25, -1.0])
@pytest.mark.parametrize("target", [False, True])
def test_focal_loss_of_half_types(dtype: torch.dtype, gamma: float, alpha: float, target: bool) -> None:
    x = logits(dtype)
    for name in ("focal_loss", "focal_loss_derivative"):
        found = getattr(fast.half, name)(x, target, np.float32(alpha), np.float32(gamma)).astype(float)
        wanted = getattr(float64, name)(x.astype(float), target, float(alpha), float(np.float32(gamma)))
        assert relative_error(found, wanted).max() <= FOCAL_OF_HALF_TYPES
