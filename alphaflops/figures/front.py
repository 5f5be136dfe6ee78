"""Draw the front page's figure: the claim in one panel, the verdict in the other."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from . import style
from .scores import set_label

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURES: Final = {
    "macs": ("FLOPs", "s"),
    "macs+t0": ("FLOPs and a constant", "^"),
    "alpha": ("α-FLOPs", "D"),
    "best": ("this project’s formula", "o"),
}
"""Measures of the verdict with the words and marks that stand for them."""


@style.styled
def draw_front(same: "pd.DataFrame", errors: "pd.DataFrame") -> "Figure":
    """Draw layers of equal FLOPs as bars of time, and under them how far measures miss layers they have not seen.

    Parameters
    ----------
    same : DataFrame
        As given by `frames.equal_flops`; the first run in it is drawn.
    errors : DataFrame
        As given by `scores.matrix`: mean errors (%), models as rows, data sets as columns.

    Returns
    -------
    Figure
        Two panels: bars with the times of `same`, and per data set one mark for each of `MEASURES`.
    """
    import matplotlib.pyplot as plt

    shown = same[same["run"] == same["run"].iloc[0]].sort_values("time_ms", ascending=False, kind="stable")
    heights = (0.9 + 0.26 * len(shown), 0.9 + 0.34 * len(errors.columns))
    size = (style.WIDTH_IN, sum(heights))
    figure, (upper, lower) = plt.subplots(2, 1, figsize=size, height_ratios=heights)
    _claim(upper, shown)
    _verdict(lower, errors)
    figure.legend(*lower.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=9.5)
    return figure


def layer_name(row: "pd.Series[Any]") -> str:
    """Name a layer by its sizes: ``dense 12800 → 12800`` or ``conv 4×4, 3200 → 3200``."""
    kind = "dense" if row["kind"] == "dense" else f"conv {row['height']}×{row['width']},"
    return f"{kind} {row['in_channels']} → {row['out_channels']}"


def _claim(ax: "Axes", shown: "pd.DataFrame") -> None:
    rows = np.arange(len(shown))[::-1]
    colour = style.machine_colours([str(shown["run"].iloc[0])])[str(shown["run"].iloc[0])]
    bars = ax.barh(rows, shown["time_ms"], color=colour, height=0.66)
    ax.bar_label(bars, [f"{time:.2g} ms" for time in shown["time_ms"]], padding=4, fontsize=9.5)
    ax.set_yticks(rows, [layer_name(row) for _, row in shown.iterrows()], fontsize=9.5)
    ax.set_xlim(0, 1.2 * shown["time_ms"].max())
    ax.xaxis.set_visible(False)
    ax.spines[["bottom", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.grid(False)
    flops = f"{2e-6 * shown['macs'].iloc[0]:.0f}"
    _headline(ax, "Equal FLOPs, unequal time", f"layers of {flops} million FLOPs each, {shown['machine'].iloc[0]}")


def _headline(ax: "Axes", text: str, note: str) -> None:
    """Write a title from the left edge of the figure, where it takes no width from the panel."""
    ax.set_title(" ", pad=17)
    for words, points, size, weight, colour in ((text, 19, 10.5, "bold", None), (note, 6, 8.5, "normal", "#555555")):
        where: dict[str, Any] = {"xycoords": ("figure fraction", "axes fraction"), "textcoords": "offset points"}
        written = ax.annotate(words, (0, 1), (3, points), **where, size=size, weight=weight, color=colour)
        written.set_in_layout(False)


def _verdict(ax: "Axes", errors: "pd.DataFrame") -> None:
    rows = np.arange(len(errors.columns))[::-1]
    kept = [name for name in MEASURES if name in errors.index]
    ends = errors.loc[kept]
    ax.hlines(rows, ends.min(), ends.max(), color="#c9c9c9", lw=1.2, zorder=1)
    for name in kept:
        words, mark = MEASURES[name]
        ax.scatter(errors.loc[name], rows, s=42, marker=mark, color=style.MODELS[name], label=words, zorder=2)
    ax.set_yticks(rows, [set_label(name).replace("\n", " ") for name in errors.columns], fontsize=9.5)
    ax.set(xlim=(0, 1.06 * float(ends.max().max())), ylim=(-0.6, len(rows) - 0.4))
    ax.set_xlabel("mean error on layers not used for the fit (%)")
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    ax.grid(True, axis="x")
    _headline(ax, "What predicts the time?", "each measure fitted to the machine; further left is better")
