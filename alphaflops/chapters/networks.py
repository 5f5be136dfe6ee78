"""Whole networks, predicted and measured, as the tables that their chapter shows."""

import pandas as pd

from ..results import read
from ..runs import datasets


def compared() -> pd.DataFrame:
    """Give the networks in the results with the machine of each run.

    Returns
    -------
    DataFrame
        The columns of the result, ``machine``, ``gmacs`` (10⁹ MAC) and ``error_pct`` (predicted over measured minus 1,
        %), networks from fast to slow.
    """
    found = read("networks")
    known = datasets.entries()
    found = found.assign(
        machine=[known[run].device if run in known else run for run in found["run"]],
        gmacs=found["macs"] / 1e9,
        error_pct=100 * (found["predicted_ms"] / found["measured_ms"] - 1),
    )
    return found.sort_values(["run", "measured_ms"], kind="stable").reset_index(drop=True)


def both(frame: pd.DataFrame) -> pd.DataFrame:
    """Put measured and predicted times below each other: ``network, machine, of, ms, low, high``."""
    base = frame[["network", "machine"]]
    measured = base.assign(of="measured", ms=frame["measured_ms"], low=frame["measured_ms"], high=frame["measured_ms"])
    predicted = base.assign(of="predicted", ms=frame["predicted_ms"], low=frame["low_ms"], high=frame["high_ms"])
    return pd.concat([measured, predicted], ignore_index=True)
