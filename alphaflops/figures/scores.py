"""Draw how well models predict: the scorecard, residuals against size, the learning curve."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..costs import ANALYTIC, BOOSTING, MODEL_NAMES, features
from ..fitting.scoring import out_of_fold
from ..layers import flops
from ..study.conclusions import OWN_CONSTANTS
from . import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..runs import Run

GOOD, BAD = 5.0, 100.0
"""Ends of the scale of colours: mean errors (%)."""
RESIDUAL_MODELS = ("macs", "alpha", "best")
NEAR = 20.0
"""Half-width of the band that marks a good prediction (%)."""
CLASSES = {"dense": style.GREEN, "1×1": style.BLUE, "larger kernels": style.VERMILION}


OWN_LABELS = {
    "paper-t2000": "T2000\npaper",
    "cpu-1core": "CPU\n1 core",
    "cpu-allcores": "CPU\nall",
    "cpu-1core-fine": "CPU\nfine",
}
"""Short names of the runs that every chapter shows."""


MODEL_LABELS = {
    "params": "weights",
    "macs": "FLOPs",
    "macs+t0": "FLOPs + t₀",
    "alpha-published": "α-FLOPs, T2000",
    "alpha-rtx4090": "α-FLOPs, RTX 4090",
    "alpha": "α-FLOPs",
    "alpha+t0": "α-FLOPs + t₀",
    "roofline+t0": "roofline + t₀",
    "alpha+t0+bytes": "α-FLOPs + t₀ + bytes",
    "best": "this project",
    "boosting": "boosting",
}
"""Short names of the models on a figure."""


def model_title(name: str) -> str:
    """Give a model's name for readers."""
    return "boosting (learned)" if name == BOOSTING else ANALYTIC[name].title if name in ANALYTIC else name


def set_label(run: str) -> str:
    """Break a data set's name into two short lines."""
    if run in OWN_LABELS:
        return OWN_LABELS[run]
    if found := re.fullmatch(r"(\d{4})(\d\d)(\d\d)-\d{6}-(\w+)", run):
        return "{}-{}-{}\n{}".format(*found.groups())
    parts = run.removeprefix("neusight-").split("-")
    if run.startswith("neusight-") and len(parts) == 2:
        return f"{parts[1].upper()}\n{parts[0]}"
    return "\n".join(run.split("-", 1))


def matrix(scores: "pd.DataFrame", validation: str) -> "pd.DataFrame":
    """Arrange mean errors (%) with models as rows, from weights to the learned one, and data sets as columns.

    Parameters
    ----------
    scores : DataFrame
        As given by `calibrate.scorecard`.
    validation : str
        ``in sample``, ``random`` or ``figure``.
    """
    part = scores[(scores["cv"] == validation) & scores["model"].isin(MODEL_NAMES)]
    wide = part.pivot_table("mape_pct", "model", "run", aggfunc="first", sort=False, dropna=False).astype(float)
    order = [*(name for name in MODEL_NAMES if name != BOOSTING), BOOSTING]
    return wide.loc[[m for m in order if m in wide.index], list(dict.fromkeys(part["run"]))]


@style.styled
def draw_scorecard(errors: "pd.DataFrame") -> "Figure":
    """Draw mean errors as a table of coloured cells, the best formula of each data set framed.

    Parameters
    ----------
    errors : DataFrame
        As given by `matrix`.

    Returns
    -------
    Figure
        One mesh with the errors (%), its numbers as text, and a rule above the learned model.
    """
    import matplotlib.pyplot as plt
    from matplotlib.colors import LogNorm
    from matplotlib.patches import Rectangle

    values = errors.to_numpy()
    figure, ax = plt.subplots(figsize=(style.WIDTH_IN, 0.9 + 0.31 * len(errors)))
    norm = LogNorm(GOOD, BAD, clip=True)
    mesh = ax.pcolormesh(np.ma.masked_invalid(values), norm=norm, cmap="cividis_r", edgecolor="white", lw=1.5)
    for (i, j), value in np.ndenumerate(values):
        shown = "–" if np.isnan(value) else f"{value:.0f}" if value >= 99.5 else f"{value:.1f}"
        dark = not np.isnan(value) and style._luminance(np.array(mesh.cmap(norm(value))[:3])) < 0.3
        ax.text(j + 0.5, i + 0.5, shown, ha="center", va="center", fontsize=9, color="white" if dark else style.INK)
    formulas = errors.drop(index=BOOSTING, errors="ignore")
    for j, name in enumerate(errors.columns):
        judged = formulas[name].where(np.array([(model, name) != OWN_CONSTANTS for model in formulas.index]))
        if judged.notna().any():
            best = int(np.nanargmin(judged.to_numpy()))
            ax.add_patch(Rectangle((j + 0.03, best + 0.05), 0.94, 0.9, fill=False, ec=style.VERMILION, lw=2.2))
    if BOOSTING in errors.index:
        ax.axhline(len(formulas), color=style.INK, lw=1.6)
    ax.set_xticks(np.arange(len(errors.columns)) + 0.5, [set_label(name) for name in errors.columns], fontsize=9)
    ax.set_yticks(np.arange(len(errors)) + 0.5, [MODEL_LABELS.get(name, name) for name in errors.index], fontsize=9)
    ax.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
    ax.invert_yaxis()
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return figure


def residuals(run: "Run", models: Sequence[str] = RESIDUAL_MODELS, *, seed: int = 0) -> "pd.DataFrame":
    """Predict every layer of a run by models fitted without its fold.

    Returns
    -------
    DataFrame
        One row per model and layer: ``run, machine, model, mflops`` (10⁶ FLOP), ``class`` (a key of `CLASSES`),
        ``time_ms, predicted_ms`` and ``ratio`` (predicted over measured).
    """
    import pandas as pd

    good = run.ok
    f, times, table = features(good.table), np.asarray(good.time_ms(), dtype=np.float64), good.table
    kind = np.select([f.dense, f.pointwise], list(CLASSES)[:2], list(CLASSES)[2])
    base = pd.DataFrame({"mflops": flops(table) / 1e6, "class": kind, "time_ms": times})
    parts = []
    for model in models:
        predicted = out_of_fold(model, f, times, table, "random", seed=seed)
        named = base.assign(run=run.id, machine=run.machine, model=model)
        parts.append(named.assign(predicted_ms=predicted, ratio=predicted / times))
    return pd.concat(parts, ignore_index=True)


@style.styled
def draw_residuals(frame: "pd.DataFrame") -> "Figure":
    """Draw predicted over measured time against FLOPs, one panel per model; `frame` as given by `residuals`."""
    models = list(dict.fromkeys(frame["model"]))
    figure, axes = style.panels(len(models), 1.75)
    limits = [1 / 12, 12]
    for ax, model in zip(axes, models, strict=True):
        part = frame[frame["model"] == model]
        ax.axhspan(1 - NEAR / 100, 1 + NEAR / 100, color=style.GREY, alpha=0.25, lw=0)
        ax.axhline(1, color=style.INK, lw=0.8)
        for name, colour in CLASSES.items():
            rows = part[part["class"] == name]
            ax.scatter(rows["mflops"], rows["ratio"].clip(*limits), s=7, color=colour, alpha=0.55, lw=0, label=name)
        within = 100 * ((part["ratio"] - 1).abs() <= NEAR / 100).mean()
        ax.set(xscale="log", yscale="log", ylim=limits, ylabel="predicted /\nmeasured")
        ax.set_yticks([0.1, 0.2, 0.5, 1, 2, 5, 10], ["0.1", "0.2", "0.5", "1", "2", "5", "10"])
        ax.minorticks_off()
        note = f"{within:.0f} % of layers within ±{NEAR:.0f} % (grey band)"
        style.title(ax, MODEL_LABELS.get(model, model), note, style.MODELS[model])
    style.plain_ticks(axes[-1], "x")
    axes[-1].set_xlabel("FLOPs of the layer (millions)")
    handles, labels = axes[0].get_legend_handles_labels()
    kept = [i for i, name in enumerate(labels) if (frame["class"] == name).any()]
    figure.legend(
        [handles[i] for i in kept], [labels[i] for i in kept], loc="outside upper center", ncols=3, frameon=False,
        markerscale=2.5, fontsize=9, title=str(frame["machine"].iloc[0]), title_fontproperties={"weight": "bold"},
    )  # fmt: skip
    return figure


def summarise(learning: "pd.DataFrame") -> "pd.DataFrame":
    """Reduce the repeats of a learning curve to ``median, low, high`` mean error (%) per run, model and layers."""
    grouped = learning.groupby(["run", "model", "layers"], sort=False)["mape_pct"]
    return grouped.agg(median="median", low="min", high="max").reset_index()


@style.styled
def draw_learning(frame: "pd.DataFrame", machines: "dict[str, str]") -> "Figure":
    """Draw held-out error against the number of layers that calibrate, one panel per run.

    Parameters
    ----------
    frame : DataFrame
        As given by `summarise`.
    machines : dict
        Title of each run's panel.
    """
    runs = list(dict.fromkeys(frame["run"]))
    figure, axes = style.panels(len(runs), 1.9)
    for ax, run in zip(axes, runs, strict=True):
        part = frame[frame["run"] == run]
        ends: list[tuple[str, float, float, str]] = []
        for model, line in part.groupby("model", sort=False):
            colour = style.MODELS[str(model)]
            ax.fill_between(line["layers"], line["low"], line["high"], color=colour, alpha=0.18, lw=0)
            ax.plot(line["layers"], line["median"], marker="o", color=colour, label=model)
            words = MODEL_LABELS.get(str(model), str(model))
            ends.append((words, float(line["layers"].iloc[-1]), float(line["median"].iloc[-1]), colour))
        _learning_axes(ax, part)
        style.title(ax, machines[run])
        style.label_ends(ax, ends, gap=0.13)
    axes[-1].set_xlabel("layers measured for calibration (number)")
    return figure


def _learning_axes(ax: "Axes", part: "pd.DataFrame") -> None:
    sizes = sorted(set(part["layers"]))
    ax.set(xscale="log", yscale="log", ylabel="mean error (%)")
    style.plain_ticks(ax, "y")
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.minorticks_off()
