"""Draw layers against the limits of their hardware."""

from typing import TYPE_CHECKING

import numpy as np

from ..study.limits import CLASSES, PEAKS, Peak, beyond
from . import style

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RINGS = 40
"""Most layers beyond the hardware that are ringed one by one."""
COLOURS = dict(zip(CLASSES, (style.BLUE, style.VERMILION), strict=True))


@style.styled
def draw_roofline(frames: "Sequence[pd.DataFrame]") -> "Figure":
    """Draw achieved arithmetic against FLOPs per byte, one panel per run, with the roof of its hardware.

    Parameters
    ----------
    frames : sequence of DataFrame
        One per run, as given by `alphaflops.study.limits.rates`.

    Returns
    -------
    Figure
        Per panel two collections (1×1 or dense, larger kernels), ringed points beyond the hardware, and the roof;
        where no peak is known, a dotted line at the best layer.
    """
    figure, axes = style.panels(len(frames), 2.35)
    low = min(frame["intensity"].min() for frame in frames) / 1.3
    high = max(frame["intensity"].max() for frame in frames) * 1.3
    for ax, frame in zip(axes, frames, strict=True):
        for name, colour in COLOURS.items():
            rows = frame[frame["class"] == name]
            ax.scatter(rows["intensity"], rows["tflops"], s=8, color=colour, alpha=0.5, lw=0, label=name)
        ax.set(xscale="log", yscale="log", xlim=(low, high), ylabel="speed (TFLOP/s)")
        machine = str(frame["machine"].iloc[0])
        note = _roof(ax, frame, PEAKS.get(machine), low, high)
        style.title(ax, f"{machine} ({frame['run'].iloc[0]})", note)
        ax.grid(True, axis="both")
        style.plain_ticks(ax)
    axes[-1].set_xlabel("FLOPs per byte moved (FLOP/byte)")
    named = dict(zip(*reversed(axes[0].get_legend_handles_labels()), strict=True))
    kept = [name for name in COLOURS if any((frame["class"] == name).any() for frame in frames)]
    handles = [named[name] for name in kept]
    figure.legend(handles, kept, loc="outside upper center", ncols=2, frameon=False, fontsize=9, markerscale=2.2)
    return figure


def _roof(ax: "Axes", frame: "pd.DataFrame", peak: Peak | None, low: float, high: float) -> str:
    bottom = max(float(frame["tflops"].quantile(0.005)) / 2, 1e-4)
    if peak is None:
        best = float(frame["tflops"].max())
        ax.axhline(best, color=style.INK, lw=1.4, ls=":")
        ax.set_ylim(bottom, best * 3)
        ax.annotate(f"best layer: {best:.2g} TFLOP/s", (low, best), (4, 3), textcoords="offset points", fontsize=9)
        return "no data-sheet peak known"
    x = np.geomspace(low, high, 200)
    ax.plot(x, np.minimum(peak.tflops, peak.gbs * x / 1e3), color=style.INK, lw=1.8, label="roof")
    ax.set_ylim(bottom, max(peak.tflops, float(frame["tflops"].max())) * 2.6)
    ridge = 1e3 * peak.tflops / peak.gbs
    found = beyond(frame, peak)
    ringed = 0 < len(found) <= RINGS
    # Rings lie around the corner of the roof and to its right.
    beside, side = ((-32, 6), "right") if ringed else ((16, 4), "left")
    words = f"peak {peak.tflops:.3g} TFLOP/s"
    ax.annotate(words, (ridge, peak.tflops), beside, textcoords="offset points", fontsize=9, ha=side)
    start, words = low * 1.1, f"{peak.gbs:g} GB/s"
    written = ax.text(start, 1.12 * peak.gbs * start / 1e3, words, fontsize=9, va="bottom", rotation_mode="anchor")
    written.set(rotation=float(np.degrees(np.arctan(peak.gbs / 1e3))), transform_rotates_text=True)
    note = f"{len(found):,} of {len(frame):,} layers beyond the hardware"
    if not ringed:
        return note
    over, name = found["tflops"], "beyond the hardware"
    ax.scatter(found["intensity"], over, s=34, facecolor="none", edgecolor=style.INK, lw=0.9, label=name)
    return f"ringed: {note}"


@style.styled
def draw_streaming(frames: "Sequence[pd.DataFrame]") -> "Figure":
    """Draw the time of Figure 1's layers against the bytes that they must move, one panel per run.

    Parameters
    ----------
    frames : sequence of DataFrame
        One per run, as given by `alphaflops.study.limits.rates`; only layers of ``conv_fixed_progressive``
        are drawn.

    Returns
    -------
    Figure
        Per panel one line per family of layers, and the time that memory bandwidth allows where it is known.
    """
    shown = [frame[frame["experiment"] == "conv_fixed_progressive"] for frame in frames]
    shown = [frame for frame in shown if len(frame)]
    figure, axes = style.panels(len(shown), 2.3)
    for ax, frame in zip(axes, shown, strict=True):
        for colour, (line, part) in zip(style.LINES, frame.groupby("line", sort=False), strict=False):
            ax.plot(part["bytes"] / 1e6, part["time_ms"], marker="o", color=colour, label=line)
        ax.set(xscale="log", yscale="log", ylabel="time (ms)")
        machine, note = str(frame["machine"].iloc[0]), ""
        if machine in PEAKS:
            x = np.array([frame["bytes"].min(), frame["bytes"].max()])
            ax.plot(x / 1e6, x / PEAKS[machine].gbs / 1e6, color=style.INK, lw=1.6, ls="--", label="bandwidth")
            note = f"dashed: bytes at {PEAKS[machine].gbs:g} GB/s, the memory’s bandwidth"
        style.title(ax, machine, note)
        ax.grid(True, axis="both")
        style.plain_ticks(ax)
    axes[-1].set_xlabel("least traffic of the layer (MB)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False, fontsize=9)
    return figure
