"""The figure, the tables and the sentences of the book's chapter on whole networks."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..figures.style import INK, machine_colours, panels, plain_ticks, styled, title
from .comparison import correlations

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MEDIAN_ASKED: Final = 0.10
"""Median absolute error that was aimed at before the first comparison."""

EACH_ASKED: Final = 0.20
"""Largest absolute error that was aimed at."""

MOVED: Final = 0.10
"""Share by which a network's own time must move between the parts of a measurement to be mentioned."""


def _hundredths(share: float, digits: int = 1, *, sign: bool = False) -> str:
    return f"{100 * share:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def _percent(share: float, digits: int = 1, *, sign: bool = False) -> str:
    return f"{_hundredths(share, digits, sign=sign)} %"


def _runs(frame: "pd.DataFrame") -> "Iterator[tuple[str, pd.DataFrame]]":
    for run in dict.fromkeys(frame["run"]):
        yield str(run), frame[frame["run"] == run]


def _rows(part: "pd.DataFrame") -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in part.to_dict("records")]


@styled
def draw_comparison(frame: "pd.DataFrame") -> "Figure":
    """Draw predicted times with intervals and measured times, one panel per run and one row per network."""
    parts = dict(_runs(frame))
    figure, axes = panels(len(parts), 2.4)
    colours = machine_colours(list(parts))
    for axis, (run, part) in zip(axes, parts.items(), strict=True):
        ordered = part.sort_values("measured_ms")
        rows = np.arange(len(ordered))
        ends = np.abs(ordered[["low_ms", "high_ms"]].to_numpy().T - ordered["predicted_ms"].to_numpy())
        axis.errorbar(ordered["predicted_ms"], rows, xerr=ends, fmt="o", color=colours[run], capsize=2)
        axis.plot(ordered["measured_ms"], rows, "D", color=INK, markerfacecolor="none", markersize=6)
        axis.set(xscale="log", yticks=rows, yticklabels=list(ordered["network"]))
        axis.tick_params(axis="x", labelbottom=True)
        axis.grid(visible=True, axis="x")
        plain_ticks(axis, "x")
        title(axis, run, "diamond: measured; dot: predicted, with interval", colours[run])
    axes[-1].set_xlabel("time of one input (ms)")
    return figure


def accuracy(frame: "pd.DataFrame") -> list[str]:
    """Say how far predictions are off, per run, and whether that is what was aimed at."""
    sentences = []
    for run, part in _runs(frame):
        size = part["error"].abs()
        worst = part.iloc[int(size.argmax())]
        inside = ((part["measured_ms"] >= part["low_ms"]) & (part["measured_ms"] <= part["high_ms"])).sum()
        met = size.median() <= MEDIAN_ASKED and size.max() <= EACH_ASKED
        sentences.append(
            f"**{run}**: median absolute error {_percent(size.median())} over {len(part)} networks, largest "
            f"{_percent(worst['error'], sign=True)} ({worst['network']}); {inside} of {len(part)} measured times lie "
            "in the interval. "
            f"The aim of {_percent(MEDIAN_ASKED, 0)} in the median and {_percent(EACH_ASKED, 0)} at most is "
            f"{'reached' if met else 'missed'}."
        )
    return sentences


def missing(frame: "pd.DataFrame") -> list[str]:
    """Say of each network where its error comes from: the formula for layers, or what the whole adds to them."""
    sentences = []
    for row in _rows(frame):
        layers = (row["layers_ms"] - row["turns_ms"]) / row["measured_ms"]
        rest = (row["rest_ms"] - row["remaining_ms"]) / row["measured_ms"]
        kind = row["kind_error_ms"] / row["measured_ms"]
        sentences.append(
            f"**{row['network']}, {row['run']}**: {_percent(row['error'], sign=True)} = "
            f"{_percent(layers, sign=True)} from the layers, most in {row['kind']} ({_percent(kind, sign=True)}), and "
            f"{_percent(rest, sign=True)} from the rest."
            + (
                f" The measured time itself moved by {_percent(row['spread'], 0)} within minutes."
                if row["spread"] > MOVED
                else ""
            )
        )
    return sentences


def why(frame: "pd.DataFrame") -> list[str]:
    """Say what layers cost more in a network than alone, and how far the formula would get without that, per run."""
    sentences = []
    for run, part in _runs(frame):
        slower = (part["turns_ms"] / part["alone_ms"]).median()
        formula = (part["formula_ms"] / part["alone_ms"] - 1).abs().median()
        plain = ((part["formula_ms"] + part["rest_ms"]) / part["measured_ms"] - 1).abs()
        sentences.append(
            f"**{run}**: in turns the layers take {slower:.2f} times as long as call after call (median). The formula "
            f"is {_percent(formula, 0)} off their sum call after call; uncorrected, whole networks would be "
            f"{_percent(plain.median(), 0)} off in the median and {_percent(plain.max(), 0)} at most."
        )
    return sentences


def made_of(frame: "pd.DataFrame") -> str:
    """Give the parts of each network's time (ms), predicted and measured, as a Markdown table."""
    lines = ["| network | run | layers: predicted | in turns | call after call | formula for those | "
             "rest: predicted | rest: measured | operators' share (%) |",
             "|---|---|---:|---:|---:|---:|---:|---:|---:|"]  # fmt: skip
    for row in _rows(frame):
        names = ("layers_ms", "turns_ms", "alone_ms", "formula_ms", "rest_ms", "remaining_ms")
        cells = [*(f"{row[name]:.1f}" for name in names), _hundredths(row["uncovered_ms"] / row["predicted_ms"], 0)]
        lines.append(f"| {row['network']} | {row['run']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def training(frame: "pd.DataFrame", forward: "pd.DataFrame") -> list[str]:
    """Say how well forward and backward together are predicted, and what the backward pass takes, per run.

    Parameters
    ----------
    frame, forward : DataFrame
        Comparisons with the times of training, and of forward passes alone.
    """
    sentences = []
    for run, part in _runs(frame):
        size = part["error"].abs()
        worst = part.iloc[int(size.argmax())]
        alone = forward[forward["run"] == run].set_index("network")["measured_ms"]
        ratio = part["measured_ms"].to_numpy() / alone[part["network"]].to_numpy()
        good = size.median() <= MEDIAN_ASKED and size.max() <= EACH_ASKED
        verdict = "as good as the aim for inference" if good else "worse than the aim for inference: a rough guide only"
        sentences.append(
            f"**{run}**: forward and backward take {np.median(ratio):.1f} times as long as forward alone (median of "
            f"{len(part)}). Predicted with a median absolute error of {_percent(size.median())}, largest "
            f"{_percent(worst['error'], sign=True)} ({worst['network']}); {verdict}."
        )
    return sentences


def ranking(frame: "pd.DataFrame") -> list[str]:
    """Say which measure orders the networks best, per run."""
    table = correlations(frame)
    return [
        f"**{run}**: rank correlation with measured time is "
        + ", ".join(f"{value:.2f} for {name}" for name, value in table[run].items())
        + "."
        for run in table
    ]


def depthwise_case(frame: "pd.DataFrame", small: str = "MobileNetV2", large: str = "ResNet-18") -> list[str]:
    """Say how much of the saving in MACs becomes a saving in time, where depthwise layers replace full ones."""
    sentences = []
    for run, part in _runs(frame):
        rows = {row["network"]: row for row in _rows(part)}
        if small in rows and large in rows:
            names = ("macs", "bytes", "measured_ms")
            macs, moved, time = (rows[large][name] / rows[small][name] for name in names)
            sentences.append(
                f"**{run}**: {small} has {macs:.1f} times fewer MACs than {large}, moves {1 / moved:.1f} times its "
                f"bytes, and is {time:.1f} times faster."
            )
    return sentences


def shown(frame: "pd.DataFrame") -> str:
    """Give the comparison as a Markdown table."""
    lines = ["| network | run | parameters (M) | MACs (G) | α-FLOPs (G) | measured (ms) | predicted (ms) | error (%) |",
             "|---|---|---:|---:|---:|---:|---:|---:|"]  # fmt: skip
    for row in _rows(frame):
        lines.append(
            f"| {row['network']} | {row['run']} | {row['params'] / 1e6:.1f} | {row['macs'] / 1e9:.2f} "
            f"| {row['alpha_flops'] / 1e9:.3f} | {row['measured_ms']:.1f} | {row['predicted_ms']:.1f} "
            f"| {_hundredths(row['error'], sign=True)} |"
        )
    return "\n".join(lines)
