"""Logistic regression with a squared penalty, on sparse rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

STRENGTH = 1.0
"""Weight of the rows against the penalty (scikit-learn's C and default): no choice that could be tuned to a result."""


def fit_logistic(rows: sparse.csr_matrix, labels: Bools, strength: float = STRENGTH) -> tuple[Floats, float]:
    """Weights [columns] and intercept that minimise |w|^2 / 2 + strength * sum of log losses; convex, by L-BFGS."""
    from scipy.optimize import minimize

    signs = np.where(labels, 1.0, -1.0)

    def objective(point: Floats) -> tuple[float, Floats]:
        margins = signs * (rows @ point[:-1] + point[-1])
        pull = -strength * signs * expit(-margins)
        value = point[:-1] @ point[:-1] / 2 + strength * np.logaddexp(0.0, -margins).sum()
        return float(value), np.append(point[:-1] + rows.T @ pull, pull.sum())

    found = minimize(objective, np.zeros(rows.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 500})
    return np.asarray(found.x[:-1], dtype=np.float64), float(found.x[-1])
