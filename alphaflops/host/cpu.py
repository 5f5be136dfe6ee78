"""The processor and the memory, with the limits that affinity and control groups set."""

import os
import platform
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import AlphaflopsError

ROOT = Path("/")
"""Where the files of ``/proc`` and ``/sys`` are looked for; a test puts a planted machine there."""

CORES = "/sys/devices/system/cpu"


def word(text: object, most: int = 60) -> str:
    """Give what a system says of itself as a record may hold it: letters, digits and a few signs."""
    return re.sub(r"[^0-9A-Za-z .+_-]", "-", str(text)).strip(" .+_-")[:most] or "unknown"


def part_name(text: object) -> str:
    """Give the name of a part as a record may hold it; see ``run.schema.json``."""
    return " ".join(re.sub(r"[^A-Za-z0-9À-ɏ .,()@/+:;%=_®™µ·×–—-]", " ", str(text)).split())[:100] or "unknown"


def _read(path: str) -> str:
    with suppress(OSError):
        return (ROOT / path.lstrip("/")).read_text(encoding="utf-8", errors="replace")
    return ""


def _natural(text: str) -> int | None:
    return int(text) if text.strip().isdigit() else None


def _fields(path: str) -> dict[str, str]:
    """Give the lines ``key: value`` of a file up to its first empty line."""
    pairs = (line.split(":", 1) for line in _read(path).split("\n\n")[0].splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def cpu_name() -> str:
    """Model name of the processor as the system tells it."""
    info = _fields("/proc/cpuinfo")
    name = info.get("model name") or info.get("Model") or ""
    if not name and sys.platform == "darwin":
        with suppress(OSError, subprocess.SubprocessError):
            name = subprocess.check_output(["sysctl", "-n", "machdep.cpu.brand_string"], text=True, timeout=5)
    return part_name(name or platform.processor() or platform.machine())


def _control_groups() -> list[str]:
    """Folders of this process's control group and of all above it."""
    lines = _read("/proc/self/cgroup").splitlines()
    parts = next((line[3:] for line in lines if line.startswith("0::")), "/").strip("/").split("/")
    return ["/".join(["/sys/fs/cgroup", *parts[:n]]) for n in range(len(parts), 0, -1) if parts[0]] + ["/sys/fs/cgroup"]


def quota_cores() -> float | None:
    """Processor time that the process's control groups allow, in cores; None without a limit."""
    pairs = [_read(f"{folder}/cpu.max").split() for folder in _control_groups()]
    pairs.append([_read(f"/sys/fs/cgroup/cpu/cpu.cfs_{part}_us").strip() for part in ("quota", "period")])
    numbers = [(_natural(pair[0]), _natural(pair[1])) for pair in pairs if len(pair) == 2]
    return min((quota / period for quota, period in numbers if quota and period), default=None)


def memory_limit() -> tuple[int | None, int]:
    """Memory that the process's control groups allow (None without a limit) and what is left of it (bytes)."""
    names = [
        (f"{folder}/memory.max", f"{folder}/memory.current", f"{folder}/memory.stat", "inactive_file")
        for folder in _control_groups()
    ]
    old = "/sys/fs/cgroup/memory/memory"
    names.append((f"{old}.limit_in_bytes", f"{old}.usage_in_bytes", f"{old}.stat", "total_inactive_file"))
    limits = []
    for limit, used, stat, reclaimable in names:
        if (most := _natural(_read(limit))) is not None and most < 2**60:  # the old kind says "none" by a huge number
            kept = next((int(line.split()[1]) for line in _read(stat).splitlines() if line.startswith(reclaimable)), 0)
            limits.append((most, max(most - (_natural(_read(used)) or 0) + kept, 0)))
    return (min(most for most, _ in limits), min(left for _, left in limits)) if limits else (None, 0)


def cores_usable() -> int:
    """Logical cores this process may use, by its affinity and the quota of its control groups (number)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = quota_cores()
    return cores if quota is None else max(1, min(cores, int(quota)))


def threads(asked: int | None = None) -> int:
    """Threads to compute with: those asked for, else ``OMP_NUM_THREADS``, else `cores_usable`.

    Raises
    ------
    AlphaflopsError
        If what was asked for cannot be had.
    """
    most = max(1024, os.cpu_count() or 1)  # more than both is a mistake
    if asked is not None:
        if not 1 <= asked <= most:
            raise AlphaflopsError(f"threads is {asked}: give 1 to {most}")
        return asked
    told = _natural(os.environ.get("OMP_NUM_THREADS", "").partition(",")[0])
    return min(told or cores_usable(), most)


def cache_bytes() -> int:
    """Size of the last-level cache of one socket, 64 MiB where the system does not tell (bytes)."""
    units = {"K": 2**10, "M": 2**20, "G": 2**30}
    told = [_read(f"{CORES}/cpu0/cache/index{index}/size").strip() for index in range(5)]
    sizes = [int(text[:-1]) * units[text[-1]] for text in told if text[:-1].isdigit() and text[-1] in units]
    return max(sizes, default=64 * 2**20)


def _machine_memory() -> tuple[int | None, int | None]:
    told = _fields("/proc/meminfo")
    total, free = (int(told[n].split()[0]) * 1024 if n in told else None for n in ("MemTotal", "MemAvailable"))
    return total, free


def memory_bytes() -> tuple[int | None, int | None]:
    """Total and currently available main memory within the limits of control groups, None where unknown (bytes)."""
    total, free = _machine_memory()
    limit, left = memory_limit()
    if limit is None:
        return total, free
    return min(total or limit, limit), min(left if free is None else free, left)


def busy_s() -> float | None:
    """Busy time of all cores since boot, stolen time included (s); None where the system does not tell."""
    ticks = [int(text) for text in _read("/proc/stat").partition("\n")[0].split()[1:9]]
    return (sum(ticks) - sum(ticks[3:5])) / os.sysconf("SC_CLK_TCK") if ticks else None  # idle and waiting left out


def cpu_state() -> dict[str, Any]:
    """Clock (MHz, None where the system does not tell) and the count of thermal throttle events."""
    cores = [f"{CORES}/{folder.name}" for folder in (ROOT / CORES.lstrip("/")).glob("cpu[0-9]*")]
    clocks = [khz / 1000 for core in cores if (khz := _natural(_read(f"{core}/cpufreq/scaling_cur_freq")))]
    if not clocks:
        lines = _read("/proc/cpuinfo").splitlines()
        clocks = [float(line.split(":")[1]) for line in lines if line.startswith("cpu MHz")]
    events = [_natural(_read(f"{core}/thermal_throttle/core_throttle_count")) or 0 for core in cores]
    return {"cpu_mhz": max(clocks, default=None), "throttle_events": sum(events)}


def describe_cpu() -> dict[str, Any]:
    """Describe the processor: name, cores, cache (MiB), memory (GiB), limits, instruction sets, virtual or not."""
    info = _fields("/proc/cpuinfo")
    flags = set((info.get("flags") or info.get("Features") or "").split())
    known = ("avx", "avx2", "avx512f", "avx512_bf16", "amx_tile", "asimd", "sve", "sve2")
    (total, _), (limit, _), quota = _machine_memory(), memory_limit(), quota_cores()
    return {
        "name": cpu_name(),
        "architecture": word(platform.machine()),
        "cores": os.cpu_count(),
        "cores_usable": cores_usable(),
        "quota_cores": None if quota is None else round(quota, 3),
        "cache_mib": round(cache_bytes() / 2**20, 2),
        "memory_gib": None if total is None else round(total / 2**30, 1),
        "memory_limit_gib": None if limit is None else round(limit / 2**30, 3),
        "instructions": [name for name in known if name in flags],
        "virtual": "hypervisor" in flags,
    }
