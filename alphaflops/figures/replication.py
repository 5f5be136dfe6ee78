"""Draw what the 2026 replication plots against what it measures, and what its way of timing changes."""

from typing import TYPE_CHECKING

import numpy as np

from . import style

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.figure import Figure

TITLES = {"A": "equal FLOPs", "B": "the input shrinks", "C": "the channels shrink"}
X_LABELS = {"A": "scale of the channels (times the first)", "B": "kernel side (pixels)", "C": "kernel side (pixels)"}


@style.styled
def draw_plotted(frames: "dict[str, pd.DataFrame]", x_labels: "Sequence[str]") -> "Figure":
    """Draw the replication's predictions for the layers it measured and for those that its plot evaluates.

    Parameters
    ----------
    frames : dict
        Title of a panel and its frame, as given by `alphaflops.study.replication.plotted_b` and ``plotted_e``.
    x_labels : sequence of str
        Name and unit of each panel's swept value.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(frames), 1, figsize=(style.WIDTH_IN, 0.3 + 2.7 * len(frames)), squeeze=False)
    for ax, (name, frame), x_label in zip(axes[:, 0], frames.items(), x_labels, strict=True):
        ends = []
        for colour, (line, part) in zip(style.LINES, frame.groupby("line", sort=False), strict=False):
            ax.plot(part["x"], part["measured_ms"], color=colour, label=line)
            ax.plot(part["x"], part["plotted_ms"], color=colour, ls=(0, (4, 2)), label=f"{line}, as plotted")
            ends.append((str(line), float(part["x"].iloc[-1]), float(part["measured_ms"].iloc[-1]), colour))
        ax.set(yscale="log", ylabel="predicted time (ms)", xlabel=x_label)
        ax.set_ylim(max(float(frame["plotted_ms"].quantile(0.02)), 1e-4) / 1.5, frame["measured_ms"].max() * 2)
        style.plain_ticks(ax, "y")
        style.title(ax, name, "solid: for the layers measured; dashed: as the plot evaluates it")
        style.label_ends(ax, ends, gap=0.09)
    return figure


@style.styled
def draw_experiments(frame: "pd.DataFrame") -> "Figure":
    """Draw the replication's experiments as a machine measured them, its prediction dashed, one panel for each.

    Parameters
    ----------
    frame : DataFrame
        As given by `alphaflops.study.replication.measured`.
    """
    import matplotlib.pyplot as plt

    groups = [part for _, part in frame.groupby(["run", "letter"], sort=False)]
    figure, axes = plt.subplots(len(groups), 1, figsize=(style.WIDTH_IN, 0.3 + 2.4 * len(groups)), squeeze=False)
    colours = style.machine_colours(list(dict.fromkeys(frame["run"])))
    for ax, part in zip(axes[:, 0], groups, strict=True):
        ends = []
        for colour, (line, rows) in zip(style.LINES, part.groupby("line", sort=False), strict=False):
            ax.plot(rows["x"], rows["time_ms"], marker="o", color=colour, label=line)
            ax.plot(rows["x"], rows["predicted_ms"], ls=(0, (4, 2)), lw=1.1, color=colour, label=f"{line}, predicted")
            ends.append((str(line), float(rows["x"].iloc[-1]), float(rows["time_ms"].iloc[-1]), colour))
        letter = str(part["letter"].iloc[0])
        ax.set(xscale="log", yscale="log", ylabel="time (ms)", xlabel=X_LABELS[letter])
        ax.grid(True, axis="both")
        style.plain_ticks(ax)
        note = f"{part['machine'].iloc[0]}; dashed: predicted"
        style.title(ax, f"Experiment {letter}: {TITLES[letter]}", note, colours[str(part["run"].iloc[0])])
        style.label_ends(ax, ends, gap=0.1)
    return figure


@style.styled
def draw_constants(frame: "pd.DataFrame") -> "Figure":
    """Draw the error of each set of constants, one panel per machine; `frame` as given by ``constants_compared``."""
    runs = list(dict.fromkeys(frame["run"]))
    figure, axes = style.panels(len(runs), 1.25)
    for ax, run in zip(axes, runs, strict=True):
        part = frame[frame["run"] == run]
        rows = np.arange(len(part))[::-1]
        ax.barh(rows, part["median_ape_pct"], color=[style.BLUE, "#9cc7e3", style.BROWN, "#ead3bb"], height=0.68)
        for y, value in zip(rows, part["median_ape_pct"], strict=True):
            ax.annotate(f"{value:.0f} %", (value, y), (3, 0), textcoords="offset points", va="center", fontsize=9)
        ax.set_yticks(rows, part["constants"], fontsize=9)
        ax.grid(False)
        ax.tick_params(axis="y", length=0)
        style.title(ax, str(part["machine"].iloc[0]))
    axes[-1].set_xlabel("median error (%)")
    axes[-1].set_xlim(0, 1.15 * frame["median_ape_pct"].max())
    return figure


@style.styled
def draw_overhead(frames: "Sequence[pd.DataFrame]") -> "Figure":
    """Draw single-call time over pipelined time against pipelined time, one panel per run.

    Parameters
    ----------
    frames : sequence of DataFrame
        As given by ``alphaflops.study.replication.overhead``.
    """
    figure, axes = style.panels(len(frames), 1.9)
    colours = style.machine_colours([str(frame["run"].iloc[0]) for frame in frames])
    for ax, frame in zip(axes, frames, strict=True):
        run = str(frame["run"].iloc[0])
        ax.axhline(1, color=style.INK, lw=0.8)
        ratio = frame["latency_ms"] / frame["throughput_ms"]
        ax.scatter(frame["throughput_ms"], ratio, s=9, color=colours[run], alpha=0.6, lw=0)
        ax.set(xscale="log", ylabel="single call /\npipelined")
        low, high = float(ratio.quantile(0.005)), float(ratio.quantile(0.995))
        ax.set_ylim(min(0.8, low - 0.05), max(1.25, high + 0.1))
        style.title(ax, str(frame["machine"].iloc[0]), f"median {ratio.median():.3f}", colours[run])
    style.plain_ticks(axes[-1], "x")
    axes[-1].set_xlabel("pipelined time of a layer (ms)")
    return figure
