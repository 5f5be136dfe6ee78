"""Carry a formula from layers timed alone, at the paper's sizes, to layers of ordinary sizes that run in turns.

The paper's grids hold few layers like those of networks, and each was timed call after call. An `OperatorTable` holds
random layers of ordinary sizes timed in turns. For each kind of layer, the logarithm of their time over that of the
run's calibrated formula is smoothed over the logarithms of rows, columns and depth of the matrix product by kernel
ridge regression with a Gaussian kernel. `WIDTH` and `NOISE` were chosen on layers of the grid left out. No network
enters. What comes out is a *factor*: a calibration with other numbers keeps its own prediction, times that factor.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..costs import Features, features
from ..fitting import Calibration
from ..fitting.intervals import CLASSES, layer_class

Array = NDArray[np.float64]
Factors: TypeAlias = Callable[[Array], Array]
"""Logarithms of rows, columns and depth, shape ``(n, 3)`` → factor, and its low and high end, shape ``(n, 3)``."""

WIDTH: Final = 2.0
"""Width of the kernel, in standard deviations of the logarithms of the sizes."""
NOISE: Final = 0.15
"""Variance of a single layer against that of the smooth factor."""
LEAST: Final = 12
"""Layers of a kind below which it has no smooth factor."""
LEVEL: Final = 0.9
"""Share of the layers left out that lie between the ends."""


def smooth(sizes: Array, log_ratio: Array) -> Factors:
    """Smooth a logarithm of measured over formula time, shape ``(n,)``, over logarithms of sizes, shape ``(n, 3)``.

    Beyond the measured sizes a factor stays as at their edge. The residuals of layers left out, which tell the ends,
    follow from the weights without fitting again (Craven and Wahba, 1979, Numerische Mathematik 31, 377–403).
    """
    from scipy.spatial.distance import cdist

    scale, mean = np.maximum(sizes.std(axis=0), 1e-9), log_ratio.mean()

    def kernel(at: Array) -> Array:
        return np.asarray(np.exp(-cdist(at / scale, sizes / scale, "sqeuclidean") / (2 * WIDTH**2)))

    inverse = np.linalg.inv(kernel(sizes) + NOISE * np.eye(len(sizes)))
    weights = inverse @ (log_ratio - mean)
    low, high = np.exp(np.quantile(weights / np.diag(inverse), ((1 - LEVEL) / 2, (1 + LEVEL) / 2)))

    def factors(at: Array) -> Array:
        inside = np.clip(at, sizes.min(axis=0), sizes.max(axis=0))
        return np.outer(np.exp(mean + kernel(inside) @ weights), [1.0, min(low, 1.0), max(high, 1.0)])

    return factors


def fit_factors(calibration: Calibration, layers: Mapping[str, Any]) -> dict[str, Factors]:
    """Fit what layers in turns say of a calibration, by kind of layer; kinds of fewer than `LEAST` layers have none.

    Parameters
    ----------
    calibration : Calibration
        Of the run that the layers' machine belongs to.
    layers : mapping
        Columns of `alphaflops.layers.COLUMNS` and ``ms``, the time in turns, one entry per layer.
    """
    if not layers:
        return {}
    f = features({name: np.asarray(values) for name, values in layers.items()})
    ratio, kinds, sizes = np.log(layers["ms"] / calibration.formula_ms(f)), layer_class(f), log_sizes(f)
    enough = [kind for kind in CLASSES if (kinds == kind).sum() >= LEAST]
    return {kind: smooth(sizes[kinds == kind], ratio[kinds == kind]) for kind in enough}


def log_sizes(f: Features) -> Array:
    """Logarithms of rows, columns and depth of the matrix product, shape ``(n, 3)``."""
    return np.asarray(np.log(np.column_stack([f.rows, f.columns, f.depth])))
