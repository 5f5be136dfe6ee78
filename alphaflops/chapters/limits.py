"""Measured layers against what their hardware can do: arithmetic, bandwidth, repeatability."""

from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..layers import COLUMNS, bytes_moved, flops, macs, valid_macs
from ..runs import Run, datasets

STREAMED_BYTES: Final = 40e6
"""Least traffic from which on no cache of these devices holds a layer: it must come from memory (bytes)."""
BEYOND: Final = 1.1
"""Multiple of a peak from which on a layer is called beyond the hardware: clocks and timers are not exact."""
CLASSES: Final = ("1×1 or dense", "larger kernels")
UNKNOWN: Final = (np.nan, np.nan)


def peaks(run: Run) -> tuple[float, float] | None:
    """Give the data-sheet peaks of a run's device: 10¹² FLOP/s of fp32 and 10⁹ bytes/s; None where they are not known.

    Those of the run's own entry in ``datasets.json``, or of another that names the same device.
    """
    known = datasets.entries()
    entry = known.get(run.id) or next((e for e in known.values() if e.device == run.machine), None)
    if entry is None or entry.peak_tflops is None or entry.peak_gbs is None:
        return None
    return entry.peak_tflops, entry.peak_gbs


def rates(run: Run) -> pd.DataFrame:
    """Compute what each layer of a run reaches.

    Returns
    -------
    DataFrame
        The run's rows: ``run, machine, experiment, line, x``, sizes, ``time_ms``, ``tflops`` (10¹² FLOP/s, 2 per MAC,
        padding counted), ``gbs`` (10⁹ bytes/s of least traffic), ``mbytes`` (10⁶ bytes), ``intensity`` (FLOP per
        byte), ``valid_share`` (products that touch data, 0 to 1), ``class`` (one of `CLASSES`) and ``beyond``: whether
        the layer exceeds the hardware by more than a tenth, in arithmetic, or in bytes from memory where no cache can
        hold it; never where no peak is known.
    """
    table, (arithmetic, bandwidth) = run.ok.table, peaks(run) or UNKNOWN
    seconds, moved, done = table["latency_ms"] / 1e3, bytes_moved(table), flops(table)
    tflops, gbs = done / seconds / 1e12, moved / seconds / 1e9
    return table[["experiment", "line", "x", *COLUMNS]].assign(
        run=run.id,
        machine=run.machine,
        time_ms=table["latency_ms"],
        mbytes=moved / 1e6,
        tflops=tflops,
        gbs=gbs,
        intensity=done / moved,
        valid_share=valid_macs(table) / macs(table),
        beyond=(tflops > BEYOND * arithmetic) | (moved >= STREAMED_BYTES) & (gbs > BEYOND * bandwidth),
        **{"class": np.where((table["k1"] * table["k2"] == 1).to_numpy(), *CLASSES)},
    )


def roof(run: Run) -> NDArray[np.float64]:
    """Give what the data sheet allows for each layer, shape ``(n,)`` (10¹² FLOP/s); NaN where no peak is known."""
    table, (arithmetic, bandwidth) = run.ok.table, peaks(run) or UNKNOWN
    return np.asarray(np.minimum(arithmetic, bandwidth * flops(table) / bytes_moved(table) / 1e3))


def repeated(run: Run) -> pd.DataFrame:
    """Compare the times of layers that a run holds more than once.

    Returns
    -------
    DataFrame
        One row per distinct layer that occurs twice or more: ``layer`` (its sizes in words), ``n`` (times measured),
        ``fastest_ms``, ``slowest_ms``, ``spread_pct`` (slowest over fastest minus 1, %), the largest spread first.
    """
    times = run.ok.table.groupby(list(COLUMNS), sort=False)["latency_ms"]
    found = times.agg(n="count", fastest_ms="min", slowest_ms="max").reset_index()
    found = found[found["n"] > 1]
    layers = [sizes(row) for row in found.to_dict("records")]
    found = found.assign(layer=layers, spread_pct=100 * (found["slowest_ms"] / found["fastest_ms"] - 1))
    found = found.sort_values("spread_pct", ascending=False, kind="stable").reset_index(drop=True)
    return found[["layer", "n", "fastest_ms", "slowest_ms", "spread_pct"]]


def sizes(row: Any) -> str:
    """Write a layer's sizes in words: ``dense 400 → 400`` or ``3×3 conv on 10×10, 100 → 50``."""
    channels, batch = f"{row['in_channels']} → {row['out_channels']}", row["batch"]
    more = f", batch {batch}" if batch > 1 else ""
    if row["kind"] == "dense":
        return f"dense {channels}{more}"
    return f"{row['k1']}×{row['k2']} conv on {row['height']}×{row['width']}, {channels}{more}"
