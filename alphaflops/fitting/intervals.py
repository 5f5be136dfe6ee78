"""Prediction intervals that hold region by region, and the region in which a calibration may be used."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..costs import Features
from ..errors import AlphaflopsError
from ..layers import Table
from .optimise import LEVEL, Array

TAIL: Final = (1 - LEVEL) / 2
LEAST: Final = 60
"""Layers below which a region is not split further."""
PARTS: Final = 3
CLASSES: Final = ("dense", "1x1", "larger")
SIZES: Final = ("rows", "columns", "depth", "macs", "kernel_area")
HABITS: Final = ("groups", "stride1", "stride2", "dilation1", "dilation2", "dtype_bytes")
SLACK: Final = 1.01


def layer_class(f: Features) -> NDArray[np.str_]:
    """Name the class of each layer: dense, 1x1 or larger kernels, shape ``(n,)``."""
    return np.where(f.dense, CLASSES[0], np.where(f.kernel_area == 1, CLASSES[1], CLASSES[2]))


@dataclass(frozen=True)
class Band:
    """Interval of one region: layers of one class whose predicted time lies in a range.

    Parameters
    ----------
    layer_class : str
        One of `CLASSES`, or "all" for layers of a class that was not measured.
    from_ms, to_ms : float
        Range of the formula's times (ms), the end not included; 0 and None, which is open, at the ends.
    low_factor, middle_factor, high_factor : float
        Measured time over that of the formula: ends of the interval, and its median, which corrects what the formula
        gets wrong in this region (no unit).
    n : int
        Held-out residuals behind it.
    """

    layer_class: str
    from_ms: float
    to_ms: float | None
    low_factor: float
    middle_factor: float
    high_factor: float
    n: int

    def __post_init__(self) -> None:
        if self.layer_class not in ("all", *CLASSES):
            raise AlphaflopsError(f"band {self.layer_class[:40]!r} is of no class: expected all, {', '.join(CLASSES)}")
        if not 0 < self.low_factor <= self.middle_factor <= self.high_factor < np.inf:
            raise AlphaflopsError(f"band {self.layer_class!r} makes no interval: its factors are not in order")


def _factors(log_ratio: Array) -> tuple[float, float, float]:
    # Order statistics (n + 1)·q: what a new layer of the same kind obeys at least as often as asked.
    ordered, n = np.sort(log_ratio), len(log_ratio)
    below = max(int(np.floor((n + 1) * TAIL)) - 1, 0)
    above = min(int(np.ceil((n + 1) * (1 - TAIL))) - 1, n - 1)
    return float(np.exp(ordered[below])), float(np.exp(np.median(ordered))), float(np.exp(ordered[above]))


def few_for_intervals(n: int) -> tuple[str, ...]:
    """Say whether n layers are too few for intervals that hold a share of new ones: the range of n residuals is all."""
    wanted = int(np.ceil(1 / TAIL - 1e-9)) - 1
    return () if n >= wanted else (f"{n} layers: intervals that hold {LEVEL:.0%} of new layers need {wanted}",)


def bands(f: Features, held_out_ms: Array, times_ms: Array) -> tuple[Band, ...]:
    """Conformal intervals from held-out predictions, one per region, that hold a share of `LEVEL` of new layers.

    A region is a class of layers cut into up to three ranges of predicted time, as long as each keeps `LEAST` layers.

    Parameters
    ----------
    f : Features
        The layers.
    held_out_ms, times_ms : ndarray
        Predictions by models that did not see the layer, and measured times, shape ``(n,)`` (ms).
    """
    ratio, classes = np.log(times_ms / held_out_ms), layer_class(f)
    found = [Band("all", 0.0, None, *_factors(ratio), len(ratio))]
    for name in [known for known in CLASSES if known in classes]:
        here = classes == name
        parts = max(min(PARTS, int(here.sum()) // LEAST), 1)
        inner = np.quantile(held_out_ms[here], np.arange(1, parts) / parts)
        for start, end in pairwise([0.0, *np.unique(inner).tolist(), np.inf]):
            rows = here & (held_out_ms >= start) & (held_out_ms < end)
            if rows.any():
                last = None if end == np.inf else end
                found.append(Band(name, start, last, *_factors(ratio[rows]), int(rows.sum())))
    return tuple(found)


def interval_ms(known: tuple[Band, ...], f: Features, formula_ms: Array) -> Array:
    """Low end, middle and high end of the interval of each layer, shape ``(3, n)`` (ms)."""
    factors, classes = np.empty((3, len(f))), layer_class(f)
    for band in known:  # "all" comes first and is overwritten wherever a region is known
        rows = (formula_ms >= band.from_ms) & (formula_ms < (np.inf if band.to_ms is None else band.to_ms))
        if band.layer_class != "all":
            rows &= classes == band.layer_class
        factors[:, rows] = [[band.low_factor], [band.middle_factor], [band.high_factor]]
    return np.asarray(factors * formula_ms)


@dataclass(frozen=True)
class Region:
    """Sizes and settings that a calibration has seen.

    Parameters
    ----------
    sizes : dict
        ``class -> {size: (least, most)}`` for the `SIZES` of `alphaflops.costs.Features`.
    habits : dict
        ``column -> values seen`` for groups, strides, dilations and bytes per number.
    """

    sizes: Mapping[str, Mapping[str, tuple[float, float]]]
    habits: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, f: Features, table: pd.DataFrame) -> "Region":
        """Give the region spanned by measured layers."""
        classes, sizes = layer_class(f), {}
        for name in np.unique(classes).tolist():
            part = vars(f.take(classes == name))
            sizes[name] = {size: (float(part[size].min()), float(part[size].max())) for size in SIZES}
        return cls(sizes, {h: tuple(sorted({int(v) for v in table[h]})) for h in HABITS})

    def outside(self, f: Features, table: Table) -> NDArray[np.bool_]:
        """Whether each layer lies beyond what was measured, shape ``(n,)``."""
        classes, out = layer_class(f), np.full(len(f), True)
        for name, ranges in self.sizes.items():
            inside = classes == name
            for size in SIZES:
                inside &= (getattr(f, size) >= ranges[size][0] / SLACK) & (getattr(f, size) <= ranges[size][1] * SLACK)
            out &= ~inside
        for habit, seen in self.habits.items():
            out |= ~np.isin(np.asarray(table[habit], dtype=np.int64), seen)
        return out
