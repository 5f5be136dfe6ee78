"""What the book's notebooks show of runs: tidy frames, a few kinds of figures, tables.

`load` gives the runs of a chapter, `frames.sweep` and its siblings a tidy frame, `facets` a Matplotlib figure and
`tables` Markdown. Sentences stand in the notebooks, around numbers that these frames hold.
"""

from matplotlib.figure import Figure

from ..runs import Run
from . import facets, tables
from .frames import load, sweep


def plot(run: Run, figure: str) -> Figure:
    """Draw a run's layers of one figure, with the times that α-FLOPs predict dashed.

    Parameters
    ----------
    run : Run
        With layers of that figure.
    figure : str
        A figure of the paper (``"1"``, ``"2a"``), a letter of the replication, or the name of an experiment.

    Raises
    ------
    AlphaflopsError
        If there is no such figure, or the run holds none of its layers.
    """
    frame = sweep([run.ok], figure)
    return facets.lines(frame, by="experiment" if frame["experiment"].nunique() > 1 else "machine")


__all__ = ["facets", "load", "plot", "sweep", "tables"]
