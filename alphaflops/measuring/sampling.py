"""Time anything that can be called: warm up, then take synchronised calls and pipelined blocks until both are known.

The sentinel is one layer that is timed again and again through a run: it cannot change, so what moves is the machine.
Its readings are judged when a run is read, see `alphaflops.runs.derive.judge`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import numpy as np

from ..errors import AlphaflopsError
from ..layers import Conv2d, Layer
from ..runs.derive import SMALLEST, estimate
from ..runs.schema import QUANTITIES, Status
from .device import Call, Device
from .protocol import Protocol

OVERTIME: Final = 4.0
"""Caps after which a layer so slow that it has no interval yet is stopped all the same."""

WARMUP_LEAST_NS: Final = 3_000_000
"""Warm-up lasts at least this long, so that a layer of a few µs is not judged on its first calls (ns)."""

LEAST_NS: Final = 20_000_000
"""Samples are spread over at least this long: what disturbs a machine for a few ms must not be all they see (ns)."""

BAD_CLOCK_SHARE: Final = 0.1
"""Share of readings that may be zero or negative before a layer is given up."""

LATENCY_AFTER_BLOCK: Final = 10
"""Synchronised calls that the ``pipelined`` protocol adds after its block, so that the record has a latency."""

LOOK_GROWTH: Final = 1.5
"""Each look at the interval comes at this many times the samples of the look before."""

SENTINEL: Final = Conv2d(56, 56, 128, 128, 3)
"""About 0.46 GMAC: some 10 ms on a CPU core, tens of µs on a GPU; neither all overhead nor slow to repeat."""

READING: Final = Protocol(smallest=31, largest=31, warmup_s=0.1)
BRIEF: Final = replace(READING, smallest=11, largest=11)
"""How the sentinel is timed, and how where its readings come often, as in a smoke run."""

HEAT_S: Final = 1.5
"""Least work before the first reading: libraries initialise and clocks rise meanwhile. Readings that come sooner than
this are `BRIEF`, and one is all the work before them (s)."""

SAME: Final = 0.02
"""Two readings as close as this (a fraction) end the work before the first reading that counts."""


class ClockError(RuntimeError):
    """The clock stood still or went backwards too often to time anything."""


@dataclass(frozen=True)
class Timing:
    """Raw samples of one call; medians, intervals and convergence follow from them, see `alphaflops.runs.derive`.

    Attributes
    ----------
    latency_ns : tuple of float
        Time of each synchronised call (ns).
    throughput_ns : tuple of float
        Time per call of each pipelined block (ns).
    block_calls : int
        Calls in a block; 0 without blocks.
    warmups : int
        Calls before the first sample.
    bad_clock : int
        Readings thrown away because the clock stood still or went backwards.
    status, message : str
        ``ok``, or what went wrong.
    """

    latency_ns: Any = ()
    throughput_ns: Any = ()
    block_calls: int = 0
    warmups: int = 0
    bad_clock: int = 0
    status: Status = "ok"
    message: str = ""


@dataclass
class _Sampler:
    """The samples of one call, without those that a clock standing still or going backwards spoilt."""

    device: Device
    call: Call
    settings: Protocol
    good: int = 0
    bad: int = 0
    warm: list[float] = field(default_factory=list)

    def keep(self, readings: Sequence[float]) -> list[float]:
        kept = [value for value in readings if value > 0]
        self.good += len(kept)
        self.bad += len(readings) - len(kept)
        if self.bad > max(5, BAD_CLOCK_SHARE * self.good):
            raise ClockError(f"the clock stood still or went backwards in {self.bad} readings, {self.good} were sound")
        return kept

    def calls(self, n: int) -> list[float]:
        return self.keep(self.device.calls_ns(self.call, n))

    def blocks(self, n: int, length: int) -> list[float]:
        return [ns / length for ns in self.keep([self.device.block_ns(self.call, length) for _ in range(n)])]

    def warm_up(self) -> None:
        warm, most = self.warm, self.settings.warmup_s * 1e9
        while len(warm) < 2 or ((spent := sum(warm)) <= most and (spent <= WARMUP_LEAST_NS or not settled(warm))):
            warm += self.calls(1)

    def collect(self, take: Callable[[int], list[float]], look: int, largest: int, cap_s: float) -> list[float]:
        """Take samples, looking at the interval at a few growing sizes, until it is narrow, `largest` or time is up."""
        samples: list[float] = []
        clock, cap_ns = self.device.clock_ns, cap_s * 1e9
        began = clock()
        while True:
            while len(samples) < look:
                spent = max(clock() - began, 0)
                if samples and (spent > OVERTIME * cap_ns or (spent > cap_ns and len(samples) >= SMALLEST)):
                    return samples
                affordable = int(len(samples) * cap_ns / spent / 8) if spent else 1
                samples += take(max(1, min(look - len(samples), affordable)))
            narrow = estimate(samples).half_width <= self.settings.tolerance
            if look >= largest or (narrow and clock() - began >= LEAST_NS):
                return samples
            look = min(largest, next_look(look))


def next_look(n: int) -> int:
    """Sample size at which to look again after a look at `n`."""
    return max(n + 1, int(n * LOOK_GROWTH))


def settled(samples: Sequence[float], window: int = 3, tolerance: float = 0.05) -> bool:
    """Tell whether warm-up is over: the last `window` timings are no more than `tolerance` faster than those before."""
    if len(samples) < 2 * window:
        return False
    before, after = np.median(samples[-2 * window : -window]), np.median(samples[-window:])
    return bool(after >= before * (1 - tolerance))


def time_call(device: Device, call: Call, settings: Protocol, quantities: Sequence[str] = QUANTITIES) -> Timing:
    """Time anything that runs when called: a layer, an operator, a whole network.

    Parameters
    ----------
    quantities : sequence of str
        Which of ``latency`` and ``throughput`` to take (``adaptive`` only).

    Raises
    ------
    RuntimeError
        Whatever the call raises, and `ClockError`.
    """
    one = _Sampler(device, call, settings)
    if settings.name == "pipelined":
        device.block_ns(call, settings.warmups)
        if not (throughput := one.blocks(1, settings.repeats)):
            raise ClockError("the clock stood still or went backwards")
        latency = one.calls(LATENCY_AFTER_BLOCK)
        return Timing(tuple(latency), tuple(throughput), settings.repeats, settings.warmups, one.bad)
    one.warm_up()
    latency, throughput, length = [], [], 0
    if "latency" in quantities:
        latency = one.collect(one.calls, settings.smallest, settings.largest, settings.latency_s)
    if "throughput" in quantities:
        length = max(1, round(settings.block_ms * 1e6 / float(np.median(latency or one.warm))))
        take, (least, most) = partial(one.blocks, length=length), (settings.blocks_smallest, settings.blocks_largest)
        throughput = one.collect(take, least, most, settings.throughput_s)
    return Timing(tuple(latency), tuple(throughput), length, len(one.warm), one.bad)


def time_layer(device: Device, layer: Layer, settings: Protocol, quantities: Sequence[str] = QUANTITIES) -> Timing:
    """Time a layer under a protocol; a layer that fails becomes a `Timing` with a status, never an exception.

    Raises
    ------
    AlphaflopsError
        If the device no longer answers: no later layer could be timed either.
    """
    needed, free = layer.bytes_moved, device.free_bytes()
    if free is not None and needed > settings.memory_share * free:
        share = f"{settings.memory_share:.0%} of the {free / 2**20:.0f} MiB free"
        return Timing(status="out-of-memory", message=f"needs at least {needed / 2**20:.0f} MiB, more than {share}")
    try:
        return time_call(device, device.prepare(layer), settings, quantities)
    except (RuntimeError, MemoryError) as error:
        if not device.alive():
            told = f"{device.name} stopped answering after {type(error).__name__}: restart, then --resume this run"
            raise AlphaflopsError(told) from error
        status, message = device.explain(error)
        return Timing(status=status, message=message)
    finally:
        device.release()


def sentinel_ms(device: Device, every_s: float) -> float | None:
    """Time the sentinel, which is done every `every_s` seconds; None where that fails (ms)."""
    timing = time_layer(device, SENTINEL, BRIEF if every_s < HEAT_S else READING, ("latency",))
    return round(float(np.median(timing.latency_ns)) / 1e6, 6) if timing.status == "ok" else None


def heat(device: Device, every_s: float) -> float | None:
    """Work until the sentinel takes the same time twice running, at most `every_s`: a start is no drift.

    Gives its last time, None where it fails (ms).
    """
    began, last = device.clock_ns(), float("nan")
    while (now := sentinel_ms(device, every_s)) is not None and every_s >= HEAT_S:
        passed_s = (device.clock_ns() - began) / 1e9
        if passed_s >= every_s or abs(now / last - 1) <= SAME:
            break
        if passed_s > HEAT_S:
            last = now
    return now
