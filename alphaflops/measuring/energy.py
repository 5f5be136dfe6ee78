"""Joules per call of a layer, from a GPU's counter of energy; where there is none, None and the reason.

Counters are slow (NVML's moves every 100 ms), so one layer is repeated for `WORK_S`, with the idle machine measured
before and, after a pause to cool, behind it. Gross is all the energy of the window divided by its calls; net leaves
out what the idle machine would have used. Nothing is ever derived from a rated power.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from ..layers import Layer, bytes_moved, macs
from .device import Device

WORK_S = 5.0
"""Least time for which one layer is repeated (s)."""

IDLE_S, COOL_S = 2.0, 2.0
"""Length of each idle window, and of the pause between work and the second one (s)."""

LAYERS = 60
"""Layers in the energy set."""

Counter = Callable[[], float] | str
"""Gives the energy used so far (J); or why nothing does."""


def counter_of(device: Device) -> Counter:
    """Give the counter of a device: NVML's of a GPU."""
    if device.kind != "cuda":
        return f"no energy counter is known for {device.kind}"
    if device.card.ask("TotalEnergyConsumption") is None:
        return "NVML is not there or has no energy counter for this GPU"  # none before Volta
    return lambda: float(device.card.ask("TotalEnergyConsumption")) / 1e3


def joules(
    device: Device, counter: Counter, layer: Layer, call_s: float, sleep: Callable[[float], None] = time.sleep
) -> dict[str, Any]:
    """Energy of one call of a layer that takes about `call_s` seconds.

    Returns
    -------
    dict
        ``energy_j`` (net) and ``energy_gross_j`` per call, None without a counter; ``energy_source``: ``counter`` or
        ``none: <reason>``.
    """
    if isinstance(counter, str):
        return {"energy_j": None, "energy_gross_j": None, "energy_source": f"none: {counter}"}

    def idle_w() -> float:
        start, used = device.clock_ns(), counter()
        sleep(IDLE_S)
        return (counter() - used) / ((device.clock_ns() - start) / 1e9)

    call = device.prepare(layer)
    length = max(1, round(0.25 / call_s))
    before_w, calls, start, used = idle_w(), 0, device.clock_ns(), counter()
    while (passed := (device.clock_ns() - start) / 1e9) < WORK_S:
        device.block_ns(call, length)
        calls += length
    gross = counter() - used
    device.release()
    sleep(COOL_S)
    net = gross - (before_w + idle_w()) / 2 * passed
    return {"energy_j": net / calls, "energy_gross_j": gross / calls, "energy_source": "counter"}


def choose_rows(grid: pd.DataFrame, count: int = LAYERS) -> pd.DataFrame:
    """Choose up to `count` layers that span the grid: evenly spaced by (experiment, MACs, bytes) after sorting.

    Equal layers are taken once. The choice depends on the grid alone.
    """
    sizes = grid.assign(_macs=macs(grid), _bytes=bytes_moved(grid))
    ordered = sizes.drop_duplicates(["_macs", "_bytes", "k1", "batch"]).sort_values(["experiment", "_macs", "_bytes"])
    picked = np.unique(np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round().astype(int))
    return grid.loc[ordered.index[picked]].sort_values("row")
