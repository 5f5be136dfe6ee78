"""The replication's fine grids: where time jumps although FLOPs hardly change."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from ..claims import statistics as evidence
from .findings import between, number

if TYPE_CHECKING:
    import pandas as pd

    from ..runs import Run

LARGE = 2.0
"""Least factor between the times before and after a step that is called a large jump."""


def lines(runs: Iterable["Run"], experiment: str = "replication_F") -> "pd.DataFrame":
    """Gather the lines of one fine grid, with the steps at which time jumps.

    Parameters
    ----------
    runs : iterable of Run
        Those without this grid are left out.
    experiment : str
        One of `evidence.FINE`.

    Returns
    -------
    DataFrame
        One row per layer: the columns of `evidence.lines`, ``run, machine``, ``output_mib`` (2²⁰ bytes), ``factor`` (as
        given by `evidence.step_factors`) and ``jumps`` (whether a jump begins there).
    """
    import pandas as pd

    parts = []
    for run in runs:
        for part in evidence.lines(run.ok, (experiment,)):
            steps = evidence.step_factors(part)
            factors = np.ones(len(part)) if steps is None else steps
            size = part["batch"] * part["height"] * part["width"] * part["out_channels"] * part["dtype_bytes"] / 2**20
            found = part.assign(run=run.id, machine=run.machine, output_mib=size, factor=factors)
            parts.append(found.assign(jumps=evidence.jump_starts(factors)))
    return pd.concat(parts, ignore_index=True)


def told(frame: "pd.DataFrame") -> list[str]:
    """Say per run how many lines jump and how large the outputs are where they jump most; `frame` from `lines`."""
    sentences = []
    for _, part in frame.groupby("run", sort=False):
        counts = part.groupby("line", sort=False)["jumps"].sum()
        jumping = int((counts >= evidence.JUMPS_PER_LINE).sum())
        large = part[part["factor"] >= LARGE]
        where = (
            f"The largest is a factor of {number(part['factor'].max())}; every jump by {number(LARGE, 1)} or more lies "
            f"where the output takes {between(large['output_mib'])} MiB."
            if len(large)
            else f"None reaches a factor of {number(LARGE, 1)}."
        )
        name = part["machine"].iloc[0]
        sentences.append(f"**{name}**: {jumping} of {len(counts)} lines jump, {counts.sum()} times in all. {where}")
    return sentences
