"""Fits many small mixtures of two one-dimensional Gaussians at once by expectation-maximisation (EM)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from colad_ops import debug
from colad_ops.devices import check_same_device


class GaussianMixture2(NamedTuple):
    """Result of :func:`gmm_em` for G segments with N values in total. Component 0 is the one that started at the
    minimum."""

    weights: Tensor
    """``(G, 2)`` float64."""
    means: Tensor
    """``(G, 2)`` float64."""
    variances: Tensor
    """``(G, 2)`` float64, ``reg_covar`` included. Both are equal with ``covariance="tied"``."""
    responsibility: Tensor
    """Shape of ``values``, float64: posterior probability of component 0."""
    labels: Tensor
    """Shape of ``values``, int64: the more probable component, 0 at a tie."""
    log_likelihood: Tensor
    """Shape of ``values``, float64: log-likelihood of each value under the mixture."""
    n_iter: Tensor
    """``(G,)`` int64."""
    converged: Tensor
    """``(G,)`` bool."""


def gmm_em(
    values: Tensor,
    offsets: Tensor | None = None,
    *,
    counts: Tensor | None = None,
    covariance: str = "full",
    max_iter: int = 100,
    tol: float = 1e-3,
    reg_covar: float = 1e-6,
) -> GaussianMixture2:
    """Fits a two-component mixture to every segment of ``values``.

    The fit is that of scikit-learn's ``GaussianMixture(2, covariance_type, weights_init=(.5, .5),
    means_init=(min, max), precisions_init=1)`` in float64, but without its cancellation in the variances.

    Each iteration is an E-step in log space and an M-step. The M-step adds 10 eps to the mass of each component and
    ``reg_covar`` to its variance; the variance is computed from centred values. The fit stops when the mean
    log-likelihood changes by less than ``tol``, or after ``max_iter`` iterations. The first change is infinite, so
    there are at least two iterations (if ``max_iter`` allows). Labels and likelihoods are computed from the parameters
    after the last M-step.

    Args:
        values: ``(N,)`` float: all segments one after the other, with the values of a segment in any order. Or padded
            ``(G, N)`` with ``counts``.
        offsets: ``(G + 1,)`` int64: segment ``g`` is ``values[offsets[g]:offsets[g + 1]]``. On the CPU, offsets that
            lie outside the values or do not ascend raise; on CUDA they are clamped to the range of the values. Values
            that belong to no segment get label -1 and NaN.
        counts: ``(G,)`` int64, with padded values: row ``g`` holds ``counts[g]`` values. Padding gets label -1 and NaN.
        covariance: ``"full"``, ``"diag"``, ``"spherical"`` (the same in one dimension) or ``"tied"`` (one variance
            shared).
        max_iter: 1 to 1000000. With ``tol=0`` every fit runs ``max_iter`` iterations, because no change is less than 0.
        tol: the fit stops when the mean log-likelihood changes by less than this.
        reg_covar: added to every variance. With 0, a component that shrinks to one value has no density: the result is
            NaN and label 0.

    Returns:
        :class:`GaussianMixture2`, computed in float64 for every input dtype. Special segments:

        - no values: NaN parameters;
        - one value, or only equal values: both means equal, weights 0.5, label 0;
        - NaN or infinity among the values, or values whose squares overflow float64: NaN parameters, label 0. The fit
          ends with the first iteration whose log-likelihood is NaN, and has not converged.

    Raises:
        RuntimeError: wrong shape, dtype, device or option.
    """
    if counts is not None:
        if offsets is not None:
            raise RuntimeError("either offsets or counts should be given, got both")
        if values.dim() != 2 or counts.shape != values.shape[:1]:
            raise RuntimeError(
                f"values should have shape (G, N) with counts (G,), got {tuple(values.shape)}, {tuple(counts.shape)}"
            )
        if counts.dtype != torch.int64:
            raise RuntimeError(f"counts should have dtype int64, got {counts.dtype}")
        check_same_device(values=values, counts=counts)
        if debug.checks_data(values) or (values.device.type == "cpu" and not torch.compiler.is_compiling()):
            debug.check_range("counts", counts, 0, values.shape[1])
        starts = torch.arange(values.shape[0], device=values.device) * values.shape[1]
        # Counts on CUDA are not checked. The clamp keeps each segment inside its own row.
        ends = starts + counts.clamp(min=0, max=values.shape[1])
    else:
        if offsets is None:
            raise RuntimeError("either offsets or counts should be given, got none")
        if offsets.dim() != 1 or offsets.shape[0] < 1:
            raise RuntimeError(f"offsets should have shape (G + 1,), got {tuple(offsets.shape)}")
        if offsets.dtype != torch.int64:
            raise RuntimeError(f"offsets should have dtype int64, got {offsets.dtype}")
        check_same_device(values=values, offsets=offsets)
        starts, ends = offsets[:-1], offsets[1:]
    mixture = torch.ops.colad.gmm_em(
        values=values.detach().reshape(-1) if counts is not None else values.detach(),
        starts=starts,
        ends=ends,
        covariance=covariance,
        max_iter=max_iter,
        tol=tol,
        reg_covar=reg_covar,
    )
    if offsets is not None and debug.checks_data(values):
        debug.check_offsets("offsets", offsets, values.shape[0])
    if counts is not None:
        weights, means, variances, *of_values, n_iter, converged = mixture
        mixture = (weights, means, variances, *(x.view(values.shape) for x in of_values), n_iter, converged)
    return GaussianMixture2(*mixture)


@torch.library.register_fake("colad::gmm_em")
def _(values: Tensor, starts: Tensor, ends: Tensor, *options: Any) -> tuple[Tensor, ...]:
    check_same_device(values=values, starts=starts, ends=ends)
    return (
        *(values.new_empty((starts.shape[0], 2), dtype=torch.float64) for _ in range(3)),
        values.new_empty(values.shape, dtype=torch.float64),
        values.new_empty(values.shape, dtype=torch.int64),
        values.new_empty(values.shape, dtype=torch.float64),
        starts.new_empty(starts.shape),
        starts.new_empty(starts.shape, dtype=torch.bool),
    )


def gmm_em_reference(
    values: Tensor,
    offsets: Tensor,
    *,
    covariance: str = "full",
    max_iter: int = 100,
    tol: float = 1e-3,
    reg_covar: float = 1e-6,
) -> GaussianMixture2:
    """The reference of :func:`gmm_em` in plain PyTorch: segment by segment."""
    bounds = offsets.tolist()
    segments = len(bounds) - 1
    undefined = values.new_full((segments, 2), math.nan, dtype=torch.float64)
    weights, means, variances = (undefined.clone() for _ in range(3))
    responsibility, log_likelihood = (values.new_full(values.shape, math.nan, dtype=torch.float64) for _ in range(2))
    labels = torch.full(values.shape, -1, dtype=torch.int64, device=values.device)
    n_iter = torch.zeros(segments, dtype=torch.int64, device=values.device)
    converged = torch.zeros(segments, dtype=torch.bool, device=values.device)
    for g in range(segments):
        x = values[bounds[g] : bounds[g + 1]].double()
        if len(x) == 0:
            continue
        weight = x.new_full((2,), 0.5)
        mean = torch.stack([x.min(), x.max()])
        variance = x.new_ones(2)
        previous = -math.inf
        while n_iter[g] < max_iter and not converged[g]:
            n_iter[g] += 1
            joint = _log_joint(x, weight, mean, variance)  # (n, 2)
            log_p = joint.logsumexp(dim=1)
            r = (joint - log_p[:, None]).exp()
            mass = r.sum(0) + 10 * torch.finfo(torch.float64).eps
            weight, mean = mass / mass.sum(), (r * x[:, None]).sum(0) / mass
            scatter = (r * (x[:, None] - mean).square()).sum(0)
            variance = scatter / mass if covariance != "tied" else (scatter.sum() / mass.sum()).expand(2)
            variance = variance + reg_covar
            current = log_p.mean().item()
            converged[g] = abs(current - previous) < tol
            previous = current
            if math.isnan(current):
                break
        joint = _log_joint(x, weight, mean, variance)
        log_p = joint.logsumexp(dim=1)
        weights[g], means[g], variances[g] = weight, mean, variance
        here = slice(bounds[g], bounds[g + 1])
        responsibility[here] = (joint[:, 0] - log_p).exp()
        log_likelihood[here] = log_p
        labels[here] = (joint[:, 1] > joint[:, 0]).long()
    return GaussianMixture2(weights, means, variances, responsibility, labels, log_likelihood, n_iter, converged)


def _log_joint(x: Tensor, weight: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """``log w_k + log N(x; m_k, v_k)``, ``(n, 2)``."""
    return weight.log() - 0.5 * (math.log(2 * math.pi) + variance.log() + (x[:, None] - mean).square() / variance)
