"""What the 2026 replication's package does differently, each difference shown by a computation.

All observations are about github.com/enriquebarba97/alpha-flops-replication @ 203010e, files ``replication.py`` and
``regression.py``.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from .. import experiments
from ..claims.statistics import pipelined_ms
from ..costs.alpha import (
    PAPER_T2000,
    REPLICATION_RTX4090,
    AlphaConstants,
    alpha,
    kernel_area,
    published_ms,
    spatial_size,
)
from ..errors import AlphaflopsError
from ..layers import Conv2d, macs, to_table
from .findings import between, number

if TYPE_CHECKING:
    import pandas as pd

    from ..runs import Run

Array = NDArray[np.float64]
START: Final = (0.01, 0.8, 0.3)
LOW, HIGH = (0.0, 0.0, 0.0), (2.0, 2.0, 2.0)
TWINS: Final = {
    "A": "conv_fixed_progressive",
    "B": "conv_K_vs_S",
    "C": "conv_K_vs_C",
    "D": "increasing_W",
    "E": "increasing_Cout",
    "F": "increasing_Cout_with_K1",
    "G": "increasing_Cin",
}
"""Experiments of the replication and those of the paper that sweep the same sizes."""
SWEPT: Final = "ABC"
"""Experiments that are short enough for a panel each; D to G have a point for every column or channel."""
SAME: Final = 1.1
"""Factor within which two errors are called about the same."""


def errors_with_one_factor(table: "pd.DataFrame", constants: AlphaConstants) -> Array:
    """Relative error of α-FLOPs with given constants, after one factor for the machine's speed (%).

    The factor makes the median of predicted over measured time 1, so that constants of another machine are judged by
    their shape. Shape ``(n,)``.
    """
    ratio = published_ms(table, constants) / table["latency_ms"].to_numpy()
    return np.asarray(100 * (ratio / np.median(ratio) - 1))


def constants_compared(runs: "Sequence[Run]") -> "pd.DataFrame":
    """Compare both sets of constants, and both readings of K, on each run.

    Returns
    -------
    DataFrame
        One row per run and set: ``run, machine, constants, median_ape_pct, factor``; ``factor`` is measured over
        predicted time in the median.
    """
    import pandas as pd

    sets = {
        "authors (area)": PAPER_T2000,
        "authors, K read as side": replace(PAPER_T2000, side=True),
        "replication (side)": REPLICATION_RTX4090,
        "replication, K read as area": replace(REPLICATION_RTX4090, side=False),
    }
    rows = []
    for run in runs:
        table = _paper_layers(run)
        for name, constants in sets.items():
            ratio = published_ms(table, constants) / table["latency_ms"].to_numpy()
            ape = np.abs(errors_with_one_factor(table, constants))
            row = {"run": run.id, "machine": run.machine, "constants": name, "median_ape_pct": float(np.median(ape))}
            rows.append(row | {"factor": float(1 / np.median(ratio))})
    return pd.DataFrame(rows)


def _paper_layers(run: "Run") -> "pd.DataFrame":
    table = run.ok.table
    kept = table[table["experiment"].isin([e.name for e in (*experiments.PAPER, *experiments.REPLICATION)])]
    return kept if len(kept) else table


def fit_like_replication(table: "pd.DataFrame", times_ms: Array) -> Array:
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
            tiny = 1e-12  # the search may touch its bound of 0, where constants are refused
            c = AlphaConstants(*(2 * (beta + tiny, gamma + tiny, scale + tiny)), side=True, source="fitted")
            return np.asarray(scale * alpha(s[rows], area[rows], c) * x)

        found, _ = curve_fit(formula, done[group], times_ms[group], p0=START, bounds=(LOW, HIGH))
        predicted[group] = formula(done[group], *found)
    return predicted


def protocols(run: "Run") -> "pd.DataFrame | None":
    """Fit α-FLOPs to pipelined or to per-call times and judge both on per-call times; None without pipelined times.

    Returns
    -------
    DataFrame
        Two rows: ``machine, fitted_to, judged_on, median_ape_pct, under_pct`` (layers slower than predicted, %) and
        ``small_under_pct``, the same among the fastest quarter of the layers.
    """
    import pandas as pd

    table, block = run.ok.table, pipelined_ms(run.ok)
    if block is None:
        return None
    judged = table["latency_ms"].to_numpy()
    small = judged <= np.quantile(judged, 0.25)
    rows = []
    for name, times in (("pipelined block", block), ("single calls", judged)):
        predicted = fit_like_replication(table, times)
        known = np.isfinite(predicted)
        under = judged > predicted
        ape = 100 * np.abs(predicted[known] / judged[known] - 1)
        rows.append(
            {
                "machine": run.machine,
                "fitted_to": name,
                "judged_on": "single calls",
                "median_ape_pct": float(np.median(ape)),
                "under_pct": float(100 * under[known].mean()),
                "small_under_pct": float(100 * under[known & small].mean()),
            }
        )
    return pd.DataFrame(rows)


def overhead(run: "Run") -> "pd.DataFrame | None":
    """Per-call time minus pipelined time of each layer (ms, column ``overhead_ms``); None without pipelined times."""
    table = run.ok.table
    if pipelined_ms(run.ok) is None:
        return None
    found = table[["latency_ms", "throughput_ms"]].assign(run=run.id, machine=run.machine)
    return found.assign(overhead_ms=found["latency_ms"] - found["throughput_ms"])


def plotted_b() -> "pd.DataFrame":
    """Predictions of experiment B for the layers measured and for those that the plot evaluates.

    `collect_experiment_B` measures H = W = round(300/K); `plot_experiment_B` predicts for H = W = round(Cin/K).

    Returns
    -------
    DataFrame
        ``line, x`` (kernel side), ``measured_side, plotted_side`` (positions), ``measured_ms`` (prediction for the
        measured layer), ``plotted_ms`` (prediction as plotted) with the replication's constants, and ``factor``.
    """
    return _plotted("replication_B", _side_over_kernel)


def plotted_e() -> "pd.DataFrame":
    """Predictions of experiment E for the layers measured and for those that the plot evaluates.

    `collect_experiment_E` measures 100×100 inputs with Cout channels out; `plot_experiment_E` predicts for S = Cout·H
    and counts FLOPs with W = Cout and Cout = Cin. Columns as for `plotted_b`, ``x`` being Cout.
    """
    return _plotted("replication_E", _width_is_cout)


def _side_over_kernel(layer: Conv2d) -> Conv2d:
    side = round(layer.in_channels / layer.sides[0])
    return replace(layer, height=side, width=side)


def _width_is_cout(layer: Conv2d) -> Conv2d:
    return replace(layer, width=layer.out_channels, out_channels=layer.in_channels)


def _plotted(name: str, evaluated: Callable[[Conv2d], Conv2d]) -> "pd.DataFrame":
    import pandas as pd

    found = [(line.label, x, layer) for line in experiments.find(name).lines for x, layer in line.points]
    rows = [(label, x, layer) for label, x, layer in found if isinstance(layer, Conv2d)]
    layers = [layer for _, _, layer in rows]
    other = [evaluated(layer) for layer in layers]
    frame = pd.DataFrame([(line, x) for line, x, _ in rows], columns=["line", "x"]).assign(
        measured_side=[layer.width for layer in layers],
        plotted_side=[layer.width for layer in other],
        measured_ms=_predicted(layers),
        plotted_ms=_predicted(other),
    )
    return frame.assign(factor=frame["plotted_ms"] / frame["measured_ms"])


def _predicted(layers: Sequence[Conv2d]) -> Array:
    return published_ms(to_table(layers), REPLICATION_RTX4090)


def measured(runs: "Sequence[Run]", letters: str = SWEPT) -> "pd.DataFrame":
    """Gather the replication's coarse experiments, where runs hold them point for point, beside its prediction.

    Returns
    -------
    DataFrame
        One row per layer: ``letter, run, machine, line, x, time_ms, predicted_ms``; the prediction has the
        replication's constants and one factor per run, so that the median of measured over predicted time is 1.

    Raises
    ------
    AlphaflopsError
        If no run holds any of them.
    """
    import pandas as pd

    wanted = {e.name: e.figure for e in experiments.REPLICATION if e.figure in letters}
    parts = []
    for run in runs:
        table = run.ok.table
        table = table[table["experiment"].isin(list(wanted))]
        if table.empty:
            continue
        predicted = published_ms(table, REPLICATION_RTX4090)
        factor = float((table["latency_ms"] / predicted).median())
        shown = table[["line", "x"]].assign(time_ms=table["latency_ms"], predicted_ms=factor * predicted)
        parts.append(shown.assign(letter=table["experiment"].map(wanted), run=run.id, machine=run.machine))
    if not parts:
        raise AlphaflopsError(f"no run holds an experiment among {letters}: measure the profile fine")
    return pd.concat(parts, ignore_index=True)


def told_plotted(frame: "pd.DataFrame", letter: str) -> str:
    """Say how far the plotted predictions of an experiment are from those for the measured layers."""
    low = float((frame["factor"] < 1).mean())
    return (
        f"In experiment {letter} the plotted prediction is {between(frame['factor'])} times the one for the layer that "
        f"was measured, {number(frame['factor'].median())} times in the median. It is lower at {number(100 * low)} % "
        "of the points."
    )


def told_protocols(frame: "pd.DataFrame") -> str:
    """Say what fitting pipelined times does to predictions of single calls; `frame` as given by `protocols`."""
    block, calls = frame.iloc[0], frame.iloc[1]
    change = block["median_ape_pct"] / calls["median_ape_pct"]
    effect = "about the same" if 1 / SAME < change < SAME else "worse" if change > 1 else "better"
    return (
        f"**{block['machine']}**: fitted to pipelined blocks, {number(block['under_pct'])} % of single calls take "
        f"longer than predicted ({number(block['small_under_pct'])} % of the fastest quarter); fitted to single calls, "
        f"{number(calls['under_pct'])} % ({number(calls['small_under_pct'])} %). The median error is {effect}: "
        f"{number(block['median_ape_pct'])} % against {number(calls['median_ape_pct'])} %."
    )


def told_overhead(frame: "pd.DataFrame") -> str:
    """Say how far single calls and pipelined calls differ on a machine; `frame` as given by `overhead`."""
    gap, share = frame["overhead_ms"], 100 * (frame["latency_ms"] / frame["throughput_ms"] - 1)
    way = "more" if gap.median() >= 0 else "less"
    return (
        f"**{frame['machine'].iloc[0]}**: a single call takes {number(1000 * abs(gap.median()))} µs {way} than a "
        f"pipelined one in the median, {number(abs(share.median()))} % of the time."
    )


def told_constants(frame: "pd.DataFrame") -> list[str]:
    """Say per machine what other constants and the other reading of K do; `frame` as given by `constants_compared`."""
    told = []
    for machine, part in frame.groupby("machine", sort=False):
        error = part.set_index("constants")["median_ape_pct"]
        names = list(error.index)
        told.append(
            f"**{machine}**: median error {number(error[names[0]])} % with the authors' constants and "
            f"{number(error[names[2]])} % with the replication's. Reading K the other way gives "
            f"{number(error[names[1]])} % and {number(error[names[3]])} %."
        )
    return told


def told_experiments(runs: "Sequence[Run]") -> list[str]:
    """Say per run which experiments of the replication it holds, point for point or as the paper's twin."""
    sentences = []
    for run in runs:
        held = set(run.ok.table["experiment"])
        own = [e.figure for e in experiments.REPLICATION if e.name in held]
        twins = [letter for letter, name in TWINS.items() if name in held]
        parts = [f"{', '.join(own)} point for point"] if own else []
        parts += [f"the paper's twins of {', '.join(twins)}"] if twins else []
        sentences.append(f"**{run.machine}** (`{run.id}`): {'; '.join(parts) or 'none of them'}.")
    return sentences
