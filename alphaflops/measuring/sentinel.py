"""One layer timed again and again through a run: it cannot change, so what moves is the machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import erfc, sqrt
from typing import Any, Final

import numpy as np

from ..layers import Conv2d

SENTINEL: Final = Conv2d(56, 56, 128, 128, 3)
"""About 0.46 GMAC: some 10 ms on a CPU core, tens of µs on a GPU; neither all overhead nor slow to repeat."""

CALLS: Final = 15
"""Synchronised calls per reading."""

DRIFT_LIMIT: Final = 0.03
"""Movement between the first and the last third of a run that counts as drift (fraction), if it is also a trend."""

DRIFT_P: Final = 0.05
"""Level of the Mann–Kendall test for a trend."""

SPREAD_LIMIT: Final = 0.15
"""Spread of the readings above which the run is called unsteady (fraction)."""

FEWEST: Final = 6
"""Readings under which nothing is said about drift."""


@dataclass(frozen=True)
class Verdict:
    """How steady the machine was.

    Attributes
    ----------
    verdict : str
        ``steady``, ``drifted``, ``unsteady``, or ``too few readings``.
    readings : int
        How often the sentinel was timed.
    median_ms : float or None
        Median of the readings (ms).
    moved : float or None
        Last third against first third of the readings, a fraction of the median; positive is slower.
    spread : float or None
        From the 10 % to the 90 % quantile of the readings, a fraction of the median: one disturbed reading of many
        does not count, a disturbed tenth does.
    worst : float or None
        Slowest reading above the median, a fraction of it.
    p : float or None
        Two-sided probability of as strong a trend in a steady machine (Mann–Kendall, normal approximation).
    """

    verdict: str
    readings: int
    median_ms: float | None = None
    moved: float | None = None
    spread: float | None = None
    worst: float | None = None
    p: float | None = None

    def record(self) -> dict[str, Any]:
        """Give all fields by name."""
        return dict(vars(self))


def trend_p(values: Sequence[float]) -> float:
    """Two-sided p-value of the Mann–Kendall test for a trend in readings of shape ``(n,)``, n ≥ 3, without ties."""
    x = np.asarray(values, dtype=np.float64)
    n = len(x)
    score = float(np.sign(x[None, :] - x[:, None])[np.triu_indices(n, 1)].sum())
    deviation = sqrt(n * (n - 1) * (2 * n + 5) / 18)
    return erfc(max(abs(score) - 1, 0.0) / deviation / sqrt(2))


def judge(readings_ms: Sequence[float]) -> Verdict:
    """Say from the readings (ms), in order, whether the machine stayed the same."""
    n = len(readings_ms)
    if n < FEWEST:
        middle = round(float(np.median(readings_ms)), 6) if n else None
        return Verdict("too few readings", n, middle)
    median = float(np.median(readings_ms))
    third = n // 3
    moved = float(np.median(readings_ms[-third:]) - np.median(readings_ms[:third])) / median
    spread = float(np.subtract(*np.quantile(readings_ms, (0.9, 0.1)))) / median
    worst = max(readings_ms) / median - 1
    p = trend_p(readings_ms)
    verdict = "steady"
    if spread > SPREAD_LIMIT:
        verdict = "unsteady"
    if abs(moved) > DRIFT_LIMIT and p < DRIFT_P:
        verdict = "drifted"
    return Verdict(verdict, n, round(median, 6), round(moved, 5), round(spread, 5), round(worst, 5), round(p, 5))
