"""Time one layer: warm up, take synchronised calls and pipelined blocks until their medians are known well enough."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import AlphaflopsError
from ..layers import Layer
from .devices import Call, Device
from .protocol import Protocol
from .statistics import SMALLEST, Estimate, estimate, next_look, settled

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


class ClockError(RuntimeError):
    """The clock stood still or went backwards too often to time anything."""


@dataclass(frozen=True)
class Timing:
    """Raw samples of one layer.

    Attributes
    ----------
    latency_ns : tuple of int
        Time of each synchronised call (ns).
    throughput_ns : tuple of float
        Time per call of each pipelined block (ns).
    block_calls : int
        Calls in a block; 0 without blocks.
    warmups : int
        Calls before the first sample.
    converged : bool
        Whether both intervals got as narrow as asked for; True for protocols that take a fixed number of calls.
    status, message : str
        ``ok``, or what went wrong.
    flags : tuple of str
        ``clock`` where readings had to be thrown away.
    """

    latency_ns: tuple[int, ...] = ()
    throughput_ns: tuple[float, ...] = ()
    block_calls: int = 0
    warmups: int = 0
    converged: bool = False
    status: str = "ok"
    message: str = ""
    flags: tuple[str, ...] = ()


@dataclass
class _Clock:
    """Readings of one row, without those that a clock standing still or going backwards spoilt."""

    device: Device
    good: int = 0
    bad: int = 0

    def keep(self, readings: Sequence[float]) -> list[float]:
        kept = [value for value in readings if value > 0]
        self.good += len(kept)
        self.bad += len(readings) - len(kept)
        if self.bad > max(5, BAD_CLOCK_SHARE * self.good):
            total = self.bad + self.good
            raise ClockError(f"the clock stood still or went backwards in {self.bad} of {total} readings")
        return kept


def time_layer(
    device: Device, layer: Layer, settings: Protocol, quantities: Sequence[str] = ("latency", "throughput")
) -> Timing:
    """Time a layer under a protocol; a layer that fails becomes a `Timing` with a status, never an exception.

    Parameters
    ----------
    quantities : sequence of str
        Which of ``latency`` and ``throughput`` to take (``adaptive`` only).

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
        call = device.prepare(layer)
        if settings.name == "per-call":
            return _per_call(device, call, settings)
        if settings.name == "pipelined":
            return _pipelined(device, call, settings)
        return _adaptive(device, call, settings, quantities)
    except (RuntimeError, MemoryError) as error:
        if not device.alive():
            raise AlphaflopsError(
                f"{device.name} stopped answering after {type(error).__name__}: restart, then --resume this run"
            ) from error
        status, message = device.explain(error)
        return Timing(status=status, message=message)
    finally:
        device.release()


def _adaptive(device: Device, call: Call, settings: Protocol, quantities: Sequence[str]) -> Timing:
    clock = _Clock(device)
    warm = _warm_up(device, call, settings, clock)
    latency: list[float] = []
    throughput: list[float] = []
    length, converged = 0, True
    if "latency" in quantities:
        latency, done = _collect(
            device,
            lambda n: clock.keep(device.calls_ns(call, n)),
            (settings.smallest, settings.largest),
            settings.latency_s,
            settings.tolerance,
        )
        converged &= done
    if "throughput" in quantities:
        typical = float(np.median(latency or warm))
        length = max(1, round(settings.block_ms * 1e6 / typical))
        throughput, done = _collect(
            device,
            lambda n: [ns / length for ns in clock.keep([device.block_ns(call, length) for _ in range(n)])],
            (settings.blocks_smallest, settings.blocks_largest),
            settings.throughput_s,
            settings.tolerance,
        )
        converged &= done
    flags = ("clock",) if clock.bad else ()
    calls = tuple(int(ns) for ns in latency)
    return Timing(calls, tuple(throughput), length, len(warm), converged, flags=flags)


def _warm_up(device: Device, call: Call, settings: Protocol, clock: _Clock) -> list[float]:
    times: list[float] = []
    while True:
        times += clock.keep(device.calls_ns(call, 1))
        spent = sum(times)
        if len(times) >= 2 and (spent > settings.warmup_s * 1e9 or (spent > WARMUP_LEAST_NS and settled(times))):
            return times


def _collect(
    device: Device,
    take: Callable[[int], list[float]],
    sizes: tuple[int, int],
    cap_s: float,
    tolerance: float,
) -> tuple[list[float], bool]:
    """Take samples, looking at the interval at a few growing sizes, until it is narrow, `sizes` or time run out."""
    samples: list[float] = []
    look, largest = sizes
    cap_ns, began = cap_s * 1e9, device.clock_ns()
    while True:
        while len(samples) < look:
            spent = max(device.clock_ns() - began, 0)
            if samples and (spent > OVERTIME * cap_ns or (spent > cap_ns and len(samples) >= SMALLEST)):
                return samples, estimate(samples).within(tolerance)
            affordable = int(len(samples) * cap_ns / spent / 8) if spent else 1
            samples += take(max(1, min(look - len(samples), affordable)))
        if device.clock_ns() - began >= LEAST_NS and estimate(samples).within(tolerance):
            return samples, True
        if look >= largest:
            return samples, estimate(samples).within(tolerance)
        look = min(largest, next_look(look))


def _per_call(device: Device, call: Call, settings: Protocol) -> Timing:
    clock = _Clock(device)
    latency = clock.keep(device.calls_ns(call, settings.repeats))
    flags = ("clock",) if clock.bad else ()
    return Timing(tuple(int(ns) for ns in latency), converged=True, flags=flags)


def _pipelined(device: Device, call: Call, settings: Protocol) -> Timing:
    clock = _Clock(device)
    if settings.warmups:
        device.block_ns(call, settings.warmups)
    block = clock.keep([device.block_ns(call, settings.repeats)])
    if not block:
        raise ClockError("the clock stood still or went backwards")
    latency = clock.keep(device.calls_ns(call, LATENCY_AFTER_BLOCK))
    return Timing(
        tuple(int(ns) for ns in latency), (block[0] / settings.repeats,), settings.repeats, settings.warmups, True
    )


def summarise(samples_ms: NDArray[np.float64], settings: Protocol) -> Estimate:
    """Reduce samples (ms) to what the protocol reports: median and interval, or the replication's plain mean."""
    if settings.name == "adaptive" or len(samples_ms) == 0:
        return estimate(samples_ms)
    mean = float(np.mean(samples_ms))
    return Estimate(mean, float("nan"), float("nan"), len(samples_ms))
