"""What the 2026 replication's package does differently, each difference as a computation.

All observations are about github.com/enriquebarba97/alpha-flops-replication @ 203010e, files ``replication.py`` and
``regression.py``.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import experiments
from ..claims import statistics
from ..costs.alpha import PAPER_T2000, REPLICATION_RTX4090, alpha, kernel_area, published_ms, spatial_size
from ..layers import as_table, macs
from ..runs import Run

Array = NDArray[np.float64]
START: Final = (0.01, 0.8, 0.3)
LOW, HIGH = (0.0, 0.0, 0.0), (2.0, 2.0, 2.0)


def constants_compared(runs: Iterable[Run]) -> pd.DataFrame:
    """Compare both sets of constants, and both readings of K, on each run.

    Constants of one machine say nothing about the speed of another, so predictions are multiplied by one factor for
    each run, which makes their median ratio to measured times 1.

    Returns
    -------
    DataFrame
        One row per run and set: ``machine, constants, median_ape_pct`` (%).
    """
    sets = {
        "authors": PAPER_T2000,
        "authors, K as side": replace(PAPER_T2000, side=True),
        "replication": REPLICATION_RTX4090,
        "replication, K as area": replace(REPLICATION_RTX4090, side=False),
    }
    rows = []
    for run in runs:
        for name, constants in sets.items():
            ratio = published_ms(run.ok.table, constants) / run.ok.table["latency_ms"].to_numpy()
            error = float(np.median(np.abs(ratio / np.median(ratio) - 1)))
            rows.append({"machine": run.machine, "constants": name, "median_ape_pct": 100 * error})
    return pd.DataFrame(rows)


def plotted() -> pd.DataFrame:
    """Predict experiments B and E for the layers that were measured and for those that the plots evaluate.

    `collect_experiment_B` measures H = W = round(300/K), `plot_experiment_B` predicts for H = W = round(Cin/K);
    `collect_experiment_E` measures 100×100 inputs with Cout channels out, `plot_experiment_E` predicts for S = Cout·H
    and counts FLOPs with W = Cout and Cout = Cin.

    Returns
    -------
    DataFrame
        ``panel, line, x``, ``time_ms`` (prediction for the measured layer, with the replication's constants),
        ``predicted_ms`` (prediction as plotted) and ``factor`` between them.
    """
    parts = []
    for letter in "BE":
        measured = experiments.grid(letter)
        if letter == "B":
            side = [round(cin / k) for cin, k in zip(measured["in_channels"], measured["k1"], strict=True)]
            evaluated = measured.assign(height=side, width=side)
        else:
            evaluated = measured.assign(width=measured["out_channels"], out_channels=measured["in_channels"])
        ours, theirs = (published_ms(as_table(layers), REPLICATION_RTX4090) for layers in (measured, evaluated))
        panel = f"experiment {letter}: {experiments.find(f'replication_{letter}').x_label}"
        part = measured[["line", "x"]].assign(panel=panel, time_ms=ours, predicted_ms=theirs, factor=theirs / ours)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def fit_like_replication(table: pd.DataFrame, times_ms: Array) -> Array:
    """Fit α-FLOPs as ``regression.py`` does and predict each layer, shape ``(n,)`` (ms).

    β, γ and a scale for K = 1 and another three for K > 1, by plain least squares in milliseconds, no constant, K the
    kernel's side. A group with fewer layers than constants keeps NaN.
    """
    from scipy.optimize import curve_fit

    area, s, done = kernel_area(table), spatial_size(table), macs(table) / 1e6
    predicted = np.full(len(table), np.nan)
    for group in (area == 1, area > 1):
        if group.sum() < len(START):
            continue

        def formula(x: Array, beta: float, gamma: float, scale: float, rows: Any = group) -> Array:
            tiny = 1e-12  # the search may touch its bound of 0, where S < S_K would give nothing
            return np.asarray(scale * alpha(s[rows], np.sqrt(area[rows]), beta + tiny, gamma) * x)

        found, _ = curve_fit(formula, done[group], times_ms[group], p0=START, bounds=(LOW, HIGH))
        predicted[group] = formula(done[group], *found)
    return predicted


def protocols(run: Run) -> pd.DataFrame | None:
    """Fit α-FLOPs to pipelined or to per-call times and judge both on per-call times; None without pipelined times.

    Returns
    -------
    DataFrame
        Two rows: ``machine``, ``fitted to``, ``median_ape_pct``, ``under_pct`` (layers slower than predicted, %) and
        ``small_under_pct``, the same among the fastest quarter of the layers.
    """
    table, block = run.ok.table, statistics.pipelined_ms(run.ok)
    if block is None:
        return None
    judged = table["latency_ms"].to_numpy(dtype=float)
    small = judged <= np.quantile(judged, 0.25)
    rows = []
    for name, times in (("pipelined calls", block), ("single calls", judged)):
        predicted = fit_like_replication(table, times)
        known, under = np.isfinite(predicted), judged > predicted
        error = np.median(100 * np.abs(predicted[known] / judged[known] - 1))
        rows.append((run.machine, name, error, 100 * under[known].mean(), 100 * under[known & small].mean()))
    return pd.DataFrame(rows, columns=["machine", "fitted to", "median_ape_pct", "under_pct", "small_under_pct"])


def jumping(runs: Iterable[Run]) -> pd.DataFrame:
    """Count the lasting jumps of each fine line, beside those of series that have its noise and no jump.

    Returns
    -------
    DataFrame
        One row per line with enough small steps: ``machine, experiment, line, jumps`` and ``noise_low, noise_median,
        noise_high`` (90 % of the series).
    """
    rows = []
    for run in runs:
        for part in statistics.lines(run.ok, statistics.FINE):
            if (found := statistics.jumping(part)) is not None:
                line, noise = part.iloc[0], np.quantile(found.noise, (0.05, 0.5, 0.95))
                rows.append((run.machine, line["experiment"], line["line"], found.count, *noise))
    columns = ["machine", "experiment", "line", "jumps", "noise_low", "noise_median", "noise_high"]
    return pd.DataFrame(rows, columns=columns)
