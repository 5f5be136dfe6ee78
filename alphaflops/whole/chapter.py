"""The frames, the figure and the sentences of the book's chapter on whole networks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from ..calibrate import Calibration, calibrate
from ..datasets import load
from ..errors import AlphaflopsError
from ..figures.style import darker, machine_colours, panels, plain_ticks, styled, title
from ..paths import data_folder
from .api import find_calibration, report_on
from .operators import operators_folder, read_operators
from .zoo import NETWORKS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from ..network import Network

MEASURES: Final = {
    "params": "parameters",
    "macs": "MACs",
    "alpha_flops": "α-FLOPs",
    "bytes": "bytes",
    "predicted_ms": "predicted time",
}
"""Columns that are ranked against measured time, and their names in prose."""


def measured_networks() -> list[str]:
    """List the runs for which whole networks were measured too, by run id."""
    return sorted(path.stem for path in (data_folder() / "networks").glob("cpu-*.csv"))


def _measured(run: str) -> "pd.DataFrame":
    import pandas as pd

    path = data_folder() / "networks" / f"{run}.csv"
    if not path.is_file():
        raise AlphaflopsError(
            f"no networks were measured for run {run!r}: choose from {', '.join(measured_networks())}"
        )
    return pd.read_csv(path).set_index("network")


def traced() -> "dict[str, Network]":
    """Trace the networks of the book on the meta device, built with one seed."""
    import torch

    from ..network import trace

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return {name: trace(make().eval(), shape) for name, (make, shape) in NETWORKS.items()}


def _calibrated(run: str) -> Calibration:
    for name in (run, f"{run}-best"):
        if (data_folder() / "calibrations" / f"{name}.json").is_file():
            found = find_calibration(name)
            if found.model == "best":
                return found
    return calibrate(load(run), "best", draws=2)


def comparison(networks: "dict[str, Network]", runs: Sequence[str]) -> "pd.DataFrame":
    """Predict every network for every run and put the measured time beside it.

    Returns
    -------
    DataFrame
        ``run, network`` and the totals of a report, ``measured_ms, error`` (predicted over measured, minus 1).
    """
    import pandas as pd

    rows = []
    for run in runs:
        calibration, measured = _calibrated(run), _measured(run)["latency_ms"]
        path = operators_folder() / f"{run}.json"
        operators = read_operators(path) if path.is_file() else None
        for name, network in networks.items():
            totals = report_on(network, calibration, operators).total()
            rows.append({"run": run, "network": name, **totals, "measured_ms": float(measured[name])})
    frame = pd.DataFrame(rows)
    return frame.assign(error=frame["predicted_ms"] / frame["measured_ms"] - 1)


def correlations(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Spearman rank correlation of each measure with measured time, one row per measure and one column per run."""
    import pandas as pd

    columns = {
        run: {label: part[name].corr(part["measured_ms"], method="spearman") for name, label in MEASURES.items()}
        for run, part in frame.groupby("run", sort=False)
    }
    return pd.DataFrame(columns)


@styled
def draw_comparison(frame: "pd.DataFrame") -> "Figure":
    """Draw predicted against measured time, one panel per run, with intervals and the line of equality."""
    runs = list(dict.fromkeys(frame["run"]))
    figure, axes = panels(len(runs), 3.2)
    colours = machine_colours(runs)
    for axis, run in zip(axes, runs, strict=True):
        part = frame[frame["run"] == run]
        ends = np.abs(part[["low_ms", "high_ms"]].to_numpy().T - part["predicted_ms"].to_numpy())
        axis.errorbar(part["measured_ms"], part["predicted_ms"], ends, fmt="o", color=colours[run], capsize=2)
        limits = [0.6 * part["measured_ms"].min(), 1.9 * part["measured_ms"].max()]
        axis.plot(limits, limits, color="#8a8a8a", lw=0.8, zorder=0)
        axis.set(xscale="log", yscale="log", ylabel="predicted (ms)")
        for row in part.itertuples():
            axis.annotate(row.network, (row.measured_ms, row.predicted_ms), (6, -9), textcoords="offset points",
                          fontsize=8.5, color=darker(colours[run]))  # fmt: skip
        plain_ticks(axis)
        title(axis, run, colour=colours[run])
    axes[-1].set_xlabel("measured (ms)")
    return figure


def accuracy(frame: "pd.DataFrame") -> list[str]:
    """Say how far predictions are off, per run."""
    sentences = []
    for run, part in frame.groupby("run", sort=False):
        size = part["error"].abs()
        worst = part.loc[size.idxmax()]
        inside = ((part["measured_ms"] >= part["low_ms"]) & (part["measured_ms"] <= part["high_ms"])).sum()
        sentences.append(
            f"**{run}**: median absolute error {size.median():.1%} over {len(part)} networks, largest "
            f"{worst['error']:+.1%} ({worst['network']}); {inside} of {len(part)} measured times lie in the interval."
        )
    return sentences


def ranking(frame: "pd.DataFrame") -> list[str]:
    """Say which measure orders the networks best, per run."""
    table = correlations(frame)
    return [
        f"**{run}**: rank correlation with measured time is "
        + ", ".join(f"{value:.2f} for {name}" for name, value in table[run].items())
        + "."
        for run in table
    ]


def depthwise_case(frame: "pd.DataFrame", small: str = "MobileNetV2", large: str = "ResNet-18") -> list[str]:
    """Say how much of the saving in MACs becomes a saving in time, where depthwise layers replace full ones."""
    sentences = []
    for run, part in frame.groupby("run", sort=False):
        rows = part.set_index("network")
        macs, time = (float(rows.loc[large, name] / rows.loc[small, name]) for name in ("macs", "measured_ms"))
        sentences.append(
            f"**{run}**: {small} has {macs:.1f} times fewer MACs than {large} and is {time:.1f} times faster."
        )
    return sentences


def shown(frame: "pd.DataFrame") -> str:
    """Give the comparison as a Markdown table."""
    lines = ["| run | network | parameters (M) | MACs (G) | α-FLOPs (G) | measured (ms) | predicted (ms) | error |",
             "|---|---|---:|---:|---:|---:|---:|---:|"]  # fmt: skip
    for row in frame.itertuples():
        lines.append(
            f"| {row.run} | {row.network} | {row.params / 1e6:.1f} | {row.macs / 1e9:.2f} "
            f"| {row.alpha_flops / 1e9:.3f} | {row.measured_ms:.1f} | {row.predicted_ms:.1f} | {row.error:+.1%} |"
        )
    return "\n".join(lines)


def counters() -> "pd.DataFrame":
    """Give the stored comparison of counters: ratio to this library's MACs by network and tool."""
    import pandas as pd

    rows = pd.read_csv(data_folder() / "networks" / "counters.csv")
    rows["tool"] = rows["tool"] + " " + rows["version"].fillna("") + " (" + rows["name"] + ")"
    return rows.pivot_table(index="network", columns="tool", values="ratio_to_macs", sort=False)
