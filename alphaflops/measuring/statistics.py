"""The median of a few timings, its 95 % interval, and when to stop taking more.

The interval interpolates between neighbouring order statistics (Hettmansperger and Sheather, 1986, *Statistics &
Probability Letters* 4, 75–79), so it holds close to its stated level for any continuous law, skewed or with outliers.
Looking at the interval in order to stop would make it too short; the looks are therefore few, each at a sample size
half as large again as the last, and `CONFIDENCE_USED` pays for the rest.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import comb, erfc, isfinite, nan, sqrt

import numpy as np
from numpy.typing import ArrayLike

CONFIDENCE_USED = 0.9625
"""The level of the fixed-size interval; the difference to the stated 0.95 is what repeated looks cost."""

SMALLEST = 6
"""Fewest samples that give an interval at `CONFIDENCE_USED`: smallest to largest of 6 covers 96.9 %."""

LOOK_GROWTH = 1.5
"""Each look at the interval comes at this many times the samples of the look before."""


@dataclass(frozen=True)
class Estimate:
    """A median and its interval, all in the unit of the samples.

    Attributes
    ----------
    median, low, high : float
        Median and the two ends of its 95 % interval; the ends are NaN under `SMALLEST` samples.
    n : int
        Samples used.
    """

    median: float
    low: float
    high: float
    n: int

    @property
    def half_width(self) -> float:
        """Half the interval divided by the median (a fraction); NaN where there is no interval."""
        return (self.high - self.low) / 2 / self.median if self.median else nan

    def within(self, tolerance: float) -> bool:
        """Tell whether the half-width is at most `tolerance`, a fraction of the median."""
        return isfinite(self.half_width) and self.half_width <= tolerance


@lru_cache(maxsize=4096)
def _ranks(n: int, confidence: float) -> tuple[int, float]:
    """Rank ``d`` counted from either end and the weight of its inner neighbour."""
    if n > 1000:
        return round(n / 2 - _normal_quantile(confidence) * sqrt(n) / 2 + 0.5), 0.0
    outside, level, deeper = 0, 1.0, 1.0
    for d in range(1, n // 2 + 1):
        outside += comb(n, d - 1)
        deeper = 1 - 2 * outside / 2**n
        if deeper < confidence:
            share = (level - confidence) / (level - deeper)
            rank = d - 1
            return rank, (n - rank) * share / (rank + (n - 2 * rank) * share)
        level = deeper
    return n // 2, 0.0


def _normal_quantile(confidence: float) -> float:
    low, high = 0.0, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if erfc(middle / sqrt(2)) > 1 - confidence else (low, middle)
    return low


def estimate(samples: ArrayLike, confidence: float = CONFIDENCE_USED) -> Estimate:
    """Median and interval of samples of shape ``(n,)``; NaN throughout when there are none."""
    ordered = np.sort(np.asarray(samples, dtype=np.float64))
    n = len(ordered)
    if n == 0:
        return Estimate(nan, nan, nan, 0)
    median = float(np.median(ordered))
    if n < SMALLEST:
        return Estimate(median, nan, nan, n)
    d, inner = _ranks(n, confidence)
    low = (1 - inner) * ordered[d - 1] + inner * ordered[d]
    high = (1 - inner) * ordered[n - d] + inner * ordered[n - d - 1]
    return Estimate(median, float(low), float(high), n)


def next_look(n: int) -> int:
    """Sample size at which to look again after a look at `n`."""
    return max(n + 1, int(n * LOOK_GROWTH))


def settled(samples: ArrayLike, window: int = 3, tolerance: float = 0.05) -> bool:
    """Tell whether warm-up is over: the last `window` timings are no more than `tolerance` faster than those before."""
    times = np.asarray(samples, dtype=np.float64)
    if len(times) < 2 * window:
        return False
    before, after = np.median(times[-2 * window : -window]), np.median(times[-window:])
    return bool(after >= before * (1 - tolerance))
