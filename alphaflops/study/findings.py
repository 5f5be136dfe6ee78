"""Say in words what a chapter's measurements show: a frame in, statistics and sentences out.

Every sentence follows from the numbers of the frame at hand and its wording changes with them, so that a book rebuilt
on another machine states what that machine did. Thresholds are the constants below.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..layers import macs, valid_macs

if TYPE_CHECKING:
    import pandas as pd

FLAT = 1.5
"""Largest factor between the slowest and the fastest time per FLOP of a line that is still called flat."""

TREND = 0.5
"""Least rank correlation that is called a rise or a fall."""

PROPORTIONAL = 0.8
"""Least ratio of growth in time to growth in FLOPs that is called proportional; the largest is its inverse."""

FLOOR = 2.0
"""Least factor between measured and predicted time of the smallest layers that is called a floor."""

ONE_RATE = 1.3
"""Largest factor between the highest and the lowest traffic per second that is called one rate."""


def number(value: float, digits: int = 2) -> str:
    """Write a number with that many significant digits, a true minus sign and no exponent.

    Parameters
    ----------
    value : float
        Any finite number.
    digits : int
        Significant digits kept.
    """
    if not math.isfinite(value) or value == 0:
        return "0" if value == 0 else "not known"
    rounded = float(f"{value:.{digits - 1}e}")
    places = digits - 1 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:,.{max(places, 0)}f}".replace("-", "−")


def between(values: Iterable[float], digits: int = 2) -> str:
    """Write the range of some numbers: ``"2.1 to 3.4"``, or one number where both ends read the same."""
    listed = list(values)
    low, high = number(min(listed), digits), number(max(listed), digits)
    return low if low == high else f"{low} to {high}"


def tied(text: str) -> str:
    """Tie each number to its unit by a space that does not break."""
    return re.sub(r"(?<=\d) (?=%|ms|GB/s)", "\N{NO-BREAK SPACE}", text)


def bullets(sentences: Iterable[str]) -> str:
    """Join sentences as a Markdown list, each number tied to its unit."""
    return "\n".join(f"- {tied(text)}" for text in sentences)


def error(frame: "pd.DataFrame") -> "pd.Series[float]":
    """Median absolute error of the dashed prediction per machine (percent of the measured time)."""
    relative = (frame["predicted_ms"] / frame["time_ms"] - 1).abs() * 100
    return relative.groupby(frame["machine"], sort=False).median()


def extremes(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Compare the slowest and the fastest layer of each machine.

    Parameters
    ----------
    frame : DataFrame
        Layers of equal FLOPs, as given by `figures.equal_flops`.

    Returns
    -------
    DataFrame
        Per machine: ``slow, fast`` (lines), ``slow_ms, fast_ms``, ``factor``, ``predicted_factor`` (the formula's ratio
        of the same two layers), ``low_gbs, high_gbs`` (least traffic over time, 10⁹ bytes per second).
    """
    import pandas as pd

    rows = {}
    for machine, part in frame.groupby("machine", sort=False):
        ordered = part.sort_values("time_ms", kind="stable")
        slow, fast = ordered.iloc[-1], ordered.iloc[0]
        rate = part["bytes"] / part["time_ms"] / 1e6
        rows[machine] = {
            "slow": slow["line"],
            "fast": fast["line"],
            "slow_ms": slow["time_ms"],
            "fast_ms": fast["time_ms"],
            "factor": slow["time_ms"] / fast["time_ms"],
            "predicted_factor": slow["predicted_ms"] / fast["predicted_ms"],
            "low_gbs": rate.min(),
            "high_gbs": rate.max(),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def apart(frame: "pd.DataFrame") -> str:
    """Sum up by which factor layers of equal FLOPs differ in time, machine by machine; `frame` as for `extremes`."""
    factors = [f"{number(row['factor'])} ({machine})" for machine, row in extremes(frame).iterrows()]
    return f"Layers of equal FLOPs differ in time by a factor of {', '.join(factors)}."


def apart_shortly(frame: "pd.DataFrame") -> dict[str, str]:
    """Say in a few words per machine what `extremes` finds, for the panels of a figure."""
    return {
        str(machine): f"slowest over fastest: {number(row['factor'])}; by α-FLOPs {number(row['predicted_factor'])}"
        for machine, row in extremes(frame).iterrows()
    }


def dense_against_conv(frame: "pd.DataFrame") -> list[str]:
    """Say what layers of equal FLOPs cost; `frame` as for `extremes`."""
    told = []
    for machine, row in extremes(frame).iterrows():
        told.append(
            f"**{machine}**: {row['slow']} takes {number(row['slow_ms'], 3)} ms and {row['fast']} "
            f"{number(row['fast_ms'], 3)} ms, {_factor(row['factor'])} for the same FLOPs. "
            f"α-FLOPs put this factor at {number(row['predicted_factor'])}. {_rate(row['low_gbs'], row['high_gbs'])}"
        )
    return told


def _factor(factor: float) -> str:
    return f"a factor of {number(factor)}" if factor > FLAT else f"almost the same (a factor of {number(factor)})"


def _rate(low: float, high: float) -> str:
    if high / low <= ONE_RATE:
        return f"All move their bytes at nearly one rate, {between((low, high), 3)} GB/s: traffic explains the order."
    return f"They move their bytes at {between((low, high), 3)} GB/s: traffic alone does not explain the order."


def floors(frame: "pd.DataFrame") -> list[str]:
    """Say where the smallest layers of a sweep take far longer than predicted: the floor of a call's overhead."""
    told = []
    for machine, part in frame.groupby("machine", sort=False):
        small = part[part["macs"] <= part["macs"].min() * 1.5]
        measured, predicted = small["time_ms"].median(), small["predicted_ms"].median()
        flops = number(2e-6 * small["macs"].median())
        if measured >= FLOOR * predicted:
            told.append(
                f"**{machine}**: the smallest layers ({flops} million FLOPs) take {number(measured)} ms where the "
                f"formula says {number(predicted)} ms. A call has a cost of its own, and the formula has no such term."
            )
        else:
            told.append(
                f"**{machine}**: the smallest layers ({flops} million FLOPs) take {number(measured)} ms against "
                f"{number(predicted)} ms predicted: no floor shows."
            )
    return told


def flatness(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Measure how far the lines of equal FLOPs are from flat.

    Returns
    -------
    DataFrame
        Per machine: ``low, high, median`` over the lines of the factor between the largest and the smallest time per
        MAC along a line, and ``trend``, the median over the lines of the rank correlation of time per MAC with the
        swept value.
    """
    import pandas as pd

    rows = {}
    for machine, part in frame.groupby("machine", sort=False):
        lines = [line for _, line in part.assign(cost=part["time_ms"] / part["macs"]).groupby("line", sort=False)]
        factors = np.array([line["cost"].max() / line["cost"].min() for line in lines])
        trends = [line["cost"].rank().corr(line["x"].rank()) for line in lines]
        rows[machine] = {
            "low": factors.min(),
            "high": factors.max(),
            "median": np.median(factors),
            "trend": np.median(trends),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def kernels(frame: "pd.DataFrame") -> list[str]:
    """Say whether lines of equal FLOPs are flat as the kernel grows, machine by machine."""
    errors = error(frame)
    told = []
    for machine, row in flatness(frame).iterrows():
        told.append(
            f"**{machine}**: {_flat(row)}. The dashed formula misses by {number(errors[str(machine)])} % (median)."
        )
    return told


def _flat(row: "pd.Series[float]") -> str:
    if row["high"] <= FLAT:
        return f"the lines are flat, time per FLOP stays within a factor of {number(row['high'])}"
    trend = "rises" if row["trend"] >= TREND else "falls" if row["trend"] <= -TREND else "goes up and down"
    return (
        f"time per FLOP {trend} with the kernel (rank correlation {number(row['trend'])}) and changes by a factor of "
        f"{between((row['low'], row['high']))} along a line"
    )


def flat_shortly(frame: "pd.DataFrame") -> dict[str, str]:
    """Say in a few words per machine how far time per FLOP changes along a line, for the panels of a figure."""
    return {
        str(machine): f"time per FLOP changes ×{between((row['low'], row['high']))}"
        for machine, row in flatness(frame).iterrows()
    }


def flattest(frame: "pd.DataFrame") -> str:
    """Say where the lines are flat, and name the machines with the flattest and the least flat ones."""
    spread = flatness(frame)["median"]
    flat = list(spread.index[spread <= FLAT])
    where = f"The time stays about the same on {', '.join(flat)}" if flat else "The time stays the same nowhere"
    if len(spread) == 1:
        return f"{where}: time per FLOP changes along a line by a factor of {number(spread.iloc[0])} (median)."
    return (
        f"{where}: along a line, time per FLOP changes least on {spread.idxmin()}, by a factor of "
        f"{number(spread.min())}, and most on {spread.idxmax()}, by {number(spread.max())} (medians over the lines)."
    )


def padding_share(frame: "pd.DataFrame") -> "pd.Series[float]":
    """Share of counted products that touch data rather than padding, by the swept value (between 0 and 1)."""
    import pandas as pd

    columns = {name: frame[name] for name in frame.columns}
    share = pd.Series(valid_macs(columns) / macs(columns))
    return share.groupby(frame["x"].to_numpy()).median()


def growth(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Compare the last point of every line with its first.

    Returns
    -------
    DataFrame
        Per machine and line: ``flops, time, predicted``, each as a factor.
    """
    import pandas as pd

    rows = []
    for (machine, line), part in frame.groupby(["machine", "line"], sort=False):
        first, last = part.iloc[0], part.iloc[-1]
        ratios = {name: last[column] / first[column] for name, column in _RATIOS.items()}
        rows.append({"machine": machine, "line": line, **ratios})
    return pd.DataFrame(rows)


_RATIOS = {"flops": "macs", "time": "time_ms", "predicted": "predicted_ms"}


def sweeps(frame: "pd.DataFrame", swept: str) -> list[str]:
    """Say how time grows along a sweep, machine by machine.

    Parameters
    ----------
    frame : DataFrame
        As given by `figures.sweep`.
    swept : str
        What grows, in words: ``"a wider input"``.
    """
    errors = error(frame)
    told = []
    for machine, part in growth(frame).groupby("machine", sort=False):
        ways = (part["time"] / part["flops"]).map(_way)
        lines = [f"{way} FLOPs on {count} of {len(part)} lines" for way, count in ways.value_counts(sort=False).items()]
        told.append(
            f"**{machine}**: with {swept}, FLOPs grow by a factor of {between(part['flops'])} and time by "
            f"{between(part['time'])}: time grows {', '.join(lines) if len(lines) > 1 else f'{ways.iloc[0]} FLOPs'}. "
            f"The formula says {between(part['predicted'])}; its median error is {number(errors[machine])} %."
        )
    return told


def _way(share: float) -> str:
    if share < PROPORTIONAL:
        return "more slowly than"
    return "faster than" if share > 1 / PROPORTIONAL else "in proportion to"


def grown_shortly(frame: "pd.DataFrame") -> dict[str, str]:
    """Say in a few words per machine how FLOPs and time grow along a line, for the panels of a figure."""
    return {
        str(machine): f"FLOPs ×{between(part['flops'])}, time ×{between(part['time'])}"
        for machine, part in growth(frame).groupby("machine", sort=False)
    }


def cheapest(frame: "pd.DataFrame") -> str:
    """Say on which machine time grows least, and most, as FLOPs grow along a sweep."""
    grown = growth(frame)
    times = grown.groupby("machine", sort=False)["time"].median()
    flops = f"While FLOPs grow by a factor of {between(grown['flops'])}, time grows"
    if len(times) == 1:
        return f"{flops} by {number(times.iloc[0])} on {times.index[0]} (median over the lines)."
    return (
        f"{flops} least on {times.idxmin()}, by {number(times.min())}, and most on {times.idxmax()}, by "
        f"{number(times.max())} (medians over the lines)."
    )


def paid(sweeps: "Mapping[str, pd.DataFrame]") -> str:
    """Say on the first machine which growing dimensions are paid for in full, and what the others cost.

    Parameters
    ----------
    sweeps : mapping
        Frames as given by `figures.sweep`, by what grows, in words.
    """
    first = next(iter(sweeps.values()))["machine"].iloc[0]
    shares = {}
    for name, frame in sweeps.items():
        grown = growth(frame[frame["machine"] == first])
        shares[name] = float((grown["time"] / grown["flops"]).median())
    full = [name for name, share in shares.items() if share >= PROPORTIONAL]
    less = [f"{name} {number(100 * share)} %" for name, share in shares.items() if share < PROPORTIONAL]
    told = [f"{' and '.join(full)} must be paid for in full: time grows as FLOPs do"] if full else []
    told += [f"of the growth in FLOPs, time shows for {', for '.join(less)}"] if less else []
    return f"On {first}, {'; '.join(told)} (medians over the lines)."


def batch_reason(frame: "pd.DataFrame") -> str:
    """Say how much of a dense layer's traffic is weights, which a batch shares."""
    weights = frame["in_channels"] * frame["out_channels"] * frame["dtype_bytes"] / frame["bytes"]
    return (
        f"Weights are {number(100 * weights.min(), 3)} % or more of the bytes that these layers move, and a batch "
        "reads them once: as long as moving bytes takes the time, further vectors cost little."
    )
