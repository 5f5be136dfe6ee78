"""Draw times on the replication's fine grids, where FLOPs change in small steps."""

from typing import TYPE_CHECKING

import numpy as np

from . import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@style.styled
def draw_fine(frame: "pd.DataFrame", x_label: str) -> "Figure":
    """Draw time against the swept value, one panel per run and line, with the lasting jumps marked below.

    Parameters
    ----------
    frame : DataFrame
        As given by `alphaflops.study.fine.lines`.
    x_label : str
        Name and unit of the swept value.

    Returns
    -------
    Figure
        Per panel the measured times (label: the line), a dashed line in proportion to FLOPs through the last layer, and
        a tick at each jump.
    """
    groups = [part for _, part in frame.groupby(["run", "line"], sort=False)]
    figure, axes = style.panels(len(groups), 1.75)
    colours = style.machine_colours(list(dict.fromkeys(frame["run"])))
    for ax, part in zip(axes, groups, strict=True):
        colour, line, last = colours[part["run"].iloc[0]], part["line"].iloc[0], part.iloc[-1]
        ax.plot(part["x"], part["time_ms"], color=colour, lw=0.9, label=line)
        ax.plot(part["x"], part["macs"] * last["time_ms"] / last["macs"], color=style.GREY, lw=1, ls=(0, (4, 2)))
        places = part.loc[part["jumps"], "x"]
        ax.plot(places, np.zeros(len(places)), "|", color=style.INK, ms=9, mew=1.2, clip_on=False, label="jumps")
        ax.set_ylim(0, 1.05 * float(part["time_ms"].quantile(0.995)))
        ax.set_ylabel("time (ms)")
        style.title(ax, f"{part['machine'].iloc[0]}: {line}", f"{len(places)} lasting jumps, marked below", colour)
    axes[-1].set_xlabel(x_label)
    return figure
