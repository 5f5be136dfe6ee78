"""Points of a figure as page data: a script shows the layer under the pointer, the picture stays as it is."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..numbers import number
from .limits import sizes

NEAR_PX = 14
"""How far the pointer may be from a point (pixels of the page)."""


def describe(table: pd.DataFrame) -> list[str]:
    """Write each layer and its time in words, a list of n strings; `table` has a layer's columns and ``time_ms``."""
    return [f"{sizes(row)}: {number(row['time_ms'], 3)} ms" for row in table.to_dict("records")]


def positions(figure: Figure, axes: Axes, x: Iterable[float], y: Iterable[float]) -> list[list[float]]:
    """Locate points of one panel in the saved picture.

    Parameters
    ----------
    figure, axes : Figure, Axes
        Drawn, with their final limits.
    x, y : iterable of float
        Data coordinates, n of each.

    Returns
    -------
    list of [x, y]
        Fractions of the picture's width and height, from its top left corner.
    """
    figure.canvas.draw()
    # A notebook saves the tight box around everything drawn, with this margin.
    box = figure.get_tightbbox().padded(rcParams["savefig.pad_inches"])
    inches = axes.transData.transform(list(zip(x, y, strict=True))) / figure.dpi
    return [[round((a - box.x0) / box.width, 4), round((box.y1 - b) / box.height, 4)] for a, b in inches]


def page_data(figure: Figure, name: str, frames: Sequence[pd.DataFrame], x: str, y: str) -> str:
    """Write the points of a figure as HTML; the browser reads it, nothing is shown.

    Parameters
    ----------
    figure : Figure
        Drawn, with one panel per frame.
    name : str
        Label of the figure in the book.
    frames : sequence of DataFrame
        Layers with their columns, ``time_ms``, and the columns `x` and `y` that were drawn.
    x, y : str
        Names of those columns.
    """
    points: list[list[Any]] = []
    for ax, frame in zip(figure.axes, frames, strict=True):
        places = positions(figure, ax, frame[x], frame[y])
        points += [[*place, text] for place, text in zip(places, describe(frame), strict=True)]
    data = json.dumps(points, ensure_ascii=False).replace("</", "<\\/")
    kind = 'type="application/json" class="hover-points"'
    return f'<script {kind} data-reach="{NEAR_PX}" data-figure="{name}">{data}</script>'
