"""Gradient boosting on log time: the ceiling of what a learned model reaches, without a formula."""

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..costs import Features
from ..errors import AlphaflopsError
from .optimise import check_times

LEAST = 40
"""Layers below which trees of twenty leaves say nothing."""


def matrix(f: Features) -> NDArray[np.float64]:
    """Logarithms of all features, shape ``(n, features)``; the booleans as 0 and 1."""
    columns = [np.asarray(getattr(f, field.name), dtype=np.float64) for field in fields(f)]
    return np.column_stack([c if set(np.unique(c)) <= {0.0, 1.0} else np.log(c) for c in columns])


def fit_boosting(f: Features, times_ms: Any, *, seed: int = 0) -> Any:
    """Fit scikit-learn's histogram gradient boosting to log times; returns ``features -> ms``.

    Raises
    ------
    AlphaflopsError
        If a time is not positive and finite, or there are fewer than `LEAST` layers.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    times = check_times(times_ms)
    if len(times) < LEAST:
        raise AlphaflopsError(f"{len(times)} layers are too few for boosting: give at least {LEAST}")
    trees = HistGradientBoostingRegressor(loss="absolute_error", max_iter=300, learning_rate=0.07, random_state=seed)
    trees.fit(matrix(f), np.log(times))
    return lambda other: np.exp(trees.predict(matrix(other)))
