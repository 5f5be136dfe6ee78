"""Joules per call of a layer, from a counter of energy; where there is none, None and the reason.

Counters are slow (NVML's moves every 100 ms), so one layer is repeated for `WORK_S`, with the idle machine measured
before and, after a pause to cool, behind it. Gross is all the energy of the window divided by its calls; net leaves
out what the idle machine would have used. Nothing is ever derived from a rated power.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..host import Card, nvml
from ..layers import Layer, bytes_moved, macs
from .device import Device

if TYPE_CHECKING:
    import pandas as pd

WORK_S = 5.0
"""Least time for which one layer is repeated (s)."""

IDLE_S, COOL_S = 2.0, 2.0
"""Length of each idle window, and of the pause between work and the second one (s)."""

LAYERS = 60
"""Layers in the energy set."""

RAPL = Path("/sys/class/powercap")


@dataclass
class Counter:
    """Cumulative counters that add up.

    Attributes
    ----------
    reads : sequence of callable
        One for each counter; gives its value.
    unit_j : float
        What one step of a counter is worth (J).
    wraps : sequence of float
        Value at which each counter starts again from 0; 0 for one that never does.
    """

    reads: Sequence[Callable[[], float]]
    unit_j: float
    wraps: Sequence[float]
    _start: Sequence[float] = ()

    def begin(self) -> None:
        """Start."""
        self._start = [read() for read in self.reads]

    def end(self) -> float:
        """Energy since `begin` (J)."""
        passed = 0.0
        for read, start, wrap in zip(self.reads, self._start, self.wraps, strict=True):
            now = read()
            passed += now - start + (wrap if now < start else 0.0)
        return passed * self.unit_j


def rapl_counter(root: Path = RAPL) -> tuple[Counter | None, str]:
    """Find the package counters of the processor, or None and why not."""
    domains = [d for d in sorted(root.glob("intel-rapl:*")) if d.name.count(":") == 1]
    if not domains:
        return None, "no RAPL counter on this machine"
    reads = [partial(_microjoules, d / "energy_uj") for d in domains]
    try:
        wraps = [_microjoules(d / "max_energy_range_uj") for d in domains]
        start = sum(read() for read in reads)
    except (OSError, ValueError):
        return None, "the RAPL counter is not readable for this user"
    if start == 0:
        return None, "the RAPL counter stays at zero (virtual machine)"
    return Counter(reads, 1e-6, wraps), ""


def _microjoules(file: Path) -> float:
    return float(file.read_text())


def nvml_counter(card: Card | None) -> tuple[Counter | None, str]:
    """Find the GPU's energy counter, or None and why not."""
    if card is None:
        return None, "NVML is not available"
    if card.ask("TotalEnergyConsumption") is None:  # before Volta
        return None, "NVML has no energy counter for this GPU"
    return Counter([partial(card.ask, "TotalEnergyConsumption")], 1e-3, [0.0]), ""


class Meter:
    """Measures layers one after another through one `Counter`."""

    def __init__(
        self, device: Device, counter: Counter | None, reason: str = "", sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._device, self.counter, self._reason, self._sleep = device, counter, reason, sleep

    def _idle_w(self, counter: Counter) -> float:
        start = self._device.clock_ns()
        counter.begin()
        self._sleep(IDLE_S)
        return counter.end() / ((self._device.clock_ns() - start) / 1e9)

    def measure(self, layer: Layer, call_s: float) -> dict[str, Any]:
        """Energy of one call of a layer that takes about `call_s` seconds.

        Returns
        -------
        dict
            ``energy_j`` (net) and ``energy_gross_j`` per call, None without a source; ``energy_source``: ``counter`` or
            ``none: <reason>``.
        """
        counter = self.counter
        if counter is None:
            return {"energy_j": None, "energy_gross_j": None, "energy_source": f"none: {self._reason}"}
        call = self._device.prepare(layer)
        length = max(1, round(0.25 / call_s))
        idle = [self._idle_w(counter)]
        calls, start = 0, self._device.clock_ns()
        counter.begin()
        while (passed := (self._device.clock_ns() - start) / 1e9) < WORK_S:
            self._device.block_ns(call, length)
            calls += length
        gross = counter.end()
        self._device.release()
        self._sleep(COOL_S)
        idle.append(self._idle_w(counter))
        net = gross - float(np.mean(idle)) * passed
        return {"energy_j": net / calls, "energy_gross_j": gross / calls, "energy_source": "counter"}


@contextmanager
def open_meter(device: Device) -> Iterator[Meter]:
    """Open the counter of a device: NVML's of a GPU, RAPL's of the CPU."""
    if device.kind == "cuda":
        with nvml(int(device.name.partition(":")[2] or 0)) as card:
            yield Meter(device, *nvml_counter(card))
    elif device.kind == "cpu":
        yield Meter(device, *rapl_counter())
    else:
        yield Meter(device, None, f"no energy counter is known for {device.kind}")


def choose_rows(grid: "pd.DataFrame", count: int = LAYERS) -> "pd.DataFrame":
    """Choose up to `count` layers that span the grid: evenly spaced by (experiment, MACs, bytes) after sorting.

    Equal layers are taken once. The choice depends on the grid alone.
    """
    sizes = grid.assign(_macs=macs(grid), _bytes=bytes_moved(grid))
    ordered = sizes.drop_duplicates(["_macs", "_bytes", "k1", "batch"]).sort_values(["experiment", "_macs", "_bytes"])
    picked = np.unique(np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round().astype(int))
    return grid.loc[ordered.index[picked]].sort_values("row")
