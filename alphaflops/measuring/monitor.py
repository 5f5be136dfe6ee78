"""What the device and the machine were doing while a row was timed: clocks, heat, power, and other people's work.

What of it counts as throttled or disturbed is decided when a run is read, see `alphaflops.runs.derive`.
"""

import time
from dataclasses import dataclass, field
from typing import Any

from ..host import cpu
from ..host.gpu import Card
from ..runs.schema import STATE_COLUMNS

CLOCK_SHARE = 0.75
"""A clock under this share of the best of the run counts as throttled (as nvbench does)."""

WINDOW_S = 0.5
"""Shortest span over which other work is judged (s): the kernel counts busy time in ticks of 10 ms per core."""

THROTTLE_BITS = {
    0x4: "power-cap",
    0x8: "hardware-slowdown",
    0x20: "thermal-software",
    0x40: "thermal-hardware",
    0x80: "power-brake",
}
"""Bits of NVML's clock event reasons that slow work down; idle, application and display clocks are left out."""


class CpuSensors:
    """Readings of the processor: the time, and for how long anything but this process kept cores busy (s)."""

    now_s = staticmethod(time.perf_counter)
    read = staticmethod(cpu.cpu_state)

    def foreign_s(self) -> float | None:
        """Busy time of all cores less that of this process (s); None where the system does not tell."""
        busy = cpu.busy_s()
        return None if busy is None else busy - time.process_time()


class GpuSensors(CpuSensors):
    """The clock of the CPU, plus NVML's readings of one GPU (clock, temperature, power, reasons, other processes)."""

    def __init__(self, card: Card) -> None:
        self._card = card

    def read(self) -> dict[str, Any]:
        """Clocks (MHz), temperature (°C), power (W), throttle bits and the number of compute processes."""
        ask = self._card.ask
        power, processes = ask("PowerUsage"), ask("ComputeRunningProcesses")
        return {
            "cpu_mhz": cpu.cpu_state()["cpu_mhz"],
            "sm_clock_mhz": ask("ClockInfo", "CLOCK_SM"),
            "temperature_c": ask("Temperature", "TEMPERATURE_GPU"),
            "power_w": None if power is None else power / 1000,
            "throttle_bits": ask("CurrentClocksThrottleReasons"),
            "processes": None if processes is None else len(processes),
        }


@dataclass
class Watch:
    """Watches one row after another; keeps what it needs to compare (best clock, recent busy times)."""

    sensors: CpuSensors
    _recent: list[tuple[float, float]] = field(default_factory=list)
    _best: dict[str, float] = field(default_factory=dict)
    _events: float = 0.0

    def begin(self) -> None:
        """Note the state before a row."""
        if (foreign := self.sensors.foreign_s()) is not None:
            self._recent.append((self.sensors.now_s(), foreign))
        self._events = self.sensors.read().get("throttle_events", 0)

    def end(self) -> dict[str, Any]:
        """Read the state after a row and compare it with the row's beginning and the run so far.

        Returns
        -------
        dict
            ``temperature_c`` (°C), ``power_w`` (W) and ``sm_clock_mhz`` of a GPU, ``cpu_mhz`` (MHz), ``load`` (cores
            kept busy by anything but this process, stolen time included), ``processes`` on the GPU (numbers), None
            where the machine does not tell; ``throttle``: reasons joined by ``+``.
        """
        now = self.sensors.read()
        reasons = [name for bit, name in THROTTLE_BITS.items() if (now.get("throttle_bits") or 0) & bit]
        if now.get("throttle_events", 0) > self._events:
            reasons.append("thermal")
        name = "sm_clock_mhz" if now.get("sm_clock_mhz") else "cpu_mhz"
        clock = now.get(name) or 0.0
        self._best[name] = max(self._best.get(name, 0.0), clock)
        if 0 < clock < CLOCK_SHARE * self._best[name]:
            reasons.append("low-clock")
        told = {name: now.get(name) for name in STATE_COLUMNS}
        return told | {"load": self._foreign(), "throttle": "+".join(reasons)}

    def _foreign(self) -> float | None:
        now, foreign = self.sensors.now_s(), self.sensors.foreign_s()
        old = [entry for entry in self._recent if entry[0] <= now - WINDOW_S]
        if foreign is None or not old:
            return None
        then, before = old[-1]
        return round(max(0.0, (foreign - before) / (now - then)), 3)
