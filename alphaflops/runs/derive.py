"""Everything that a run says about its samples: medians, intervals, convergence, flags, and how steady the machine was.

Nothing of this is stored: it follows from the samples whenever a run is read.

The interval of a median interpolates between neighbouring order statistics (Hettmansperger and Sheather, 1986,
*Statistics & Probability Letters* 4, 75–79), so it holds close to its stated level for any continuous law, skewed or
with outliers. Looking at the interval in order to stop would make it too short; the looks are therefore few, and
`CONFIDENCE_USED` pays for the rest.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from math import comb, erfc, nan, sqrt
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from .. import experiments
from ..errors import AlphaflopsError
from ..layers import COLUMNS
from ..layers.table import refuse
from .schema import DERIVED_COLUMNS, QUANTITIES

CONFIDENCE_USED: Final = 0.9625
"""The level of the fixed-size interval; the difference to the stated 0.95 is what repeated looks cost."""

SMALLEST: Final = 6
"""Fewest samples that give an interval at `CONFIDENCE_USED`: smallest to largest of 6 covers 96.9 %."""

FOREIGN_CORES, FOREIGN_SHARE = 0.25, 0.01
"""A row is flagged where others keep busy more than so many cores and this share of all cores of the machine."""

DRIFT_LIMIT, DRIFT_P = 0.03, 0.05
"""Movement between the first and the last third of a run that counts as drift (fraction), if it is also a trend at this
level of the Mann–Kendall test."""

SPREAD_LIMIT: Final = 0.15
"""Spread of the sentinel's readings above which the run is called unsteady (fraction)."""

FEWEST: Final = 6
"""Readings under which nothing is said about drift."""

OTHER: Final = "other layers"
"""Experiment of a layer that its run says is the paper's or the replication's, and is not."""

SAME_LAYER: Final = ["experiment", "line", "x", *COLUMNS]
"""Columns by which a row is known again, whatever its number."""


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


@lru_cache(maxsize=4096)
def _ranks(n: int, confidence: float) -> tuple[int, float]:
    """Rank ``d`` counted from either end and the weight of its inner neighbour."""
    if n > 1000:
        return round(n / 2 - NormalDist().inv_cdf((1 + confidence) / 2) * sqrt(n) / 2 + 0.5), 0.0
    outside, level = 0, 1.0
    for d in range(1, n // 2 + 1):
        outside += comb(n, d - 1)
        deeper = 1 - 2 * outside / 2**n
        if deeper < confidence:
            share = (level - confidence) / (level - deeper)
            return d - 1, (n - d + 1) * share / (d - 1 + (n - 2 * d + 2) * share)
        level = deeper
    return n // 2, 0.0


def estimate(samples: ArrayLike, confidence: float = CONFIDENCE_USED) -> Estimate:
    """Median and interval of samples of shape ``(n,)``; NaN throughout when there are none."""
    ordered = np.sort(np.asarray(samples, dtype=np.float64))
    n = len(ordered)
    if n == 0:
        return Estimate(nan, nan, nan, 0)
    median = float(ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    if n < SMALLEST:
        return Estimate(median, nan, nan, n)
    d, inner = _ranks(n, confidence)
    low = (1 - inner) * ordered[d - 1] + inner * ordered[d]
    high = (1 - inner) * ordered[n - d] + inner * ordered[n - d - 1]
    return Estimate(median, float(low), float(high), n)


def summarise(samples: ArrayLike, protocol: str = "adaptive") -> Estimate:
    """Reduce samples to what the protocol of that name reports: median and interval, or the replication's mean."""
    values = np.asarray(samples, dtype=np.float64)
    if protocol not in ("per-call", "pipelined") or len(values) == 0:
        return estimate(values)
    return Estimate(float(np.mean(values)), nan, nan, len(values))


@dataclass(frozen=True)
class Verdict:
    """How steady the machine was, by its sentinel.

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


def trend_p(values: Sequence[float]) -> float:
    """Two-sided p-value of the Mann–Kendall test for a trend in readings of shape ``(n,)``, n ≥ 3, without ties."""
    x = np.asarray(values, dtype=np.float64)
    n = len(x)
    score = sum(float(np.sign(x[i + 1 :] - x[i]).sum()) for i in range(n - 1))
    return erfc(max(abs(score) - 1, 0.0) / sqrt(n * (n - 1) * (2 * n + 5) / 18) / sqrt(2))


def judge(readings_ms: Sequence[float]) -> Verdict:
    """Say from the readings (ms), in order, whether the machine stayed the same."""
    n = len(readings_ms)
    if n < FEWEST:
        return Verdict("too few readings", n, round(float(np.median(readings_ms)), 6) if n else None)
    median, third = float(np.median(readings_ms)), n // 3
    moved = float(np.median(readings_ms[-third:]) - np.median(readings_ms[:third])) / median
    spread = float(np.subtract(*np.quantile(readings_ms, (0.9, 0.1)))) / median
    p = trend_p(readings_ms)
    drifted = abs(moved) > DRIFT_LIMIT and p < DRIFT_P
    verdict = "drifted" if drifted else "unsteady" if spread > SPREAD_LIMIT else "steady"
    worst = round(max(readings_ms) / median - 1, 5)
    return Verdict(verdict, n, round(median, 6), round(moved, 5), round(spread, 5), worst, round(p, 5))


def derived(
    table: pd.DataFrame, samples: Mapping[str, NDArray[np.float64]], meta: Mapping[str, Any], where: str
) -> pd.DataFrame:
    """Give a table with what follows from samples and readings; where there are no samples, times stay as told.

    Parameters
    ----------
    table : DataFrame
        As from `alphaflops.runs.schema.checked_table`.
    samples : mapping of str to ndarray
        Raw samples (ms) by ``"{quantity}_{row}"``; for each measured row there must be latencies.
    meta : mapping
        The run's metadata.

    Returns
    -------
    DataFrame
        The table with ``latency_ms, latency_low_ms, latency_high_ms, latency_n``, the same of ``throughput``,
        ``converged`` and ``flags`` (``clock``, ``throttled``, ``foreign-load``, ``unconverged``, joined by ``;``).

    Raises
    ------
    AlphaflopsError
        If samples are missing, not finite, not positive, or belong to no measured row.
    """
    table = table.assign(experiment=_named(table))
    if not samples and ("latency_ms" in table or table["status"].eq("ok").any()):
        if "latency_ms" not in table:
            raise AlphaflopsError(f"{where}: column 'latency_ms' is missing, and there are no samples")
        time = table["latency_ms"]
        bad = table["status"].eq("ok") & ~(np.isfinite(time) & (time > 0))
        refuse(bad, time, f"{where}: latency_ms", "a positive number")
        return table
    rows, ok = table["row"].astype(int).tolist(), table["status"].eq("ok").to_numpy()
    _check_samples(samples, [row for row, good in zip(rows, ok, strict=True) if good], where)
    settings, columns, narrow = meta["protocol"], {}, ok.copy()
    for quantity in QUANTITIES:
        found = [summarise(samples.get(f"{quantity}_{row}", np.empty(0)), settings["name"]) for row in rows]
        for part, name in (("ms", "median"), ("low_ms", "low"), ("high_ms", "high"), ("n", "n")):
            columns[f"{quantity}_{part}"] = [getattr(one, name) for one in found]
        if settings["name"] == "adaptive":
            tolerance = float(settings.get("tolerance", 0.01))
            narrow &= [one.n == 0 or one.half_width <= tolerance for one in found]
    order = [name for name in table.columns if name not in DERIVED_COLUMNS]
    return table[order].assign(**columns, converged=narrow, flags=_flags(table, meta, ok & ~narrow))


def _flags(table: pd.DataFrame, meta: Mapping[str, Any], unconverged: NDArray[np.bool_]) -> list[str]:
    foreign = FOREIGN_CORES + FOREIGN_SHARE * (meta["machine"].get("cpu") or {}).get("cores", 1)
    told: dict[str, Any] = {
        "clock": table.get("bad_clock", 0) > 0,
        "throttled": table.get("throttle", "") != "",
        "foreign-load": (table.get("load", 0) > foreign) | (table.get("processes", 0) > 1),
        "unconverged": unconverged,
    }
    names, found = np.array([*told]), pd.DataFrame(told, index=table.index).to_numpy(dtype=bool)
    return [";".join(names[row]) for row in found]


@cache
def _layers(experiment: str) -> frozenset[Any]:
    return frozenset(experiments.grid(experiment)[SAME_LAYER].itertuples(index=False, name=None))


def _named(table: pd.DataFrame) -> "pd.Series[str]":
    """Experiment of each row, `OTHER` for layers that the experiment of that name does not have."""
    known = {name: _layers(name) for name in table["experiment"].unique() if name in experiments.BY_NAME}
    own = table.loc[table["experiment"].isin(known), SAME_LAYER]
    odd = [at for at, *key in own.itertuples(name=None) if tuple(key) not in known[key[0]]]
    return table["experiment"].mask(table.index.isin(odd), OTHER)


def _check_samples(samples: Mapping[str, NDArray[np.float64]], rows: Iterable[int], where: str) -> None:
    wanted = {f"{quantity}_{row}" for row in rows for quantity in QUANTITIES}
    for name in sorted(samples.keys() - wanted):
        raise AlphaflopsError(f"{where}: samples {name!r:.60} belong to no measured row")
    for name in sorted(wanted):
        values = samples.get(name)
        if (values is None or not len(values)) and name.startswith("latency"):
            raise AlphaflopsError(f"{where}: row {name.partition('_')[2]} is ok but has no samples of its latency")
        if values is not None and not (np.isfinite(values) & (np.asarray(values) > 0)).all():
            raise AlphaflopsError(f"{where}: samples of {name} are not all positive numbers")
