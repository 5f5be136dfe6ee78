"""Figures of the book: load runs, compute a frame, draw it. Drawing reads and writes no file.

The three steps are three functions: `load` gives runs, `sweep` (and its siblings in `frames`) a tidy table, and the
functions of `sweeps` and `formula` a Matplotlib figure. A notebook's cell says ``figure = draw_…(…)``, so that the
figure is shown once. Colours, fonts and sizes have their one place in `style`.

A new figure follows the same steps: a compute function that returns a frame, a draw function decorated with
`style.styled` that takes the frame, and a test of the plotted data.
"""

from .formula import curves, draw_constants, draw_curves, draw_surface, surface, variations
from .frames import equal_flops, load, machines, reference_runs, sweep, with_fine
from .multiples import draw_multiples
from .sweeps import draw_equal_flops, draw_sweep
from .tables import captioned, equal_flops_table, runs_table, sources_table, status_table, table

__all__ = [
    "captioned",
    "curves",
    "draw_constants",
    "draw_curves",
    "draw_equal_flops",
    "draw_multiples",
    "draw_surface",
    "draw_sweep",
    "equal_flops",
    "equal_flops_table",
    "load",
    "machines",
    "reference_runs",
    "runs_table",
    "sources_table",
    "status_table",
    "surface",
    "sweep",
    "table",
    "variations",
    "with_fine",
]
