"""A device that takes no time: its clock is a number, its timings follow a law that the test knows."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from alphaflops.layers import Layer
from alphaflops.measuring.monitor import Watch

Law = Callable[[np.random.Generator, int], np.ndarray]
"""Noise factors of shape ``(n,)`` around the true time of a call."""


def lognormal(sigma: float) -> Law:
    """Median 1, symmetric on a log scale."""
    return lambda rng, n: rng.lognormal(0.0, sigma, n)


class FakeSensors:
    """A machine at rest at full clock, unless told otherwise."""

    def __init__(self, device: "FakeDevice") -> None:
        self.device = device
        self.foreign_cores = 0.0
        self.readings: dict[str, Any] = {"sm_clock_mhz": 1500.0, "temperature_c": 60.0, "power_w": 100.0}

    def foreign_s(self) -> float:
        return self.now_s() * self.foreign_cores

    def now_s(self) -> float:
        return self.device.now_ns / 1e9

    def read(self) -> dict[str, Any]:
        return dict(self.readings)


class FakeDevice:
    """Calls take ``base_ms`` times the law times ``speed(seconds)``, plus ``overhead_ms`` when synchronised alone."""

    kind = "fake"

    def __init__(
        self,
        law: Law | None = None,
        seed: int = 0,
        base_ms: float = 1.0,
        overhead_ms: float = 0.0,
        speed: Callable[[float], float] = lambda _seconds: 1.0,
        name: str = "cpu",
    ) -> None:
        self.name = name
        self.now_ns = 0
        self.base_ms, self.overhead_ms, self.speed = base_ms, overhead_ms, speed
        self.law = law or lognormal(0.02)
        self.rng = np.random.default_rng(seed)
        self.sensors = FakeSensors(self)
        self.watch = Watch(self.sensors)
        self.prepared: list[Layer] = []
        self.fail: Callable[[Layer], Exception | None] = lambda _layer: None
        self.dead = False
        self.memory: int | None = None

    def clock_ns(self) -> int:
        return self.now_ns

    def prepare(self, layer: Layer) -> Callable[[], None]:
        if error := self.fail(layer):
            raise error
        self.prepared.append(layer)
        return lambda: None

    def _draw(self, n: int) -> np.ndarray:
        return self.law(self.rng, n) * self.base_ms * self.speed(self.now_ns / 1e9) * 1e6

    def calls_ns(self, call: Callable[[], None], n: int) -> list[int]:
        times = [max(1, round(t)) for t in self._draw(n) + self.overhead_ms * 1e6]
        self.now_ns += sum(times)
        return times

    def block_ns(self, call: Callable[[], None], n: int) -> int:
        took = max(1, round(float(self._draw(1)[0]) * n))
        self.now_ns += took
        return took

    def free_bytes(self) -> int | None:
        return self.memory

    def release(self) -> None:
        pass

    def explain(self, error: Exception) -> tuple[str, str]:
        status = "out-of-memory" if "out of memory" in str(error) else "error"
        return status, str(error)

    def alive(self) -> bool:
        return not self.dead


class BackwardsClock(FakeDevice):
    """Gives the readings of a clock that jumps back, or stands still, in some calls."""

    def __init__(self, bad: Sequence[int], still: bool = False, **rest: Any) -> None:
        super().__init__(**rest)
        self.bad, self.still, self.count = set(bad), still, 0

    def calls_ns(self, call: Callable[[], None], n: int) -> list[int]:
        times = []
        for value in super().calls_ns(call, n):
            times.append((0 if self.still else -value) if self.count in self.bad else value)
            self.count += 1
        return times
