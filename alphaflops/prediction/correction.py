"""Carry a formula from layers timed alone, at the paper's sizes, to layers of ordinary sizes that run in turns.

The paper's grids hold few layers like those of networks, and each was timed call after call. An `OperatorTable` holds
random layers of ordinary sizes timed in turns. The formula is fitted to these too; then, for each kind of layer, the
logarithm of measured over fitted time is smoothed over the logarithms of rows, columns and depth of the matrix product
by kernel ridge regression with a Gaussian kernel. `WIDTH` and `NOISE` were chosen on layers of the grid left out. No
network enters. What is kept is a *factor* on the prediction of the run's own calibration: a calibration with other
numbers keeps its own prediction, times that factor.

Errors that are left are not independent: a machine on which one 3×3 layer is slower than predicted is slow on its
neighbours too. `shared_error` is the share that a formula's errors have in common, for intervals of totals.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..costs import Features, features, model
from ..fitting import Calibration, fit_model
from ..fitting.intervals import CLASSES, layer_class
from ..fitting.validate import out_of_fold
from ..runs import Run

Array = NDArray[np.float64]

WIDTH: Final = 2.0
"""Width of the kernel, in standard deviations of the logarithms of the sizes."""
NOISE: Final = 0.15
"""Variance of a single layer against that of the smooth factor."""
LEAST: Final = 12
"""Layers of a kind below which it has no smooth factor."""
PER_NUMBER: Final = 4
"""Layers for each number of the formula below which it is not fitted to them."""
LEVEL: Final = 0.9


@dataclass(frozen=True)
class Smooth:
    """Factor of one kind of layer.

    Parameters
    ----------
    points, weights : list
        Scaled logarithms of rows, columns and depth of the measured layers, ``(n, 3)``, and the weight at each.
    mean : float
        What the logarithm of the factor falls back to between distant layers.
    centre, scale : list of float
        Mean and spread of the logarithms, shape ``(3,)``.
    low_factor, high_factor : float
        Where `LEVEL` of the layers left out lie, measured over predicted.
    """

    points: list[list[float]]
    weights: list[float]
    mean: float
    centre: list[float]
    scale: list[float]
    low_factor: float
    high_factor: float

    def log_factor(self, sizes: Array) -> Array:
        """Logarithm of the factor at sizes of shape ``(n, 3)``; beyond what was measured it stays as at the edge."""
        from scipy.spatial.distance import cdist

        points = np.asarray(self.points)
        at = np.clip((sizes - self.centre) / self.scale, points.min(axis=0), points.max(axis=0))
        kernel = np.exp(-cdist(at, points, "sqeuclidean") / (2 * WIDTH**2))
        return np.asarray(self.mean + kernel @ np.asarray(self.weights))


@dataclass(frozen=True)
class Correction:
    """What layers in turns say of the calibration of a run.

    Parameters
    ----------
    model : str
        The formula.
    reference, turns : dict
        Its numbers in the run's calibration, and fitted to the layers in turns.
    kinds : dict
        Kind of layer → `Smooth`.
    """

    model: str
    reference: Mapping[str, float]
    turns: Mapping[str, float]
    kinds: Mapping[str, Smooth]

    def correct(self, f: Features, ms: Array, ends: Array) -> Array:
        """Apply the factors to what the calibration's formula itself gives; kinds of layers without one stay.

        Parameters
        ----------
        f : Features
            Of n layers.
        ms : ndarray
            What the formula gives for them, shape ``(n,)`` (ms).
        ends : ndarray
            The calibration's prediction, low and high end, shape ``(n, 3)`` (ms).
        """
        out, kinds, formula = ends.copy(), layer_class(f), model(self.model)
        shift = formula.formula(f, formula.vector(self.turns)) / formula.formula(f, formula.vector(self.reference))
        for kind, smooth in self.kinds.items():
            rows = kinds == kind
            found = ms[rows] * shift[rows] * np.exp(smooth.log_factor(_sizes(f)[rows]))
            out[rows] = found[:, None] * [1.0, smooth.low_factor, smooth.high_factor]
        return out


def _sizes(f: Features) -> Array:
    return np.log(np.column_stack([f.rows, f.columns, f.depth]))


def fit_correction(calibration: Calibration, layers: Mapping[str, Any]) -> Correction | None:
    """Fit the correction of a calibration; None where there are fewer than `PER_NUMBER` layers for each number.

    Parameters
    ----------
    calibration : Calibration
        Of the run that the layers' machine belongs to.
    layers : mapping
        Columns of `alphaflops.layers.COLUMNS` and ``ms``, the time in turns, one entry per layer.
    """
    formula = model(calibration.model)
    if not layers or len(layers["ms"]) < PER_NUMBER * len(formula.parameters):
        return None
    f, times = features({k: np.asarray(v) for k, v in layers.items()}), np.asarray(layers["ms"], dtype=np.float64)
    turns = fit_model(formula, f, times).parameters
    ratio, kinds = np.log(times / formula.formula(f, formula.vector(turns))), layer_class(f)
    enough = [kind for kind in CLASSES if (kinds == kind).sum() >= LEAST]
    smooth = {kind: fit_smooth(_sizes(f)[kinds == kind], ratio[kinds == kind]) for kind in enough}
    return Correction(calibration.model, calibration.values, turns, smooth)


def fit_smooth(sizes: Array, log_ratio: Array) -> Smooth:
    """Smooth a logarithm of measured over fitted time, shape ``(n,)``, over logarithms of sizes, shape ``(n, 3)``."""
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.model_selection import LeaveOneOut, cross_val_predict

    centre, scale, mean = sizes.mean(axis=0), np.maximum(sizes.std(axis=0), 1e-9), float(log_ratio.mean())
    points, off = (sizes - centre) / scale, log_ratio - mean
    ridge = KernelRidge(alpha=NOISE, kernel="rbf", gamma=1 / (2 * WIDTH**2))
    left_out = off - cross_val_predict(ridge, points, off, cv=LeaveOneOut())
    low, high = np.exp(np.quantile(left_out, ((1 - LEVEL) / 2, (1 + LEVEL) / 2)))
    ends, weights = (min(float(low), 1.0), max(float(high), 1.0)), ridge.fit(points, off).dual_coef_
    return Smooth(points.tolist(), weights.tolist(), mean, centre.tolist(), scale.tolist(), *ends)


def shared_error(log_ratio: ArrayLike, groups: ArrayLike) -> float:
    """Intraclass correlation of residuals: the share of their variance that layers of one group have in common.

    Parameters
    ----------
    log_ratio : array_like
        Logarithm of measured over predicted time, held out, shape ``(n,)``.
    groups : array_like
        Group of each layer, such as the line of its experiment, shape ``(n,)``.

    Returns
    -------
    float
        One-way analysis-of-variance estimator (Donner and Koval, 1980, Biometrics 36, 19–25), cut to 0…1.
    """
    residuals, (_, member, sizes) = np.asarray(log_ratio), np.unique(groups, return_inverse=True, return_counts=True)
    n, k = len(residuals), len(sizes)
    if k < 2 or n <= k:
        return 1.0
    means = np.bincount(member, residuals) / sizes
    between = (sizes * (means - residuals.mean()) ** 2).sum() / (k - 1)
    within = ((residuals - means[member]) ** 2).sum() / (n - k)
    typical = (n - (sizes**2).sum() / n) / (k - 1)
    spread = between + (typical - 1) * within
    return float(np.clip((between - within) / spread, 0, 1)) if spread > 0 else 1.0


def shared_error_of(run: Run, name: str) -> float:
    """Share of a formula's error that the layers of one line of an experiment have in common on a run.

    Residuals are held out by figure, as new networks are.
    """
    good = run.ok
    table, times = good.table, np.asarray(good.time_ms("latency"), dtype=np.float64)
    predicted = out_of_fold(name, features(table), times, table, "figure")
    return shared_error(np.log(times / predicted), (table["experiment"] + " " + table["line"]).to_numpy(dtype=str))
