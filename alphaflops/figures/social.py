"""The picture that stands for the book where a link to it is shown."""

from typing import TYPE_CHECKING

from . import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SIZE_PX = (1200, 630)
"""What the sites that show links ask for."""


@style.styled
def draw_social(frame: "pd.DataFrame") -> "Figure":
    """Draw layers of equal FLOPs on one machine as bars of time under the book's question.

    Parameters
    ----------
    frame : DataFrame
        As given by `frames.equal_flops`; the first run in it is drawn.

    Returns
    -------
    Figure
        One panel with a bar per layer, 1200 × 630 pixels.
    """
    import matplotlib.pyplot as plt
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    part = frame[frame["run"] == frame["run"].iloc[0]]
    figure, ax = plt.subplots(figsize=(SIZE_PX[0] / 100, SIZE_PX[1] / 100), dpi=100)
    bars = ax.barh(part["line"], part["time_ms"], color=style.machine_colours([part["run"].iloc[0]]).values())
    ax.bar_label(bars, [f"{time:.2g} ms" for time in part["time_ms"]], padding=8, fontsize=22)
    ax.invert_yaxis()
    ax.set_xlim(0, 1.18 * part["time_ms"].max())
    ax.tick_params(axis="y", labelsize=22, length=0)
    ax.xaxis.set_visible(False)
    ax.grid(False)
    ax.spines[["bottom", "left"]].set_visible(False)
    flops = f"{2e-6 * part['macs'].iloc[0]:.2f}"
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(rect=(0.02, 0, 0.96, 0.76))
    figure.text(0.03, 0.85, "Do FLOPs tell the time?", fontsize=44, weight="bold")
    words = f"Five layers of {flops} million FLOPs each on a {part['machine'].iloc[0]}"
    figure.text(0.03, 0.775, words, fontsize=24, color="#555555")
    return figure
