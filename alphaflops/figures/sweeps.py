"""Draw the paper's sweeps: measured times with the published prediction dashed, one panel per machine."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from . import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@style.styled
def draw_sweep(
    frame: "pd.DataFrame",
    x_label: str,
    x: str = "x",
    *,
    log: bool = False,
    height_in: float = style.PANEL_IN,
    told: Mapping[str, str] | None = None,
) -> "Figure":
    """Draw every line of an experiment, one panel per machine.

    Parameters
    ----------
    frame : DataFrame
        As given by `frames.sweep`.
    x_label : str
        Name and unit of the swept value.
    x : str
        Column on the x axis.
    log : bool
        Logarithmic axes; otherwise times start at 0.
    height_in : float
        Height of a panel (inches).
    told : mapping, optional
        What each machine's panel shows, in a few words that stand under its title.

    Returns
    -------
    Figure
        Per panel and line one measured curve (label: the line) and one dashed prediction (``"line, predicted"``).
    """
    runs = list(dict.fromkeys(sorted(frame["run"], key=lambda run: _rank(frame, run))))
    figure, axes = style.panels(len(runs), height_in)
    colours = style.machine_colours(runs)
    for ax, run in zip(axes, runs, strict=True):
        part = frame[frame["run"] == run]
        _panel(ax, part, x, log, height_in)
        _title(ax, part, colours[run], (told or {}).get(str(part["machine"].iloc[0]), ""))
        ax.set_ylabel("time (ms)")
    axes[-1].set_xlabel(x_label)
    return figure


def _rank(frame: "pd.DataFrame", run: str) -> int:
    fixed = list(style.MACHINES)
    further = [name for name in dict.fromkeys(frame["run"]) if name not in fixed]
    return [*fixed, *further].index(run)


def _panel(ax: "Axes", part: "pd.DataFrame", x: str, log: bool, height_in: float) -> None:
    ends = []
    for colour, (label, line) in zip(style.LINES, part.groupby("line", sort=False), strict=False):
        ax.plot(line[x], line["time_ms"], marker="o", color=colour, label=label)
        ax.plot(line[x], line["predicted_ms"], ls=(0, (4, 2)), lw=1.1, color=colour, label=f"{label}, predicted")
        if line["low_ms"].notna().any():
            ax.fill_between(line[x], line["low_ms"], line["high_ms"], color=colour, alpha=0.2, lw=0)
        ends.append((str(label), float(line[x].iloc[-1]), float(line["time_ms"].iloc[-1]), colour))
    if log:
        ax.set(xscale="log", yscale="log")
        style.plain_ticks(ax)
        ax.grid(True, axis="both")
    else:
        ax.set_ylim(0, 1.05 * max(part["time_ms"].max(), part["predicted_ms"].max()))
    style.label_ends(ax, ends, gap=0.24 / height_in)


def _title(ax: "Axes", part: "pd.DataFrame", colour: str, finding: str) -> None:
    factor = float(part["scale"].iloc[0])
    formula = "formula" if finding else "published formula"
    dashed = f"dashed: {formula}" + ("" if factor == 1 else f" × {factor:.2g}")
    style.title(ax, str(part["machine"].iloc[0]), "; ".join(filter(None, (finding, dashed))), colour)


@style.styled
def draw_equal_flops(frame: "pd.DataFrame", told: Mapping[str, str] | None = None) -> "Figure":
    """Draw layers of equal FLOPs as dots on a time axis, one panel per machine.

    Parameters
    ----------
    frame : DataFrame
        As given by `frames.equal_flops`.
    told : mapping, optional
        As for `draw_sweep`.

    Returns
    -------
    Figure
        Per panel a collection of measured times (filled), one of predictions (hollow diamonds), and a vertical line
        at the geometric mean: where all dots would lie if FLOPs told the time.
    """
    import numpy as np

    runs = list(dict.fromkeys(sorted(frame["run"], key=lambda run: _rank(frame, run))))
    figure, axes = style.panels(len(runs), 1.6 + 0.15 * bool(told))
    colours = style.machine_colours(runs)
    for ax, run in zip(axes, runs, strict=True):
        part = frame[frame["run"] == run]
        rows = np.arange(len(part))[::-1]
        mean = float(np.exp(np.log(part["time_ms"]).mean()))
        ax.axvline(mean, color=style.MODELS["macs"], lw=2.5, alpha=0.5)
        ax.hlines(rows, mean, part["time_ms"], color=colours[run], lw=1.2)
        ax.scatter(part["time_ms"], rows, s=42, color=colours[run], zorder=3)
        ax.scatter(part["predicted_ms"], rows, s=58, marker="D", facecolor="none", edgecolor=style.INK, zorder=4)
        ax.set_yticks(rows, part["line"])
        ax.set(xscale="log", ylim=(-0.6, len(part) - 0.4))
        ax.grid(True, axis="x")
        machine = str(part["machine"].iloc[0])
        style.title(ax, machine, (told or {}).get(machine, ""), colours[run])
    style.plain_ticks(axes[-1], "x")
    axes[-1].set_xlabel("time (ms), logarithmic")
    _key(figure)
    return figure


def _key(figure: "Figure") -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], ls="", marker="o", color=style.INK, label="measured"),
        Line2D([], [], ls="", marker="D", mfc="none", ms=6, mec=style.INK, label="α-FLOPs"),
        Line2D([], [], color=style.MODELS["macs"], lw=2.5, alpha=0.5, label="FLOPs alone"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False, fontsize=9)
