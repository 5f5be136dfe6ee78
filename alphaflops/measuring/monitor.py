"""What the device and the machine were doing while a row was timed: clocks, heat, power, and other people's work.

What of it counts as throttled or disturbed is decided when a run is read, see `alphaflops.runs.derive`.
"""

import os
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..host import Card

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


def _number(path: Path) -> float | None:
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return None


class CpuSensors:
    """Readings from ``/proc`` and ``/sys`` of Linux; None elsewhere."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def busy_s(self) -> float | None:
        """Busy time of all cores since boot, stolen time included (s)."""
        try:
            fields = (self._root / "proc/stat").read_text().split("\n", 1)[0].split()
        except OSError:
            return None
        user, nice, system, _idle, _wait, irq, softirq, steal = (int(v) for v in fields[1:9])
        return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")

    def own_s(self) -> float:
        """Busy time of this process on all cores (s)."""
        return time.process_time()

    def now_s(self) -> float:
        """Monotonic time (s)."""
        return time.perf_counter()

    def read(self) -> dict[str, Any]:
        """Clock (MHz) and the count of thermal throttle events."""
        cpus = self._root / "sys/devices/system/cpu"
        clocks = [v / 1000 for p in cpus.glob("cpu[0-9]*/cpufreq/scaling_cur_freq") if (v := _number(p))]
        if not clocks:
            with suppress(OSError):
                lines = (self._root / "proc/cpuinfo").read_text().splitlines()
                clocks = [float(line.split(":")[1]) for line in lines if line.startswith("cpu MHz")]
        events = cpus.glob("cpu[0-9]*/thermal_throttle/core_throttle_count")
        return {"cpu_mhz": max(clocks, default=None), "throttle_events": sum(_number(p) or 0.0 for p in events)}


class GpuSensors(CpuSensors):
    """The clock of the CPU, plus NVML's readings of one GPU (clock, temperature, power, reasons, other processes)."""

    def __init__(self, card: Card) -> None:
        super().__init__()
        self._card = card

    def read(self) -> dict[str, Any]:
        """Clocks (MHz), temperature (°C), power (W), throttle bits and the number of compute processes."""
        ask, library = self._card.ask, self._card.library
        power, processes = ask("PowerUsage"), ask("ComputeRunningProcesses")
        return {
            "cpu_mhz": super().read()["cpu_mhz"],
            "sm_clock_mhz": ask("ClockInfo", library.NVML_CLOCK_SM),
            "temperature_c": ask("Temperature", library.NVML_TEMPERATURE_GPU),
            "power_w": None if power is None else power / 1000,
            "throttle_bits": ask("CurrentClocksThrottleReasons"),
            "processes": None if processes is None else len(processes),
        }


@dataclass
class Watch:
    """Watches one row after another; keeps what it needs to compare (best clock, recent busy times)."""

    sensors: CpuSensors
    _recent: deque[tuple[float, float, float]] = field(default_factory=deque)
    _best: dict[str, float] = field(default_factory=dict)
    _start: dict[str, Any] = field(default_factory=dict)

    def begin(self) -> None:
        """Note the state before a row."""
        now, busy = self.sensors.now_s(), self.sensors.busy_s()
        if busy is not None:
            self._recent.append((now, busy, self.sensors.own_s()))
            while len(self._recent) > 1 and self._recent[1][0] <= now - WINDOW_S:
                self._recent.popleft()
        self._start = self.sensors.read()

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
        if now.get("throttle_events", 0) > self._start.get("throttle_events", 0):
            reasons.append("thermal")
        clock = "sm_clock_mhz" if now.get("sm_clock_mhz") else "cpu_mhz"
        if now.get(clock):
            self._best[clock] = max(self._best.get(clock, 0.0), now[clock])
            if now[clock] < CLOCK_SHARE * self._best[clock]:
                reasons.append("low-clock")
        told = {name: now.get(name) for name in ("temperature_c", "power_w", "sm_clock_mhz", "cpu_mhz", "processes")}
        return told | {"load": self._foreign(), "throttle": "+".join(reasons)}

    def _foreign(self) -> float | None:
        now, busy = self.sensors.now_s(), self.sensors.busy_s()
        old = [entry for entry in self._recent if entry[0] <= now - WINDOW_S]
        if busy is None or not old:
            return None
        then, busy_then, own_then = old[-1]
        return round(max(0.0, (busy - busy_then - (self.sensors.own_s() - own_then)) / (now - then)), 3)
