"""Carry a formula from layers timed alone, at the paper's sizes, to layers of ordinary sizes that run in turns.

The paper's grids hold few layers like those of networks, and each was timed call after call. An `OperatorTable` holds
random layers of ordinary sizes timed in turns. First the formula is fitted to these. Then, for each kind of layer, the
logarithm of measured over predicted time is smoothed over the logarithms of rows, columns and depth of the matrix
product, by kernel ridge regression (Rasmussen and Williams, 2006, Gaussian Processes for Machine Learning, eq. 2.25)
with a Gaussian kernel; `WIDTH` and `NOISE` were chosen on layers of the grid left out, among four widths and three
noises, and so was the fit before it. Beyond the sizes that were measured the correction stays what it is at their edge.
No network enters it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..costs import BEST, Features, features
from ..fitting import fit_model
from ..fitting.intervals import CLASSES, layer_class
from ..layers import Table

Array = NDArray[np.float64]
Predict = Callable[[Table], Array]

WIDTH: Final = 2.0
"""Width of the kernel, in standard deviations of the logarithms of the sizes."""

NOISE: Final = 0.15
"""Variance of a single layer against that of the smooth correction."""

LEAST: Final = 12
"""Layers of a kind below which it is not corrected."""

PER_NUMBER: Final = 4
"""Layers for each number of the formula below which it is not fitted to them."""

LEVEL: Final = 0.9


@dataclass(frozen=True)
class Smooth:
    """Correction of one kind of layer.

    Parameters
    ----------
    points : ndarray
        Scaled logarithms of rows, columns and depth of the measured layers, shape ``(n, 3)``.
    weights : ndarray
        Weight of the kernel around each of them, shape ``(n,)``.
    mean : float
        What the correction falls back to between distant layers, a logarithm.
    centre, scale : ndarray
        Mean and spread of the logarithms, shape ``(3,)``.
    ends : tuple of float
        Measured over corrected time, each layer left out in turn: where 90 % lie.
    """

    points: Array
    weights: Array
    mean: float
    centre: Array
    scale: Array
    ends: tuple[float, float]

    def factor(self, sizes: Array) -> Array:
        """Corrected over uncorrected time for logarithms of sizes, shape ``(n, 3)`` to ``(n,)``."""
        scaled = np.clip((sizes - self.centre) / self.scale, self.points.min(axis=0), self.points.max(axis=0))
        return np.asarray(np.exp(self.mean + _kernel(scaled, self.points) @ self.weights))


def _kernel(first: Array, second: Array) -> Array:
    distances = ((first[:, None, :] - second[None, :, :]) ** 2).sum(axis=2)
    return np.asarray(np.exp(-distances / (2 * WIDTH**2)))


def fit_smooth(sizes: Array, log_ratio: Array) -> Smooth:
    """Fit the correction of one kind.

    Parameters
    ----------
    sizes : ndarray
        Logarithms of rows, columns and depth, shape ``(n, 3)``.
    log_ratio : ndarray
        Logarithm of measured over predicted time, shape ``(n,)``.
    """
    centre, scale, mean = sizes.mean(axis=0), np.maximum(sizes.std(axis=0), 1e-9), float(log_ratio.mean())
    points = (sizes - centre) / scale
    inverse = np.linalg.inv(_kernel(points, points) + NOISE * np.eye(len(points)))
    weights = inverse @ (log_ratio - mean)
    left_out = weights / np.diag(inverse)
    low, high = np.exp(np.quantile(left_out, ((1 - LEVEL) / 2, (1 + LEVEL) / 2)))
    return Smooth(points, weights, mean, centre, scale, (float(low), float(high)))


def _sizes(f: Features) -> Array:
    return np.log(np.column_stack([f.rows, f.columns, f.depth]))


def fit_in_turns(layers: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Fit the project's formula to layers timed in turns.

    Parameters
    ----------
    layers : mapping
        Columns of `alphaflops.layers.COLUMNS` and ``ms``, the time in turns, one entry per layer.

    Returns
    -------
    dict
        ``model`` and ``parameters``; empty where there are less than `PER_NUMBER` layers for each number.
    """
    if not layers or len(layers["ms"]) < PER_NUMBER * len(BEST.parameters):
        return {}
    found = fit_model(BEST, features(_table(layers)), np.asarray(layers["ms"], dtype=np.float64))
    return {"model": BEST.name, "parameters": found.parameters}


def corrections(predict: Predict, layers: Mapping[str, Sequence[Any]]) -> dict[str, Smooth]:
    """Fit the correction of every kind of layer.

    Parameters
    ----------
    predict : callable
        What is to be corrected: a table of layers in, milliseconds out, shape ``(n,)``.
    layers : mapping
        Columns of `alphaflops.layers.COLUMNS` and ``ms``, the time in turns, one entry per layer.
    """
    if not layers:
        return {}
    table = _table(layers)
    f, kinds = features(table), layer_class(features(table))
    ratio = np.log(np.asarray(layers["ms"], dtype=np.float64) / predict(table))
    found = {}
    for kind in CLASSES:
        rows = kinds == kind
        if rows.sum() >= LEAST:
            found[kind] = fit_smooth(_sizes(f)[rows], ratio[rows])
    return found


def correct(smooth: Mapping[str, Smooth], table: Table, ms: Array, ends: Array) -> Array:
    """Correct predictions where their kind has a correction.

    Parameters
    ----------
    smooth : mapping
        What `corrections` gave.
    table : mapping
        The layers.
    ms : ndarray
        What is to be corrected, shape ``(n,)`` (ms).
    ends : ndarray
        Prediction, low and high end of layers without a correction, shape ``(n, 3)`` (ms).

    Returns
    -------
    ndarray
        Prediction, low and high end, shape ``(n, 3)`` (ms); the ends of corrected ones are those of the correction.
    """
    f, out = features(table), ends.copy()
    kinds = layer_class(f)
    for kind, one in smooth.items():
        rows = kinds == kind
        found = ms[rows] * one.factor(_sizes(f)[rows])
        out[rows] = np.column_stack([found, found * one.ends[0], found * one.ends[1]])
    return out


def _table(layers: Mapping[str, Sequence[Any]]) -> dict[str, NDArray[Any]]:
    return {name: np.asarray(values) for name, values in layers.items() if name != "ms"}
