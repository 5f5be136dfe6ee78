"""The few kinds of figures of the book, each a grid with one panel per machine or experiment.

Each takes a tidy frame with the columns that its docstring names. Measured values are solid, predictions dashed.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from textwrap import fill
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from .. import experiments, style
from ..files import mathtext, one_line
from ..numbers import number

TITLE, LABEL, NARROW = 46, 33, 26
"""Characters in one line: of a panel's title, of a row's label, and of that where panels stand side by side."""


class _Panels(sns.FacetGrid):  # type: ignore[misc]
    def tight_layout(self, *_: Any, **__: Any) -> "_Panels":
        """Leave the layout to the style."""
        return self


def grid(
    frame: pd.DataFrame, by: str, height: float, *, across: int = 1, flush: bool = False, **settings: Any
) -> tuple[Figure, list[tuple[Axes, pd.DataFrame]]]:
    """Give a figure and its empty panels, one for each value of column `by`, each with its part of the frame.

    Parameters
    ----------
    frame : DataFrame
    by : str
        Column with a panel for each value, which is its title.
    height : float
        Of a panel (inches).
    across : int
        Panels side by side.
    flush : bool
        Titles begin at the figure's edge rather than at the panel's.
    **settings
        For `seaborn.FacetGrid`.
    """
    where: dict[str, Any] = {"col": by, "col_wrap": across}
    if "gridspec_kws" in settings:  # which seaborn takes for panels that are not wrapped
        where = {"row": by}
    shape = {"height": height, "aspect": style.WIDTH_IN / across / height, "despine": False}
    found = _Panels(frame, **where, **shape, **{"sharex": True, "sharey": False, **settings})
    for name, ax in found.axes_dict.items():
        text = fill(mathtext(one_line(name, 2 * TITLE)), TITLE)
        ax.set_title(" " if flush else text, loc="left")
        if flush:  # from the figure's edge, where a long title takes no width from the panel
            place: dict[str, Any] = {"xycoords": ("figure fraction", "axes fraction"), "textcoords": "offset points"}
            size, weight = plt.rcParams["axes.titlesize"], plt.rcParams["axes.titleweight"]
            ax.annotate(text, (0, 1), (2, 5), size=size, weight=weight, **place).set_in_layout(False)
    return found.figure, [(ax, frame[frame[by] == name]) for name, ax in found.axes_dict.items()]


def _colours(values: "pd.Series[Any]") -> dict[Any, str]:
    return dict(zip(dict.fromkeys(values), style.LINES, strict=False))


@style.styled
def lines(
    frame: pd.DataFrame, *, x: str = "x", y: str = "time_ms", x_label: str = "", y_label: str = "time (ms)",
    by: str = "machine", log: bool | None = None, height: float = 1.75, predicted: bool = True, marker: str = "o",
    key: bool = False,
) -> Figure:  # fmt: skip
    """Draw lines, solid, with their predictions, dashed: one panel for each value of `by`.

    Parameters
    ----------
    frame : DataFrame
        As given by `frames.sweep`, or any with ``line`` and the columns named. Where it has a ``floor_ms``, the floor
        of a call is dotted; points ``beyond`` the hardware are ringed; ``low_ms`` and ``high_ms`` become a band.
    x, y, by : str
        Columns: axes and panel.
    x_label, y_label : str
        With units; by default the swept value as the experiment names it.
    log : bool, optional
        Logarithmic axes; by default as the experiment asks.
    height : float
        Of a panel (inches).
    predicted : bool
        Whether to draw ``predicted_ms``.
    marker : str
        Of the points; none if empty.
    key : bool
        Name the lines above the panels instead of at their ends.
    """
    about = experiments.find(str(frame["experiment"].iloc[0])) if "experiment" in frame else None
    figure, panels = grid(frame, by, height, sharex=by == "machine")
    for ax, part in panels:
        drawn = part if predicted else part.drop(columns="predicted_ms", errors="ignore")
        ends = _lines(ax, drawn, x, y, marker)
        if bool(about and about.log) if log is None else log:
            ax.set(xscale="log", yscale="log")
        else:
            ax.set_ylim(0, 1.06 * part[y].max())
        if "floor_ms" in part and part["floor_ms"].iloc[0] > 0.3 * part[y].min():
            ax.axhline(part["floor_ms"].iloc[0], color=style.INK, ls=":", lw=1)
        style.plain_ticks(ax)
        ax.set(xlabel="", ylabel=y_label)
        if not key:
            style.label_ends(ax, ends, gap=0.24 / height)
    figure.axes[-1].set_xlabel(x_label or (about.x_label if about else x))
    if key:
        _key(figure, figure.axes[0].get_lines()[: frame["line"].nunique()], list(dict.fromkeys(frame["line"])))
    return figure


def _lines(ax: Axes, part: pd.DataFrame, x: str, y: str, marker: str) -> list[tuple[str, float, float, str]]:
    """Draw one panel's lines; returns the last point of each as `alphaflops.style.label_ends` takes it."""
    colours, ends = _colours(part["line"]), []
    look: dict[str, Any] = {"hue": "line", "palette": colours, "legend": False, "ax": ax, "errorbar": None}
    sns.lineplot(part, x=x, y=y, marker=marker or None, mew=0, **look)
    if "predicted_ms" in part:
        sns.lineplot(part, x=x, y="predicted_ms", linestyle=style.DASHES, lw=1.1, **look)
    for label, line in part.groupby("line", sort=False):
        colour, last = colours[label], line.sort_values(x, kind="stable").iloc[-1]
        if "low_ms" in line and line["low_ms"].notna().any():
            ax.fill_between(line[x], line["low_ms"], line["high_ms"], color=colour, alpha=0.2, lw=0)
        ends.append((str(label), float(last[x]), float(last[y]), colour))
    _ring(ax, part, x, y)
    return ends


def _ring(ax: Axes, part: pd.DataFrame, x: str, y: str) -> None:
    if "beyond" in part and part["beyond"].any():
        odd = part[part["beyond"]]
        ax.scatter(odd[x], odd[y], s=46, facecolor="none", edgecolor=style.INK, lw=1, zorder=5)


@style.styled
def points(
    frame: pd.DataFrame, x: str, y: str, hue: str, *, by: str, x_label: str, y_label: str, height: float = 1.9,
    identity: bool = False, roof: str | None = None,
) -> Figure:  # fmt: skip
    """Draw layers as points on logarithmic axes, coloured by class: one panel for each value of `by`.

    Parameters
    ----------
    frame : DataFrame
        With the columns named. Where it has ``beyond``, those points are ringed.
    x, y, hue, by : str
        Columns: axes, colour and panel.
    x_label, y_label : str
        With units.
    height : float
        Of a panel (inches).
    identity : bool
        Draw the line on which both axes agree.
    roof : str, optional
        Column that is drawn as a line, where it is known.
    """
    figure, panels = grid(frame, by, height, sharey=True)
    for ax, part in panels:
        for kind, colour in _colours(frame[hue]).items():
            rows = part[part[hue] == kind]
            ax.scatter(rows[x], rows[y], s=8, color=colour, alpha=0.5, lw=0, label=kind)
        ax.set(xscale="log", yscale="log", xlabel="", ylabel=y_label)
        if roof and part[roof].notna().any():
            ax.plot(*part.sort_values(x, kind="stable")[[x, roof]].to_numpy().T, color=style.INK, lw=1.8)
        if "beyond" in part and part["beyond"].sum() <= 40:
            _ring(ax, part, x, y)
        if identity:
            ends = [max(part[x].min(), part[y].min() / 2), min(part[x].max(), part[y].max())]
            ax.plot(ends, ends, color=style.INK, lw=1, zorder=1)
        style.plain_ticks(ax)
    figure.axes[-1].set_xlabel(x_label)
    _key(figure, *figure.axes[0].get_legend_handles_labels())
    return figure


def _key(figure: Figure, handles: Sequence[Any], labels: Sequence[str]) -> None:
    across = 3 if sum(sorted(map(len, labels))[-3:]) < 48 else 2  # characters in the widest row
    figure.set_figheight(figure.get_figheight() + 0.05 + 0.17 * -(-len(labels) // across))
    figure.legend(handles, labels, loc="outside upper center", ncols=across, fontsize=style.SMALL_PT, markerscale=1.3)


@style.styled
def dots(
    frame: pd.DataFrame, *, value: str, rows: str, by: str, x_label: str, hue: str | None = None,
    level: float | None = None, across: int = 2, log: bool = False,
) -> Figure:  # fmt: skip
    """Draw values as dots on rows, with their intervals: one panel for each value of `by`.

    Parameters
    ----------
    frame : DataFrame
        With the columns named, and ``low`` and ``high`` where intervals are known.
    value, rows, by : str
        Columns: the number drawn, what each row is, and the panel.
    x_label : str
        Name and unit of the number.
    hue : str, optional
        Column whose values tell marks and colours apart.
    level : float, optional
        Draw a vertical line there.
    across : int
        Panels side by side, which then share their rows.
    log : bool
        Logarithmic axis.
    """
    frame = frame.assign(_hue=frame[hue] if hue else "")
    label = {row: fill(str(row), LABEL if across == 1 else NARROW) for row in dict.fromkeys(frame[rows])}
    counts = frame.groupby(by, sort=False)[rows].nunique() if across == 1 else pd.Series([len(label)])
    heights = (0.5 if across == 1 else 0.8) + (0.36 if "\n" in "".join(label.values()) else 0.235) * counts
    shape: dict[str, Any] = {"across": across, "sharey": True}
    if across == 1:
        shape = {"gridspec_kws": {"height_ratios": list(heights)}, "flush": True}
    figure, panels = grid(frame, by, heights.mean(), **shape)
    for ax, part in panels:
        names = list(dict.fromkeys((part if across == 1 else frame)[rows]))
        for order, ((kind, colour), mark) in enumerate(zip(_colours(frame["_hue"]).items(), style.MARKS, strict=False)):
            own = part[part["_hue"] == kind]
            y = [names.index(row) for row in own[rows]]
            if "low" in own:
                ax.hlines(y, own["low"], own["high"], color=colour, lw=1.2)
            look: dict[str, Any] = {"marker": mark, "color": colour, "label": kind, "zorder": 9 - order}
            ax.scatter(own[value], y, s=30, lw=0, clip_on=False, **look)
        if level is not None:
            ax.axvline(level, color=style.INK, lw=1, zorder=1)
        ax.margins(x=0.08)
        if log:
            ax.set_xscale("log")
        else:
            ax.locator_params(axis="x", nbins=6 // across)
            ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        style.plain_ticks(ax, "x")
        ax.set(xlabel="", ylabel="", ylim=(len(names) - 0.4, -0.6))
        ax.set_yticks(range(len(names)), [label[name] for name in names], linespacing=0.95)
        ax.tick_params(axis="y", length=0, labelleft=across == 1 or ax is figure.axes[0])
    if not log:
        for ax, _ in panels:  # once all are drawn, since they share their axis
            ax.set_xlim(left=0)
    figure.supxlabel(x_label, fontsize=9)
    if hue:
        _key(figure, *figure.axes[0].get_legend_handles_labels())
    return figure


VERDICTS = {
    "holds": (style.BLUE, "white", "✓"),
    "holds in part": ("#a9d3ec", style.INK, "~"),
    "fails": (style.ORANGE, style.INK, "✗"),
    "not measured": ("#f2f2f2", "#6b6b6b", ""),
}
"""Colour of the cell, colour of its text, and mark of each verdict."""


@style.styled
def verdicts(frame: pd.DataFrame, columns: Mapping[str, str]) -> Figure:
    """Draw one cell per claim and run: the verdict as colour and mark, with the value of its statistic.

    Parameters
    ----------
    frame : DataFrame
        As given by `judged.verdicts`.
    columns : mapping
        Run ids, in order, and what stands above each (a few short lines).
    """
    labels = list(dict.fromkeys(frame["label"]))
    cells = {(row["label"], row["run"]): row for row in frame.to_dict("records")}
    codes = [[list(VERDICTS).index(cells[label, run]["verdict"]) for run in columns] for label in labels]
    figure, ax = plt.subplots(figsize=(style.WIDTH_IN, 1.3 + 0.36 * len(labels)))
    colours = ListedColormap([colour for colour, _, _ in VERDICTS.values()])
    sns.heatmap(codes, cmap=colours, vmin=-0.5, vmax=3.5, cbar=False, linewidths=1.5, yticklabels=False, ax=ax)
    for (i, label), (j, run) in product(enumerate(labels), enumerate(columns)):
        _, ink, mark = VERDICTS[cells[label, run]["verdict"]]
        shown = f"{mark}\n{number(cells[label, run]['value'])} {cells[label, run]['unit']}".strip() if mark else ""
        ax.text(j + 0.5, i + 0.5, shown, ha="center", va="center", color=ink, fontsize=style.SMALL_PT, linespacing=1.0)
    ax.set_xticks(np.arange(len(columns)) + 0.5, list(columns.values()), rotation=0)
    ax.set_yticks(np.arange(len(labels)) + 0.5, [fill(label, 17) for label in labels], linespacing=0.95)
    ax.tick_params(length=0, labeltop=True, labelbottom=False, labelsize=style.SMALL_PT)
    handles = [Patch(color=colour, label=f"{mark} {name}".strip()) for name, (colour, _, mark) in VERDICTS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=style.SMALL_PT)
    return figure
