"""A GPU as torch and NVML describe it; what they do not tell is None."""

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .words import part_name, word

if TYPE_CHECKING:
    from collections.abc import Iterator


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
        "name": part_name(properties.name),
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
            "driver": word(_text(library.nvmlSystemGetDriverVersion())),
            "mig": bool(mode[0]) if mode else described["mig"] or False,
            "sm_clock_max_mhz": _ask(library.nvmlDeviceGetMaxClockInfo, handle, library.NVML_CLOCK_SM),
            "memory_clock_max_mhz": _ask(library.nvmlDeviceGetMaxClockInfo, handle, library.NVML_CLOCK_MEM),
            "power_limit_w": None if limit is None else limit / 1000,
            "ecc": None if ecc is None else bool(ecc[0]),
            "shared": None if others is None else len(others) > _counts_us(others, torch.cuda.memory_reserved(index)),
        }
    return described
