"""Draw the α-FLOPs formula itself."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..costs.alpha import PAPER_T2000, AlphaConstants, alpha
from . import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

EFFECTS = {
    "β": "β sets the floor",
    "γ": "γ sets the slope",
    "kernel side": "The kernel’s $S_K$ sets where the fall starts",
}
"""Constants that `variations` varies, with what each does."""

SIDES = (1, 3, 5, 11, 28)
"""Kernel sides drawn as curves."""


def curves(
    constants: AlphaConstants = PAPER_T2000, sides: tuple[int, ...] = SIDES, largest: float = 1e6, points: int = 181
) -> "pd.DataFrame":
    """Compute α along S for square kernels.

    Returns
    -------
    DataFrame
        ``side, s, alpha, limit`` with ``points`` values of S from 1 to `largest`, evenly spread on a logarithm.
    """
    import pandas as pd

    s = np.logspace(0, np.log10(largest), points)
    parts = [
        pd.DataFrame({"side": k, "s": s, "alpha": alpha(s, k * k, constants), "limit": limit(k, constants)})
        for k in sides
    ]
    return pd.concat(parts, ignore_index=True)


def limit(side: int, constants: AlphaConstants = PAPER_T2000) -> float:
    r"""Value :math:`\beta_K^{\gamma_K}` that α approaches for large S (no unit)."""
    if side == 1:
        return float(constants.beta_1**constants.gamma_1)
    return float(constants.beta_k**constants.gamma_k)


def surface(
    constants: AlphaConstants = PAPER_T2000, largest: float = 1e5, side: int = 28, points: int = 121
) -> "pd.DataFrame":
    """Compute α over S (columns) and the side of a square kernel (rows)."""
    import pandas as pd

    s = np.logspace(0, np.log10(largest), points)
    sides = np.arange(1, side + 1)
    return pd.DataFrame(alpha(s[None, :], sides[:, None] ** 2, constants), index=sides, columns=s)


def variations(factor: float = 4.0, side: int = 3, largest: float = 1e6, points: int = 181) -> "pd.DataFrame":
    """Compute what β and γ of K > 1 do: each divided and multiplied by a factor, and kernels of other sides for S_K.

    Returns
    -------
    DataFrame
        ``constant, value, s, alpha``: three curves for each of ``β``, ``γ`` and ``kernel side``.
    """
    import pandas as pd

    s = np.logspace(0, np.log10(largest), points)
    parts = []
    for step in (1 / factor, 1, factor):
        beta, gamma = PAPER_T2000.beta_k * step, PAPER_T2000.gamma_k * step**0.5
        for name, value, constants in (
            ("β", beta, replace(PAPER_T2000, beta_k=beta)),
            ("γ", gamma, replace(PAPER_T2000, gamma_k=gamma)),
        ):
            curve = {"constant": name, "value": value, "s": s, "alpha": alpha(s, side**2, constants)}
            parts.append(pd.DataFrame(curve))
    for k in (2, side, 28):
        parts.append(pd.DataFrame({"constant": "kernel side", "value": k, "s": s, "alpha": alpha(s, k * k)}))
    return pd.concat(parts, ignore_index=True)


@style.styled
def draw_curves(frame: "pd.DataFrame") -> "Figure":
    """Draw α over S, one line per kernel side, with its limit dotted; `frame` as given by `curves`."""
    figure, (ax,) = style.panels(1, 3.2)
    for colour, (side, line) in zip(style.LINES, frame.groupby("side"), strict=False):
        ax.plot(line["s"], line["alpha"], color=colour, label=f"{side}×{side} kernel")
    for value in sorted(set(frame["limit"])):
        ax.axhline(value, color=style.GREY, ls=":", lw=1)
    ax.axhline(1, color=style.GREY, lw=1)
    ax.annotate("α = 1: FLOPs as they are", (frame["s"].max(), 1), (0, 4), textcoords="offset points", ha="right")
    ax.annotate("dotted: limit for large S", (1, frame["limit"].min()), (4, -12), textcoords="offset points")
    ax.set(xscale="log", yscale="log", xlabel="spatial size S = W·H (positions)", ylabel="α (no unit)")
    ax.set(xlim=(1, frame["s"].max()), ylim=(frame["limit"].min() / 1.6, 5))
    style.plain_ticks(ax)
    ax.legend(frameon=False, loc="upper right", bbox_to_anchor=(1, 0.7), reverse=True)
    return figure


@style.styled
def draw_surface(frame: "pd.DataFrame") -> "Figure":
    """Draw α over S and the kernel's side as a map with labelled contours; `frame` as given by `surface`."""
    from matplotlib.colors import LogNorm

    figure, (ax,) = style.panels(1, 3.4)
    s, sides = frame.columns.to_numpy(dtype=float), frame.index.to_numpy(dtype=float)
    values = frame.to_numpy()
    mesh = ax.pcolormesh(s, sides, values, norm=LogNorm(values.min(), 1), cmap="viridis", rasterized=True)
    larger = sides > 1  # the constants change between K = 1 and K > 1, so that no contour crosses there
    levels, inks = [0.03, 0.1, 0.3, 1], ["white", "white", "white", "black"]
    drawn = ax.contour(s, sides[larger], values[larger], levels=levels, colors=inks, linewidths=1.2)
    ax.clabel(drawn, fmt="%g", fontsize=9.5, manual=[(8e3, 14), (480, 14), (60, 14), (7, 14)])
    ax.set(xscale="log", xlabel="spatial size S = W·H (positions)", ylabel="kernel side (pixels)")
    ax.grid(False)
    style.plain_ticks(ax, "x")
    bar = figure.colorbar(mesh, ax=ax, label="α (no unit)", pad=0.02, extend="max")
    style.plain_ticks(bar.ax, "y")
    return figure


@style.styled
def draw_constants(frame: "pd.DataFrame") -> "Figure":
    """Draw what each constant does to α, one panel per constant; `frame` as given by `variations`."""
    figure, axes = style.panels(len(EFFECTS), 1.9)
    for ax, (name, effect) in zip(axes, EFFECTS.items(), strict=True):
        for colour, (value, line) in zip(style.LINES, frame[frame["constant"] == name].groupby("value"), strict=False):
            label = f"{value:.0f}×{value:.0f} kernel" if name == "kernel side" else f"{name} = {value:.3g}"
            ax.plot(line["s"], line["alpha"], color=colour, label=label)
        ax.set(xscale="log", yscale="log", ylabel="α (no unit)")
        ax.set_xlim(1, frame["s"].max())
        style.plain_ticks(ax)
        ax.set_title(effect)
        legend = ax.legend(frameon=False, loc="lower left", fontsize=9)
        if name == "kernel side":  # here curves run through that corner
            legend.set_loc("upper right")
    axes[-1].set_xlabel("spatial size S = W·H (positions)")
    return figure
