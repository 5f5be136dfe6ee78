"""Our protocol against the paper's 2000 repetitions: the same layers, one process, medians and time spent."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..layers import Conv2d, Dense, Layer
from .devices import Device
from .opening import choose, opened
from .protocol import Protocol, for_profile
from .sentinel import SENTINEL
from .timing import time_layer

REPEATS = 2000
"""Executions per layer behind each published time of the paper."""

LARGEST = 60
"""Most synchronised calls of a row here: with warm-up and start that stays under a twentieth of `REPEATS`."""

LAYERS: tuple[Layer, ...] = (
    *(Dense(n, n, batch) for n in (800, 1100, 1600, 2200) for batch in (1, 8)),
    *(Conv2d(1, 2, n, n // 2) for n in (800, 1600, 2200, 3200)),
    *(Conv2d(4, 4, n // 4, n // 4) for n in (1600, 3200, 4500, 6400)),
    *(Conv2d(10, 10, 600 // k, 600 // k, k) for k in (1, 2, 3, 5, 7, 9, 13)),
    *(Conv2d(120 // k, 120 // k, 50, 50, k) for k in (1, 2, 3, 4, 5, 6)),
    *(Conv2d(56, w, 32, 32, 3) for w in (10, 20, 40, 80)),
    *(Conv2d(28, 28, 64, n, 3) for n in (10, 20, 40, 80)),
    *(Conv2d(28, 28, n, 64) for n in (20, 40, 80, 160, 320)),
)
"""42 small layers of the paper's kinds; the paper's own sizes would keep a CPU core busy for half a day."""


@dataclass(frozen=True)
class Comparison:
    """One layer under both protocols.

    Attributes
    ----------
    layer : Layer
    long_ms, short_ms : float
        Median of 2000 calls, and of ours (ms).
    long_s, short_s : float
        Time spent on each, warm-up included (s).
    halves : float
        Distance of the two halves of the 2000 calls from each other (fraction): what the machine itself allows.
    """

    layer: Layer
    long_ms: float
    short_ms: float
    long_s: float
    short_s: float
    halves: float

    @property
    def difference(self) -> float:
        """Distance of our median from the long one, a fraction of it."""
        return abs(self.short_ms / self.long_ms - 1)


def _timed(device: Device, layer: Layer, settings: Protocol) -> tuple[float, float]:
    start = device.clock_ns()
    timing = time_layer(device, layer, settings, ("latency",))
    return float(np.median(timing.latency_ns)) / 1e6, (device.clock_ns() - start) / 1e9


def compare(device: Device, layers: tuple[Layer, ...] = LAYERS, repeats: int = REPEATS) -> list[Comparison]:
    """Time each layer under both protocols, ours in the middle of the long one so that neither sees another machine."""
    ours = replace(for_profile("paper"), largest=LARGEST, warmup_s=0.05)
    half = for_profile("paper", "per-call", repeats=repeats // 2)
    time_layer(device, SENTINEL, ours, ("latency",))  # libraries initialise
    found = []
    for layer in layers:
        start = device.clock_ns()
        first = time_layer(device, layer, half)
        before = (device.clock_ns() - start) / 1e9
        short_ms, short_s = _timed(device, layer, ours)
        start = device.clock_ns()
        second = time_layer(device, layer, half)
        after = (device.clock_ns() - start) / 1e9
        long_ms = float(np.median((*first.latency_ns, *second.latency_ns))) / 1e6
        halves = abs(float(np.median(second.latency_ns) / np.median(first.latency_ns)) - 1)
        found.append(Comparison(layer, long_ms, short_ms, before + after, short_s, halves))
    return found


def conclude(found: list[Comparison]) -> dict[str, Any]:
    """Summarise a comparison.

    Returns
    -------
    dict
        ``layers``, ``repeats`` (of the long protocol), ``worst_difference_pct``, ``median_difference_pct``,
        ``within_2_pct`` (layers), ``halves_within_2_pct`` (layers whose two halves of the long protocol agree as well),
        ``halves_worst_pct``, ``long_s``, ``short_s`` and ``time_ratio`` (short over long).
    """
    differences = np.asarray([one.difference for one in found])
    long_s, short_s = (float(sum(getattr(one, name) for one in found)) for name in ("long_s", "short_s"))
    return {
        "layers": len(found),
        "repeats": REPEATS,
        "worst_difference_pct": round(100 * float(differences.max()), 3),
        "median_difference_pct": round(100 * float(np.median(differences)), 3),
        "within_2_pct": int((differences <= 0.02).sum()),
        "halves_within_2_pct": sum(one.halves <= 0.02 for one in found),
        "halves_worst_pct": round(100 * max(one.halves for one in found), 3),
        "long_s": round(long_s, 2),
        "short_s": round(short_s, 2),
        "time_ratio": round(short_s / long_s, 4),
    }


def bench(device: str = "cpu", threads: int | None = 1) -> dict[str, Any]:
    """Run the comparison on a device of this machine; about a minute on one CPU core.

    Raises
    ------
    AlphaflopsError
        If the device is not here.
    """
    with opened(choose(device), for_profile("paper"), threads) as here:
        return conclude(compare(here))
