"""Points of a figure as page data: a script shows the layer under the pointer, the picture stays as it is."""

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..study.findings import number
from .scores import MODEL_LABELS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NEAR_PX, CELL_PX = 14, 30
"""How far the pointer may be from a point, or from the middle of a cell (pixels of the page)."""


def describe(table: "pd.DataFrame") -> list[str]:
    """Write each layer and its time in words, a list of n strings; `table` has a layer's columns and ``time_ms``."""
    return [_words(row) for row in table.to_dict("records")]


def _words(row: dict[Any, Any]) -> str:
    batch = f", batch {row['batch']}" if row["batch"] > 1 else ""
    channels = f"{row['in_channels']} → {row['out_channels']}"
    time = f"{number(row['time_ms'], 3)} ms"
    if row["kind"] == "dense":
        return f"dense {channels}{batch}: {time}"
    return f"{row['k1']}×{row['k2']} conv on {row['height']}×{row['width']}, {channels}{batch}: {time}"


def positions(figure: "Figure", axes: "Axes", x: Iterable[float], y: Iterable[float]) -> list[list[float]]:
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
    from matplotlib import rcParams

    figure.canvas.draw()
    # A notebook saves the tight box around everything drawn, with this margin.
    box = figure.get_tightbbox().padded(rcParams["savefig.pad_inches"])
    inches = axes.transData.transform(list(zip(x, y, strict=True))) / figure.dpi
    return [[round((a - box.x0) / box.width, 4), round((box.y1 - b) / box.height, 4)] for a, b in inches]


def page_data(figure: "Figure", name: str, frames: "Sequence[pd.DataFrame]", x: str, y: str) -> str:
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
    return _script(name, points, NEAR_PX)


def cell_data(figure: "Figure", name: str, errors: "pd.DataFrame") -> str:
    """Write the cells of a table of coloured cells as HTML, as `page_data` does for points.

    Parameters
    ----------
    figure : Figure
        As given by `scores.draw_scorecard` for these errors.
    name : str
        Label of the figure in the book.
    errors : DataFrame
        Mean errors (%), models as rows and data sets as columns.
    """
    known = errors.rename_axis("model").reset_index().melt("model", var_name="run", value_name="error").dropna()
    x = [list(errors.columns).index(run) + 0.5 for run in known["run"]]
    y = [list(errors.index).index(model) + 0.5 for model in known["model"]]
    texts = [
        f"{MODEL_LABELS.get(row['model'], row['model'])} on {row['run']}: {number(row['error'], 3)} %"
        for _, row in known.iterrows()
    ]
    places = positions(figure, figure.axes[0], x, y)
    return _script(name, [[*place, text] for place, text in zip(places, texts, strict=True)], CELL_PX)


def _script(name: str, points: list[list[Any]], reach: int) -> str:
    data = json.dumps(points, ensure_ascii=False).replace("</", "<\\/")
    kind = 'type="application/json" class="hover-points"'
    return f'<script {kind} data-reach="{reach}" data-figure="{name}">{data}</script>'
