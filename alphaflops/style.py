"""The look of every figure: one style, one width, one colour per line, machine kind and model.

Figures are 4.2 inches wide with panels stacked in a column. On a phone they take the width of the screen, of 390 px or
4.06 inches: there the smallest text has 8 pt. Colours come from seaborn's ``colorblind`` palette; text in a colour is
darkened.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")

WIDTH_IN = 4.2
SMALL_PT = 8.6
"""Least size of text."""
DPI = 180
BLUE, ORANGE, GREEN, VERMILION, PINK, BROWN = "#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161"
GREY, INK = "#8a8a8a", "#222222"
LINES = (BLUE, VERMILION, GREEN, PINK, BROWN, GREY)
"""Colours of the lines within a panel, in the order of the experiment."""
MARKS = ("o", "D", "s", "^", "v", "X")
DASHES = (0, (4, 2))


def rc() -> dict[str, Any]:
    """Give the Matplotlib settings of the book."""
    import seaborn as sns

    return {
        **sns.axes_style("ticks"),
        **sns.plotting_context("paper", font_scale=1.1),
        "axes.grid": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.labelcolor": INK,
        "figure.dpi": DPI,
        "font.family": ["DejaVu Sans"],
        "grid.color": "#e6e6e6",
        "legend.frameon": False,
        "lines.linewidth": 1.4,
        "lines.markersize": 3.4,
        "lines.markeredgewidth": 0,
        "text.color": INK,
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
            figure = draw(*args, **kwargs)
            figure.set_layout_engine("constrained")
            figure.stale = False  # it is drawn when it is shown: a notebook would draw it once more before
            return figure
        finally:
            shared.update(before)

    return drawn


def darker(colour: str) -> tuple[float, ...]:
    """Darken a colour so that text in it keeps a contrast of 4.5 on white."""
    from matplotlib.colors import to_rgb
    from seaborn.utils import relative_luminance

    rgb = np.array(to_rgb(colour))
    while 1.05 / (relative_luminance(rgb) + 0.05) < 4.5:
        rgb = rgb * 0.95
    return tuple(rgb)


def label_ends(axes: "Axes", ends: Sequence[tuple[str, float, float, str]], gap: float) -> None:
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
    axes.set_xlim(axes.get_xlim())
    to_axes = (axes.transData + axes.transAxes.inverted()).transform
    places = to_axes([(x, y) for _, x, y, _ in ends])
    right, heights = max(places[:, 0].max() + 0.035, 1.01), spread(places[:, 1], gap)  # beyond the axis, not across it
    for (label, _, _, colour), place, height in zip(ends, places, heights, strict=True):
        axes.annotate(
            label, tuple(place), (right, height), xycoords="axes fraction", textcoords="axes fraction",
            color=darker(colour), va="center", fontsize=SMALL_PT,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.6, "shrinkA": 0, "shrinkB": 2, "relpos": (0, 0.5)},
        )  # fmt: skip


def spread(heights: Any, gap: float) -> NDArray[np.float64]:
    """Move n heights apart to at least `gap`, keeping their order, and off the panel's edges where there is room."""
    order = np.argsort(heights, kind="stable")
    placed = np.array(heights, dtype=np.float64)[order]
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap)
    shift = max(float((placed - np.sort(heights)).mean()), float(placed[-1]) - 0.97)
    placed -= min(shift, float(placed[0]) - 0.03)
    return placed[np.argsort(order)]


def plain_ticks(axes: "Axes", which: str = "xy") -> None:
    """Write the ticks of logarithmic axes as plain numbers, 1, 2 and 5 per decade where there is room."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    for axis in (axes.xaxis if name == "x" else axes.yaxis for name in which):
        if axis.get_scale() != "log":
            continue
        low, high = axis.get_view_interval()
        wide = high / low > (1000 if axis is axes.xaxis else 60)
        axis.set_major_locator(LogLocator(base=10, subs=(1.0,) if wide else (1.0, 2.0, 5.0), numticks=12))
        axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        axis.set_minor_locator(NullLocator())


def short(value: float) -> str:
    """Write a tick's number briefly: 0.02, 500, 10k, 1M."""
    unit, name = (1e6, "M") if value >= 1e6 else (1e3, "k") if value >= 1e3 else (1, "")
    return f"{value / unit:.10g}{name}"
