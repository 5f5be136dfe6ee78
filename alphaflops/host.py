"""What a number needs to know about where it was measured: processor, accelerator, driver, libraries, threads.

Nothing here identifies a person or one particular computer: no user name, host name, serial number, bus address or
path is read. torch is imported only by the functions that ask it something.
"""

import os
import platform
import sys
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import AlphaflopsError

if TYPE_CHECKING:
    from collections.abc import Iterator

LIBRARIES = ("torch", "numpy", "pandas", "triton", "zeus", "nvidia-ml-py", "psutil")
"""Distributions whose versions go into a record (None where absent)."""

ENVIRONMENT = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_PROC_BIND",
    "KMP_AFFINITY",
    "GOMP_CPU_AFFINITY",
    "ONEDNN_MAX_CPU_ISA",
    "NVIDIA_TF32_OVERRIDE",
    "CUDA_LAUNCH_BLOCKING",
    "PYTORCH_CUDA_ALLOC_CONF",
    "CUBLAS_WORKSPACE_CONFIG",
)
"""Environment variables that change timings; the ones that are set go into a record."""

CACHE_BYTES_UNKNOWN = 64 * 2**20
"""Last-level cache assumed where the system does not tell (bytes)."""


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _cpuinfo(text: str) -> dict[str, str]:
    pairs = (line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _sysctl(name: str) -> str:
    import subprocess

    try:
        done = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, timeout=5, check=True)
        return done.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def cpu_name() -> str:
    """Model name of the processor as the system tells it."""
    info = _cpuinfo(_read("/proc/cpuinfo"))
    name = info.get("model name") or info.get("Model") or ""
    if not name and sys.platform == "darwin":
        name = _sysctl("machdep.cpu.brand_string")
    return " ".join((name or platform.processor() or platform.machine()).split())


def cores_usable() -> int:
    """Logical cores this process may use (number)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cache_bytes() -> int:
    """Size of the last-level cache of one socket, or `CACHE_BYTES_UNKNOWN` (bytes)."""
    sizes = []
    for index in range(5):
        text = _read(f"/sys/devices/system/cpu/cpu0/cache/index{index}/size").strip()
        if text[:-1].isdigit() and text[-1:] in "KMG":
            sizes.append(int(text[:-1]) * {"K": 2**10, "M": 2**20, "G": 2**30}[text[-1]])
    return max(sizes, default=CACHE_BYTES_UNKNOWN)


def memory_bytes() -> tuple[int | None, int | None]:
    """Total and currently available main memory, None where the system does not tell (bytes)."""
    fields = dict(line.split(":", 1) for line in _read("/proc/meminfo").splitlines() if ":" in line)
    if "MemTotal" in fields:
        total, free = (int(fields.get(name, "0 kB").split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
        return total, free
    try:
        import psutil
    except ImportError:
        return None, None
    memory = psutil.virtual_memory()
    return int(memory.total), int(memory.available)


def describe_cpu() -> dict[str, Any]:
    """Describe the processor: name, cores, last-level cache (MiB), memory (GiB), instruction sets, virtual or not."""
    info = _cpuinfo(_read("/proc/cpuinfo"))
    flags = set((info.get("flags") or info.get("Features") or "").split())
    known = ("avx", "avx2", "avx512f", "avx512_bf16", "amx_tile", "asimd", "sve", "sve2")
    total, _ = memory_bytes()
    return {
        "name": cpu_name(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "cores_usable": cores_usable(),
        "cache_mib": round(cache_bytes() / 2**20, 2),
        "memory_gib": None if total is None else round(total / 2**30, 1),
        "instructions": [name for name in known if name in flags],
        "virtual": "hypervisor" in flags,
    }


def _blas(config: str) -> str | None:
    for part in config.replace("\n", ",").split(","):
        if "BLAS_INFO=" in part:
            return part.split("BLAS_INFO=")[1].strip()
    return None


def library_versions() -> dict[str, str | None]:
    """Versions of `LIBRARIES` as installed, None for those that are absent."""
    versions: dict[str, str | None] = {}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def describe_software() -> dict[str, Any]:
    """Describe Python, the system, the libraries that matter to timing, by version, and the environment they obey."""
    import torch

    versions: dict[str, Any] = {**library_versions()}
    versions["torch"] = str(torch.__version__)
    versions["cuda"] = torch.version.cuda
    backends: Any = torch.backends
    versions["cudnn"] = str(backends.cudnn.version()) if backends.cudnn.is_available() else None
    versions["mkldnn"] = bool(backends.mkldnn.is_available())
    versions["blas"] = _blas(torch.__config__.show())
    versions["python"] = platform.python_version()
    versions["system"] = f"{platform.system()} {platform.release()}"
    versions["environment"] = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    return versions


@contextmanager
def nvml() -> "Iterator[Any]":
    """Open NVML and give its module, or None where the library or the driver is absent."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # the binding raises its own types, which do not exist where it is absent
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _ask(function: Any, *args: Any) -> Any:
    try:
        return function(*args)
    except Exception:  # NVML answers "not supported" per device and per field; each such field is None
        return None


def nvml_handle(library: Any, index: int) -> Any:
    """Handle of the device that torch calls ``cuda:index``, or None.

    torch counts only the devices in CUDA_VISIBLE_DEVICES, NVML counts all; the device is found by its identifier,
    which is compared here and never stored.
    """
    import torch

    wanted = str(getattr(torch.cuda.get_device_properties(index), "uuid", ""))
    handles = [_ask(library.nvmlDeviceGetHandleByIndex, i) for i in range(_ask(library.nvmlDeviceGetCount) or 0)]
    for handle in handles:
        if wanted and wanted in _text(_ask(library.nvmlDeviceGetUUID, handle)):
            return handle
    return handles[0] if len(handles) == 1 else None


def _counts_us(processes: list[Any], reserved_bytes: int) -> bool:
    """Whether this process is among the GPU's; in a container its number there is another, so memory tells too."""
    return reserved_bytes > 0 or any(process.pid == os.getpid() for process in processes)


def describe_gpu(index: int) -> dict[str, Any]:
    """Describe ``cuda:index``: name, driver, memory (GiB), clocks (MHz), power limit (W), MIG and sharing.

    ``mig`` tells whether the device is a slice of a larger one, ``shared`` whether other compute processes ran on it;
    both, and the clocks, are None where NVML does not tell.
    """
    import torch

    properties = torch.cuda.get_device_properties(index)
    described: dict[str, Any] = {
        "name": properties.name,
        "compute_capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count,
        "memory_gib": round(properties.total_memory / 2**30, 1),
        "cache_mib": round(getattr(properties, "L2_cache_size", 0) / 2**20, 2) or None,
        "mig": True if " MIG " in properties.name else None,
    }
    names = ("driver", "sm_clock_max_mhz", "memory_clock_max_mhz", "power_limit_w", "ecc", "shared")
    described |= dict.fromkeys(names)
    with nvml() as library:
        handle = nvml_handle(library, index) if library else None
        if handle is None:
            return described
        mode = _ask(library.nvmlDeviceGetMigMode, handle)
        limit = _ask(library.nvmlDeviceGetEnforcedPowerLimit, handle)
        ecc = _ask(library.nvmlDeviceGetEccMode, handle)
        others = _ask(library.nvmlDeviceGetComputeRunningProcesses, handle)
        described |= {
            "driver": _text(library.nvmlSystemGetDriverVersion()),
            "mig": bool(mode[0]) if mode else described["mig"] or False,
            "sm_clock_max_mhz": _ask(library.nvmlDeviceGetMaxClockInfo, handle, library.NVML_CLOCK_SM),
            "memory_clock_max_mhz": _ask(library.nvmlDeviceGetMaxClockInfo, handle, library.NVML_CLOCK_MEM),
            "power_limit_w": None if limit is None else limit / 1000,
            "ecc": None if ecc is None else bool(ecc[0]),
            "shared": None if others is None else len(others) > _counts_us(others, torch.cuda.memory_reserved(index)),
        }
    return described


def describe(device: str, threads: int | None = None) -> dict[str, Any]:
    """Describe the machine behind `device` (``cpu``, ``cuda:N`` or ``mps``) for a record.

    Returns
    -------
    dict
        ``name`` (what a legend shows), ``cpu``, ``gpu`` (None without one) and ``threads``.

    Raises
    ------
    AlphaflopsError
        If the kind of device is unknown.
    """
    cpu = describe_cpu()
    kind, _, index = device.partition(":")
    if kind == "cuda":
        gpu = describe_gpu(int(index or 0))
        return {"name": gpu["name"], "cpu": cpu, "gpu": gpu, "threads": threads}
    if kind == "mps":
        return {"name": f"{cpu['name']} (GPU)", "cpu": cpu, "gpu": {"name": cpu["name"]}, "threads": threads}
    if kind != "cpu":
        raise AlphaflopsError(f"device is {device!r}: expected cpu, cuda, cuda:N or mps")
    count = threads or cores_usable()
    return {"name": f"{cpu['name']}, {count} thread{'s' * (count > 1)}", "cpu": cpu, "gpu": None, "threads": count}
