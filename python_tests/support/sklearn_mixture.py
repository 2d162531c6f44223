"""The two-component mixture that scikit-learn fits in float64, with our start values and options."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

TOL, REG_COVAR = 1e-3, 1e-6


def fit_sklearn(values: np.ndarray, covariance: str) -> GaussianMixture:
    ones = {"full": np.ones((2, 1, 1)), "tied": np.ones((1, 1))}[covariance]
    mixture = GaussianMixture(
        2,
        covariance_type=covariance,
        tol=TOL,
        reg_covar=REG_COVAR,
        max_iter=100,
        weights_init=(0.5, 0.5),
        means_init=[[values.min()], [values.max()]],
        precisions_init=ones,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(values[:, None])


def stops_clearly(mixture: GaussianMixture) -> bool:
    """No change of the mean log-likelihood is within 1e-8 of the tolerance: rounding cannot change the number of
    iterations."""
    changes = np.abs(np.diff(mixture.lower_bounds_))
    return bool((np.abs(changes - TOL) > 1e-8).all())
