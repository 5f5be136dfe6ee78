"""Statistics behind the claims: each takes a run and gives one number, computed from its measured times."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import theilslopes

from ..costs import features
from ..costs.alpha import published_ms
from ..errors import AlphaflopsError
from ..fitting.dissect import Exponent, dissect
from ..fitting.validate import fitted, score
from ..layers import macs
from ..runs import Run
from ..runs.datasets import AUTHORS

ErrorOf: TypeAlias = Callable[[Run, str], float]
"""``(run, model) -> held-out MAPE (%)``."""

CHANNELS_SHRINK: Final = ("conv_K_vs_C", "replication_C")
INPUT_SHRINKS: Final = ("conv_K_vs_S", "replication_B")
EQUAL_FLOPS: Final = ("conv_fixed_progressive", "replication_A")
FINE: Final = ("replication_D", "replication_E", "replication_F", "replication_G")

LEAST_POINTS: Final = 5
"""Points below which a line says nothing about its spread or slope."""
CLEAR: Final = 1.1
"""Factor beyond which two FLOP counts or two times count as different; layers measured twice differ by less."""
PAIRED_LAYERS: Final = 1500
"""Layers that are compared in pairs; of more, a seeded sample is taken."""
SMALL_STEP: Final = 1.02
"""Largest growth of FLOPs along one step of a fine grid for which a growth in time is called a jump."""
SIDE: Final = 3
"""Points on each side of a step whose medians are compared, so that one noisy point is no jump."""
LEAST_STEPS: Final = 30
JUMPS_PER_LINE: Final = 3
SHUFFLES: Final = 99
"""Series with a line's noise and no jump."""
OWN_AND_MEDIAN: Final = (1 + np.pi / (4 * SIDE)) ** 0.5
"""How much wider the distance of a point from the median of `2 * SIDE` others is than its own noise."""
NEARBY: Final = 40
"""Points of a line among which noise is shuffled: where layers get large, noise changes."""


def lines(run: Run, names: tuple[str, ...]) -> Iterator[pd.DataFrame]:
    """Give each line of the named experiments that has enough points, in the order of the swept value.

    Yields
    ------
    DataFrame
        The columns of the run's table and ``macs`` (MAC), ``time_ms`` (latency) and ``cost`` (ms per MAC).
    """
    table = run.table[run.table["experiment"].isin(names)]
    for _, part in table.groupby(["experiment", "line"], sort=False):
        if len(part) >= LEAST_POINTS:
            found = part.assign(macs=macs(part), time_ms=part["latency_ms"]).sort_values("x", kind="stable")
            yield found.assign(cost=found["time_ms"] / found["macs"]).reset_index(drop=True)


def misordered(run: Run) -> float:
    """Share of pairs of layers in which fewer FLOPs take longer (%).

    Only pairs count whose FLOPs and whose times both differ by more than `CLEAR`, so that noise reverses none.
    NaN where no pair does.
    """
    count, times = np.log(macs(run.table)), np.log(run.table["latency_ms"].to_numpy())
    if len(times) > PAIRED_LAYERS:
        chosen = np.random.default_rng(0).choice(len(times), PAIRED_LAYERS, replace=False)
        count, times = count[chosen], times[chosen]
    first, second = np.triu_indices(len(times), 1)
    by_flops, by_time = count[first] - count[second], times[first] - times[second]
    clear = (np.abs(by_flops) > np.log(CLEAR)) & (np.abs(by_time) > np.log(CLEAR))
    if not clear.any():
        return float("nan")
    return float(100 * np.mean(np.sign(by_flops[clear]) != np.sign(by_time[clear])))


def spread(run: Run) -> float:
    """Spread of time per FLOP along the lines of equal FLOPs of Figure 2 (factor, median over the lines).

    Per line the 90 % quantile over the 10 % quantile, so that a few odd points decide nothing.
    """
    parts = lines(run, (*CHANNELS_SHRINK, *INPUT_SHRINKS))
    found = [np.quantile(p["cost"], 0.9) / np.quantile(p["cost"], 0.1) for p in parts]
    return float(np.median(found)) if found else float("nan")


def dense_against_conv(run: Run, size: int | None = None) -> float:
    """Slowest over fastest layer of equal FLOPs in Figure 1 (factor): median over the sizes, or at one size (MAC)."""
    table = run.table[run.table["experiment"].isin(EQUAL_FLOPS)]
    table = table if size is None else table[macs(table) == size]
    times = table.groupby(macs(table)).agg(low=("latency_ms", "min"), high=("latency_ms", "max"), n=("line", "nunique"))
    return float((times["high"] / times["low"])[times["n"] > 1].median())


def kernel_slope(run: Run) -> float:
    """Growth of time per FLOP with the kernel's side where FLOPs move from positions to kernel taps (exponent).

    Median over the lines of Figure 2b of the Theil-Sen slope of log time per MAC over log side; 0 where both axes cost
    alike. Side 1 is left out: 1×1 kernels run other code.
    """
    parts = (part[part["k1"] > 1] for part in lines(run, INPUT_SHRINKS))
    slopes = [theilslopes(np.log(p["cost"]), np.log(p["k1"])).slope for p in parts if len(p) >= LEAST_POINTS - 1]
    return float(np.median(slopes)) if slopes else float("nan")


def kernel_minus_space(run: Run) -> float | str:
    """Exponent of time in the kernel's area minus that in positions, or why there is none; see `exponents`."""
    found = exponents(run)
    told = [f"{name}: {found[name].reason}" for name in "SK" if name in found and found[name].reason]
    return "; ".join(told) or (found["K"].value - found["S"].value if found else float("nan"))


def exponents(run: Run) -> dict[str, Exponent]:
    """Exponent of time along each dimension, by its name; none where there are too few layers."""
    with suppress(AlphaflopsError):
        return {found.dimension: found for found in dissect(run, draws=2)}
    return {}


def held_out_mape(run: Run, model: str) -> float:
    """Mean error (%) of a model on five held-out folds of a run; NaN where it has too few layers."""
    with suppress(AlphaflopsError):
        return score(run, model, "random", whole=False).mape_pct
    return float("nan")


def underestimated(run: Run) -> float | str:
    """Share of layers that take longer than α-FLOPs say (%), or why there is none.

    For the authors' data the published formula is judged. Elsewhere α-FLOPs are fitted to pipelined times and judged on
    times of single calls, as the replication did.
    """
    times = run.table["latency_ms"].to_numpy()
    if run.id == AUTHORS:
        return float(100 * np.mean(times > published_ms(run.table)))
    block = pipelined_ms(run)
    if block is None:
        return "the run has no pipelined times, or not of every layer"
    f = features(run.table)
    predict, _ = fitted("alpha", f, block, residual="log")
    return float(100 * np.mean(times > predict(f)))


def pipelined_ms(run: Run) -> NDArray[np.float64] | None:
    """Pipelined time of each layer, shape ``(n,)`` (ms); None where not every layer has one."""
    if "throughput_ms" not in run.table or run.table["throughput_ms"].isna().any():
        return None
    return run.table["throughput_ms"].to_numpy(dtype=np.float64)


def in_a_row(run: Run) -> Run:
    """Give a run with the times of calls in a row in place of single ones; itself where not every layer has one."""
    if pipelined_ms(run) is None:
        return run
    parts = ("ms", "low_ms", "high_ms", "n")  # a CSV file has the first only
    times = {f"latency_{part}": run.table.get(f"throughput_{part}", np.nan) for part in parts}
    return Run.made(run.meta, run.table.assign(**times), run.samples)


def jumping_lines(run: Run) -> float:
    """Share of the lines of the replication's fine grids that jump more than noise would (%).

    Calls in a row are judged where there are any. NaN where no line has `LEAST_STEPS` small steps; see `jumping`.
    """
    found = [result.more_than_noise for part in lines(in_a_row(run), FINE) if (result := jumping(part)) is not None]
    return float(100 * np.mean(found)) if found else float("nan")


@dataclass(frozen=True)
class Jumping:
    """Lasting jumps of one line, beside those of series that have its noise and no jump.

    Parameters
    ----------
    count : int
        Jumps of the line.
    noise : ndarray
        Jumps of each of `SHUFFLES` series without any.
    """

    count: int
    noise: NDArray[np.int64]

    @property
    def more_than_noise(self) -> bool:
        """Whether the line has at least `JUMPS_PER_LINE`, and more than 19 in 20 of the series."""
        return self.count >= JUMPS_PER_LINE and self.count > float(np.quantile(self.noise, 0.95))


def jumping(line: pd.DataFrame) -> Jumping | None:
    """Count the jumps of one line and of series with its noise; None where it has too few small steps.

    The noise of a point is its distance from the median of its neighbours, which a lasting step leaves alone. The
    distances are shuffled among points that are near each other and put on a smooth curve through the line.
    """
    count, times_ms = (line[name].to_numpy(dtype=float) for name in ("macs", "time_ms"))
    factors = step_factors(count, times_ms)
    if factors is None:
        return None
    work, times = np.log(count), np.log(times_ms)
    neighbours = ndimage.generic_filter(times, np.median, footprint=[1] * SIDE + [0] + [1] * SIDE, mode="mirror")
    distance, smooth = (times - neighbours) / OWN_AND_MEDIAN, np.polyval(np.polyfit(work, times, 3), work)
    random, blocks = np.random.default_rng(0), np.array_split(distance, max(1, len(distance) // NEARBY))
    shuffled = [smooth + np.concatenate([*map(random.permutation, blocks)]) for _ in range(SHUFFLES)]
    noise = step_factors(count, np.exp(shuffled))
    return Jumping(int(jump_starts(factors).sum()), jump_starts(noise).sum(axis=-1))


def jump_starts(factors: Any) -> Any:
    """Tell at which rows a jump begins, neighbouring ones counted once; `factors` as given by `step_factors`."""
    over = factors > CLEAR
    return over & ~np.insert(over[..., :-1], 0, False, axis=-1)


def step_factors(count: Any, time_ms: Any) -> Any:
    """Factor by which time changes from before each row to after it, up or down, where FLOPs hardly change.

    Parameters
    ----------
    count : array of shape (n,)
        Work of each row, such as MAC.
    time_ms : array of shape (..., n)
        Of one series or of many.

    Returns
    -------
    array of the shape of `time_ms`, or None
        From medians of `SIDE` points on each side; 1 at steps that are not small. None where too few steps are.
    """
    small = (count[1:] / count[:-1] <= SMALL_STEP)[SIDE - 1 : 1 - SIDE]
    if np.count_nonzero(small) < LEAST_STEPS:
        return None
    medians = np.median(sliding_window_view(time_ms, SIDE, axis=-1), axis=-1)
    ratio, factors = medians[..., SIDE:] / medians[..., :-SIDE], np.ones(np.shape(time_ms))
    factors[..., SIDE : 1 - SIDE] = np.where(small, np.maximum(ratio, 1 / ratio), 1)
    return factors
