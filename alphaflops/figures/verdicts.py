"""Draw the verdicts on the papers' claims, machine by machine."""

from typing import TYPE_CHECKING

from ..study.findings import number
from . import style
from .scores import set_label

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

LOOK = {
    "holds": ("#0173b2", "white", "✓"),
    "holds in part": ("#a9d3ec", style.INK, "~"),
    "fails": ("#de8f05", style.INK, "✗"),
    "not measured": ("#f2f2f2", "#767676", "–"),
}
"""Colour of the cell, colour of its text, and mark of each verdict."""
ROWS = {
    "flops-do-not-order-times": "FLOPs misorder layers",
    "dense-and-conv-differ": "dense ≠ conv on a GPU",
    "table-layers-differ": "Figure 1a differs on a GPU",
    "not-flat-on-gpu": "not flat on a GPU",
    "flat-on-cpu": "flat on one core",
    "flatter-on-one-core": "flatter on one core",
    "space-parallelises-better": "space parallelises better",
    "alpha-beats-flops": "α-FLOPs beat FLOPs",
    "alpha-beats-flops-and-t0": "α-FLOPs beat FLOPs + t₀",
    "alpha-adds-to-t0": "the same, t₀ on both sides",
    "jumps-on-fine-grids": "jumps on fine grids",
    "alpha-underestimates": "α-FLOPs underestimate",
}
"""What stands before each claim's row."""
LONG = 4
"""Characters that fit into a cell."""


def _short(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 1 else number(value)


@style.styled
def draw_verdicts(frame: "pd.DataFrame") -> "Figure":
    """Draw one cell per claim and run: the verdict as colour and mark, with the value of the statistic.

    Parameters
    ----------
    frame : DataFrame
        As given by `alphaflops.study.claims.table`.
    """
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch, Rectangle

    claims, runs = list(dict.fromkeys(frame["claim"])), list(dict.fromkeys(frame["run"]))
    figure, ax = plt.subplots(figsize=(style.WIDTH_IN, 1.6 + 0.38 * len(claims)))
    for entry in frame.to_dict("records"):
        x, y = runs.index(entry["run"]), claims.index(entry["claim"])
        colour, ink, mark = LOOK[entry["verdict"]]
        ax.add_patch(Rectangle((x, y), 1, 1, facecolor=colour, edgecolor="white", lw=2))
        known = entry["verdict"] != "not measured"
        value = _short(entry["value"]).replace("-", "−") if known else ""
        size = 9 if len(value) <= LONG else 7.5
        text = f"{mark}\n{value}".rstrip()
        ax.text(x + 0.5, y + 0.5, text, ha="center", va="center", color=ink, fontsize=size, linespacing=0.95)
    ax.set(xlim=(0, len(runs)), ylim=(len(claims), 0))
    ax.set_xticks([i + 0.5 for i in range(len(runs))], [set_label(run).replace("\n", " ") for run in runs], rotation=90)
    ax.set_yticks([i + 0.5 for i in range(len(claims))], [ROWS[claim] for claim in claims])
    ax.tick_params(length=0, labelsize=9, labeltop=True, labelbottom=False, top=False)
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    handles = [Patch(facecolor=c, edgecolor=style.GREY, label=f"{mark} {name}") for name, (c, _, mark) in LOOK.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=8.5, handlelength=1.2)
    return figure
