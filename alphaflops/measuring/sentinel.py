"""One layer timed again and again through a run: it cannot change, so what moves is the machine.

The readings are judged when a run is read, see `alphaflops.runs.derive.judge`.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from ..layers import Conv2d
from .device import Device
from .protocol import Protocol
from .sampling import time_layer

SENTINEL: Final = Conv2d(56, 56, 128, 128, 3)
"""About 0.46 GMAC: some 10 ms on a CPU core, tens of µs on a GPU; neither all overhead nor slow to repeat."""

CALLS: Final = 31
"""Synchronised calls per reading."""

HEAT_S: Final = 1.5
"""Least work before the first reading: libraries initialise and clocks rise meanwhile (s)."""

SAME: Final = 0.02
"""Two readings as close as this (a fraction) end the work before the first reading that counts."""


def reading(device: Device, settings: Protocol) -> float | None:
    """Time the sentinel, None where that fails (ms)."""
    own = Protocol(tf32=settings.tf32, memory_format=settings.memory_format, cold_cache=settings.cold_cache)
    own = replace(own, smallest=CALLS, largest=CALLS, warmup_s=0.1)
    timing = time_layer(device, SENTINEL, own, ("latency",))
    return round(float(np.median(timing.latency_ns)) / 1e6, 6) if timing.status == "ok" else None


def heat(device: Device, settings: Protocol) -> None:
    """Work until the sentinel takes the same time twice running, at most ``sentinel_s``: a start is no drift."""
    began, last = device.clock_ns(), float("nan")
    while (now := reading(device, settings)) is not None:
        passed_s = (device.clock_ns() - began) / 1e9
        if passed_s >= settings.sentinel_s or abs(now / last - 1) <= SAME:
            return
        if passed_s > HEAT_S:
            last = now
