"""What the book would do with a run, done before the run is taken in: whatever fails here would have stopped a page."""

from typing import TYPE_CHECKING

from .. import experiments

if TYPE_CHECKING:
    from ..runs import Run


def try_chapters(run: "Run") -> None:
    """Compute and draw what the chapters show of a run, and judge the claims on it.

    Raises
    ------
    Exception
        Whatever a chapter raises.
    """
    from matplotlib import pyplot as plt

    from ..chapters import beside, facets, judged, limits, sweep, tables

    shown = [run.ok]
    for name in (name for name in run.table["experiment"].unique() if name in experiments.BY_NAME):
        figure = facets.lines(sweep(shown, name))
        figure.canvas.draw()
        plt.close(figure)
    limits.rates(run.ok)
    judged.verdicts(shown)
    for frame in (beside.cards(shown), judged.quality(shown)):
        tables.table(frame)
    tables.loaded(shown)
