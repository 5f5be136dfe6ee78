"""The look of every figure: one style, one colour per machine, per model and per line, in one place.

Figures are 4.4 inches wide with panels stacked in a column, so that their text stays readable on a phone of 360 px.
Colours come from seaborn's ``colorblind`` palette; where text carries a colour it is darkened to stay readable.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, cast

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")

WIDTH_IN = 4.4
PANEL_IN = 2.2
DPI = 180
TITLE_CHARACTERS = 44

BLUE, ORANGE, GREEN, VERMILION, PINK, BROWN = "#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161"
GREY, INK = "#8a8a8a", "#222222"

LINES = (BLUE, VERMILION, GREEN, PINK, BROWN)
"""Colours of the lines within a panel, in the order of the experiment."""

MACHINES = {"paper-t2000": GREEN, "cpu-1core": BLUE, "cpu-allcores": VERMILION, "cpu-1core-fine": BLUE}
"""Colours of the machines that the book always shows, by run id."""

FURTHER_MACHINES = (PINK, BROWN, ORANGE, "#56b4e9", "#949494")
"""Colours of further machines, in their order."""

MODELS = {
    "params": "#949494",
    "macs": GREY,
    "macs+t0": "#56b4e9",
    "alpha-published": INK,
    "alpha-rtx4090": BROWN,
    "alpha": PINK,
    "alpha+t0": ORANGE,
    "roofline+t0": GREEN,
    "alpha+t0+bytes": "#ece133",
    "boosting": BLUE,
    "best": VERMILION,
}
"""Colours of the cost models, by their names on the command line."""


def rc() -> dict[str, Any]:
    """Give the Matplotlib settings of the book."""
    import seaborn as sns

    return {
        **sns.axes_style("ticks"),
        **sns.plotting_context("paper", font_scale=1.15),
        "axes.grid": True,
        "axes.grid.axis": "y",
        "grid.color": "#e3e3e3",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "axes.titlesize": 10.5,
        "axes.titleweight": "bold",
        "axes.labelcolor": INK,
        "text.color": INK,
        "figure.dpi": DPI,
        "figure.facecolor": "white",
        "figure.constrained_layout.use": True,
        "font.family": ["DejaVu Sans"],
        "lines.linewidth": 1.4,
        "lines.markersize": 3.2,
    }


def styled(draw: "Callable[P, Figure]") -> "Callable[P, Figure]":
    """Make a drawing function use the style of the book."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> "Figure":
        import matplotlib as mpl

        settings, shared = rc(), cast("dict[str, Any]", mpl.rcParams)
        # rc_context would also undo what a notebook's backend sets when its first figure is made
        before = {name: shared[name] for name in settings}
        shared.update(settings)
        try:
            return draw(*args, **kwargs)
        finally:
            shared.update(before)

    return drawn


def panels(count: int, height_in: float = PANEL_IN) -> "tuple[Figure, Sequence[Axes]]":
    """Give a figure with panels stacked in one column, sharing the x axis."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(count, 1, figsize=(WIDTH_IN, 0.45 + count * height_in), sharex=True, squeeze=False)
    return figure, list(axes[:, 0])


def machine_colours(runs: Sequence[str]) -> dict[str, str]:
    """Give each run its colour: the fixed one, or the next further one in order."""
    further = [run for run in runs if run not in MACHINES]
    spare = {run: FURTHER_MACHINES[i % len(FURTHER_MACHINES)] for i, run in enumerate(further)}
    return {run: MACHINES.get(run) or spare[run] for run in runs}


def darker(colour: str) -> tuple[float, ...]:
    """Darken a colour so that text in it keeps a contrast of 4.5 on white."""
    from matplotlib.colors import to_rgb

    rgb = np.array(to_rgb(colour))
    while 1.05 / (_luminance(rgb) + 0.05) < 4.5:
        rgb = rgb * 0.95
    return tuple(rgb)


def _luminance(rgb: "np.ndarray[Any, Any]") -> float:
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def label_ends(axes: "Axes", ends: Sequence[tuple[str, float, float, str]], gap: float = 0.085) -> None:
    """Write each line's label to the right of its last point, moved apart where they would overlap.

    Parameters
    ----------
    axes : Axes
        Panel whose limits are already final.
    ends : sequence of (label, x, y, colour)
        Last point of each line in data units.
    gap : float
        Least vertical distance between labels, as a fraction of the panel's height.
    """
    if not ends:
        return
    axes.set_xlim(axes.get_xlim())
    to_axes = (axes.transData + axes.transAxes.inverted()).transform
    heights = [float(to_axes((x, y))[1]) for _, x, y, _ in ends]
    right = max(float(to_axes((x, y))[0]) for _, x, y, _ in ends)
    for (label, x, _, colour), height, placed in zip(ends, heights, spread(heights, gap), strict=True):
        axes.annotate(
            label,
            xy=(float(to_axes((x, 1))[0]), height),
            xytext=(right + 0.035, placed),
            xycoords="axes fraction",
            textcoords="axes fraction",
            color=darker(colour),
            va="center",
            fontsize=9,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.6, "shrinkA": 0, "shrinkB": 2},
        )


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Move heights apart to at least `gap`, keeping their order, and off the panel's edges where there is room."""
    order = np.argsort(heights, kind="stable")
    placed = np.array([heights[i] for i in order], dtype=np.float64)
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap)
    shift = max(float((placed - np.sort(heights)).mean()), float(placed[-1]) - 0.97)
    placed -= min(shift, float(placed[0]) - 0.03)
    result = [0.0] * len(heights)
    for i, height in zip(order, placed, strict=True):
        result[int(i)] = float(height)
    return result


def plain_ticks(axes: "Axes", which: str = "xy") -> None:
    """Write the ticks of logarithmic axes as plain numbers, 1, 2 and 5 per decade where there is room."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    for axis in (axes.xaxis if name == "x" else axes.yaxis for name in which):
        low, high = axis.get_view_interval()
        wide = high / low > 300
        axis.set_major_locator(LogLocator(base=10, subs=(1.0,) if wide else (1.0, 2.0, 5.0), numticks=12))
        axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        axis.set_minor_locator(NullLocator())


def title(axes: "Axes", text: str, note: str = "", colour: str = INK) -> None:
    """Write a bold panel title and, under it, a short note in small type."""
    shown = text if len(text) <= TITLE_CHARACTERS else text[: TITLE_CHARACTERS - 1] + "…"
    axes.set_title(shown, color=darker(colour), pad=17 if note else 6)
    if note:
        axes.annotate(
            note, (0, 1), (0, 5), xycoords="axes fraction", textcoords="offset points", fontsize=8.5, color="#555555"
        )


def short(value: float) -> str:
    """Write a tick's number briefly: 0.02, 500, 10k, 1M."""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:.10g}"
