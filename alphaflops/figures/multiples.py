"""Small multiples: one experiment, one small panel per machine, each with its own scale of time."""

import math
from typing import TYPE_CHECKING

from . import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 2
"""Panels beside each other: more would be too small on a phone."""
DPI = 135
"""Less than elsewhere: a page shows eight of these, and must stay light with a reader's machines too."""


@style.styled
def draw_multiples(frame: "pd.DataFrame", x_label: str, *, log: bool = False) -> "Figure":
    """Draw one experiment on every machine, shapes side by side.

    Parameters
    ----------
    frame : DataFrame
        As given by `frames.sweep`.
    x_label : str
        Name and unit of the swept value.
    log : bool
        Logarithmic axes; otherwise times start at 0.

    Returns
    -------
    Figure
        Per panel and line one measured curve (label: the line) and one dashed (label: ``"line, predicted"``).
    """
    import matplotlib.pyplot as plt

    runs = list(dict.fromkeys(frame["run"]))
    runs = [run for run in style.MACHINES if run in runs] + [run for run in runs if run not in style.MACHINES]
    rows = math.ceil(len(runs) / ACROSS)
    size = (style.WIDTH_IN, 0.75 + 1.85 * rows)
    figure, grid = plt.subplots(rows, ACROSS, figsize=size, dpi=DPI, sharex=True, squeeze=False)
    colours = style.machine_colours(runs)
    for ax, run in zip(grid.flat, runs, strict=False):
        part = frame[frame["run"] == run]
        _panel(ax, part, log)
        ax.set_title(_short(str(part["machine"].iloc[0])), fontsize=9, color=style.darker(colours[run]))
    for ax in list(grid.flat)[len(runs) :]:
        ax.set_visible(False)
        list(grid.flat)[len(runs) - ACROSS].xaxis.set_tick_params(labelbottom=True)
    figure.supxlabel(x_label, fontsize=9)
    figure.supylabel("time (ms)", fontsize=9)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    measured = [(h, text) for h, text in zip(handles, labels, strict=True) if not text.endswith(", predicted")]
    figure.legend(*zip(*measured, strict=True), loc="outside upper center", ncols=3, frameon=False, fontsize=8)
    return figure


def _panel(ax: "Axes", part: "pd.DataFrame", log: bool) -> None:
    for colour, (label, line) in zip(style.LINES, part.groupby("line", sort=False), strict=False):
        ax.plot(line["x"], line["time_ms"], marker="o", ms=2, lw=1.1, color=colour, label=label)
        ax.plot(line["x"], line["predicted_ms"], ls=(0, (4, 2)), lw=0.9, color=colour, label=f"{label}, predicted")
    if log:
        ax.set(xscale="log", yscale="log")
        style.plain_ticks(ax)
    else:
        ax.set_ylim(0, 1.05 * max(part["time_ms"].max(), part["predicted_ms"].max()))
    ax.tick_params(labelsize=8)


def _short(text: str, most: int = 26) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
