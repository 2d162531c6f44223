"""Expectation-maximisation of two-component mixtures by scikit-learn, by numba, and by torch in a batch. All use
float64 and the start, the stopping rule and the regularisation of ``colad_ops.gmm_em``."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

MAX_ITER, TOL, REG_COVAR = 100, 1e-3, 1e-6
MASS = 10 * float(np.finfo(np.float64).eps)  # scikit-learn adds this to the mass of a component
LOG_2PI = math.log(2 * math.pi)


def sklearn_mixture(values: np.ndarray):
    from sklearn.mixture import GaussianMixture

    mixture = GaussianMixture(
        2, covariance_type="full", tol=TOL, max_iter=MAX_ITER, reg_covar=REG_COVAR, weights_init=[0.5, 0.5],
        means_init=[[values.min()], [values.max()]], precisions_init=np.ones((2, 1, 1)),
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not converged
        return mixture.fit(values[:, None])


def sklearn_fit(values: Tensor) -> tuple[Tensor, Tensor]:
    """Fits one object: whether each value belongs to component 0, and its log-likelihood."""
    x = values.double().cpu().numpy()
    mixture = sklearn_mixture(x)
    found = mixture.predict(x[:, None]) == 0, mixture.score_samples(x[:, None])
    return torch.from_numpy(found[0]).to(values.device), torch.from_numpy(found[1]).to(values.device)


def sklearn_labels(values: Tensor, offsets: Tensor) -> Tensor:
    """``(N,)`` the component of each value, object by object."""
    x, bounds = values.double().cpu().numpy(), offsets.tolist()
    labels = np.empty(len(x), dtype=np.int64)
    for first, last in zip(bounds, bounds[1:]):
        own = x[first:last]
        labels[first:last] = sklearn_mixture(own).predict(own[:, None]) if last - first > 1 else 0
    return torch.from_numpy(labels)


def numba_labels(numba) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A compiled loop over objects: ``(values (N,) float64, offsets (G + 1,)) -> labels (N,)``."""

    @numba.njit
    def log_joint(x, weight, mean, variance):
        return np.log(weight) - 0.5 * (LOG_2PI + np.log(variance) + (x - mean) * (x - mean) / variance)

    @numba.njit
    def fit(x, offsets):
        labels = np.empty(len(x), dtype=np.int64)
        r = np.empty(len(x))
        for g in range(len(offsets) - 1):
            first, last = offsets[g], offsets[g + 1]
            if last == first:
                continue
            m0, m1 = x[first:last].min(), x[first:last].max()
            w0, w1, v0, v1, previous = 0.5, 0.5, 1.0, 1.0, -np.inf
            for _ in range(MAX_ITER):
                total, s0, s1, t0, t1 = 0.0, 0.0, 0.0, 0.0, 0.0
                for i in range(first, last):
                    a, b = log_joint(x[i], w0, m0, v0), log_joint(x[i], w1, m1, v1)
                    top = max(a, b)
                    log_p = top + np.log1p(np.exp(min(a, b) - top))
                    r[i] = np.exp(a - log_p)
                    total += log_p
                    s0 += r[i]
                    s1 += 1 - r[i]
                    t0 += r[i] * x[i]
                    t1 += (1 - r[i]) * x[i]
                s0 += MASS
                s1 += MASS
                m0, m1, w0, w1 = t0 / s0, t1 / s1, s0 / (s0 + s1), s1 / (s0 + s1)
                v0, v1 = 0.0, 0.0
                for i in range(first, last):
                    v0 += r[i] * (x[i] - m0) ** 2
                    v1 += (1 - r[i]) * (x[i] - m1) ** 2
                v0, v1 = v0 / s0 + REG_COVAR, v1 / s1 + REG_COVAR
                current = total / (last - first)
                if abs(current - previous) < TOL:
                    break
                previous = current
            for i in range(first, last):
                labels[i] = log_joint(x[i], w1, m1, v1) > log_joint(x[i], w0, m0, v0)
        return labels

    return fit


def padded(values: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """Pads ragged values to ``(G, N)`` float64, and makes the mask of 1.0 and 0.0. Padding repeats the first value."""
    counts = offsets.diff()
    column = torch.arange(int(counts.max()), device=counts.device)
    mask = column < counts[:, None]
    rows = torch.where(mask, offsets[:-1, None] + column, 0)
    return values.double()[rows], mask.double()


def log_odds(x: Tensor, weight: Tensor, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """``(G, N)``: log of weight times density of component 1, and the same of component 0 minus that of component 1."""
    constant = weight.log() - 0.5 * (LOG_2PI + variance.log())  # (G, 2)
    scale = 0.5 / variance
    first, second = (constant[:, k, None] - scale[:, k, None] * (x - mean[:, k, None]).square() for k in (0, 1))
    return second, first - second


def em_step(
    x: Tensor, mask: Tensor, weight: Tensor, mean: Tensor, variance: Tensor, previous: Tensor, going: Tensor
) -> tuple[Tensor, ...]:
    """One iteration of the objects ``going (G,)``, which have not converged. Returns their new weights, means and
    variances ``(G, 2)``, the mean log-likelihood before the iteration ``(G,)``, and the objects that still go on."""
    second, odds = log_odds(x, weight, mean, variance)
    log_p = second + F.softplus(odds, threshold=700.0)
    r = odds.sigmoid() * mask
    rest = mask - r
    mass = torch.stack([r.sum(1), rest.sum(1)], dim=1) + MASS
    new_mean = torch.stack([(r * x).sum(1), (rest * x).sum(1)], dim=1) / mass
    scatter = [(own * (x - new_mean[:, k, None]).square()).sum(1) for k, own in enumerate((r, rest))]
    new_variance = torch.stack(scatter, dim=1) / mass + REG_COVAR
    likelihood = (log_p * mask).sum(1) / mask.sum(1)
    changes = going[:, None]
    return (
        torch.where(changes, mass / mass.sum(1, keepdim=True), weight),
        torch.where(changes, new_mean, mean),
        torch.where(changes, new_variance, variance),
        likelihood,
        going & ~((likelihood - previous).abs() < TOL),
    )


def fit_batch(x: Tensor, mask: Tensor, step: Callable = em_step) -> tuple[Tensor, Tensor]:
    """``log_odds`` after all objects have converged. A converged object does not change any more. ``mask`` holds 1.0
    and 0.0."""
    smallest = torch.where(mask > 0, x, torch.inf).amin(1)
    largest = torch.where(mask > 0, x, -torch.inf).amax(1)
    mean = torch.stack([smallest, largest], dim=1)
    weight, variance = torch.full_like(mean, 0.5), torch.ones_like(mean)
    previous, going = torch.full_like(smallest, -torch.inf), torch.ones_like(smallest, dtype=torch.bool)
    for _ in range(MAX_ITER):
        weight, mean, variance, previous, going = step(x, mask, weight, mean, variance, previous, going)
        if not going.any():
            break
    return log_odds(x, weight, mean, variance)


def batch_labels(x: Tensor, mask: Tensor, step: Callable = em_step) -> Tensor:
    """``(N,)``: the component of each value that the mask selects."""
    _, odds = fit_batch(x, mask, step)
    return (odds < 0).long()[mask > 0]
