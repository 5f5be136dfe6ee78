"""Time anything that can be called: warm up, then take synchronised calls and pipelined blocks until both are known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import AlphaflopsError
from ..layers import Layer
from ..runs.derive import SMALLEST, estimate
from ..runs.schema import QUANTITIES
from .device import Call, Device
from .protocol import Protocol

OVERTIME = 4.0
"""Caps after which a layer so slow that it has no interval yet is stopped all the same."""

WARMUP_LEAST_NS = 3_000_000
"""Warm-up lasts at least this long, so that a layer of a few µs is not judged on its first calls (ns)."""

LEAST_NS = 20_000_000
"""Samples are spread over at least this long: what disturbs a machine for a few ms must not be all they see (ns)."""

BAD_CLOCK_SHARE = 0.1
"""Share of readings that may be zero or negative before a layer is given up."""

LATENCY_AFTER_BLOCK = 10
"""Synchronised calls that the ``pipelined`` protocol adds after its block, so that the record has a latency."""

LOOK_GROWTH = 1.5
"""Each look at the interval comes at this many times the samples of the look before."""


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

    latency_ns: tuple[float, ...] = ()
    throughput_ns: tuple[float, ...] = ()
    block_calls: int = 0
    warmups: int = 0
    bad_clock: int = 0
    status: str = "ok"
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
            total = self.bad + self.good
            raise ClockError(f"the clock stood still or went backwards in {self.bad} of {total} readings")
        return kept

    def calls(self, n: int) -> list[float]:
        return self.keep(self.device.calls_ns(self.call, n))

    def blocks(self, n: int, length: int) -> list[float]:
        return [ns / length for ns in self.keep([self.device.block_ns(self.call, length) for _ in range(n)])]

    def warm_up(self) -> None:
        most = self.settings.warmup_s * 1e9
        while len(self.warm) < 2 or not (
            (spent := sum(self.warm)) > most or (spent > WARMUP_LEAST_NS and settled(self.warm))
        ):
            self.warm += self.calls(1)

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
            narrow = estimate(samples).within(self.settings.tolerance)
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
    throughput: list[float] = []
    length = 0
    if settings.name == "per-call":
        return Timing(tuple(one.calls(settings.repeats)), bad_clock=one.bad)
    if settings.name == "pipelined":
        if settings.warmups:
            device.block_ns(call, settings.warmups)
        if not (throughput := one.blocks(1, settings.repeats)):
            raise ClockError("the clock stood still or went backwards")
        latency = tuple(one.calls(LATENCY_AFTER_BLOCK))
        return Timing(latency, tuple(throughput), settings.repeats, settings.warmups, one.bad)
    one.warm_up()
    samples: list[float] = []
    if "latency" in quantities:
        samples = one.collect(one.calls, settings.smallest, settings.largest, settings.latency_s)
    if "throughput" in quantities:
        length = max(1, round(settings.block_ms * 1e6 / float(np.median(samples or one.warm))))
        throughput = one.collect(
            lambda n: one.blocks(n, length), settings.blocks_smallest, settings.blocks_largest, settings.throughput_s
        )
    return Timing(tuple(samples), tuple(throughput), length, len(one.warm), one.bad)


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
            raise AlphaflopsError(
                f"{device.name} stopped answering after {type(error).__name__}: restart, then --resume this run"
            ) from error
        status, message = device.explain(error)
        return Timing(status=status, message=message)
    finally:
        device.release()
