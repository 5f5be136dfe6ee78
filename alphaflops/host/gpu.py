"""A GPU as torch and NVML describe it; what they do not tell is None."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from .cpu import part_name, word


@dataclass(frozen=True)
class Card:
    """A GPU as NVML knows it; where library, driver or GPU is absent it has neither field and answers nothing.

    Attributes
    ----------
    nvml : module
        The binding of NVML.
    handle : object
        The GPU's in NVML.
    """

    nvml: Any = None
    handle: Any = None

    def ask(self, what: str, *names: str) -> Any:
        """Give what ``nvmlDeviceGet`` + `what` tells of constants by their names, or None.

        NVML answers "not supported" field by field.
        """
        with suppress(Exception):  # of NVML's own types, which do not exist where the binding is absent
            constants = [getattr(self.nvml, f"NVML_{name}") for name in names]
            return getattr(self.nvml, f"nvmlDeviceGet{what}")(self.handle, *constants)
        return None


@contextmanager
def nvml(index: int) -> Iterator[Card]:
    """Open NVML and give the GPU that torch calls ``cuda:index``."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # as above
        yield Card()
        return
    try:
        yield _card(pynvml, index)
    finally:
        pynvml.nvmlShutdown()


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _card(library: Any, index: int) -> Card:
    """Find a GPU: torch counts only those in CUDA_VISIBLE_DEVICES, NVML all.

    It is known by its identifier, which is compared here and never stored.
    """
    import torch

    wanted = str(getattr(torch.cuda.get_device_properties(index), "uuid", ""))
    handles = [Card(library, i).ask("HandleByIndex") for i in range(library.nvmlDeviceGetCount())]
    cards = [Card(library, handle) for handle in handles if handle is not None]
    alone = cards[0] if len(handles) == len(cards) == 1 else Card()
    return next((card for card in cards if wanted and wanted in _text(card.ask("UUID"))), alone)


def describe_gpu(index: int) -> dict[str, Any]:
    """Describe ``cuda:index``: name, driver, memory (GiB), clocks (MHz), power limit (W), MIG and sharing.

    ``mig`` tells whether the device is a slice of a larger one, ``shared`` whether other compute processes ran on it;
    both, and the clocks, are None where NVML does not tell.
    """
    import torch

    properties = torch.cuda.get_device_properties(index)
    with nvml(index) as card:
        mode, ecc, limit = card.ask("MigMode"), card.ask("EccMode"), card.ask("EnforcedPowerLimit")
        others = card.ask("ComputeRunningProcesses")
        # In a container this process has another number there, so memory tells too that it is among them.
        ours = torch.cuda.memory_reserved(index) > 0 or os.getpid() in [process.pid for process in others or ()]
        return {
            "name": part_name(properties.name),
            "compute_capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
            "memory_gib": round(properties.total_memory / 2**30, 1),
            "cache_mib": round(getattr(properties, "L2_cache_size", 0) / 2**20, 2) or None,
            "mig": bool(mode[0]) if mode else " MIG " in properties.name or (False if card.nvml else None),
            "driver": card.nvml and word(_text(card.nvml.nvmlSystemGetDriverVersion())),
            "sm_clock_max_mhz": card.ask("MaxClockInfo", "CLOCK_SM"),
            "memory_clock_max_mhz": card.ask("MaxClockInfo", "CLOCK_MEM"),
            "power_limit_w": None if limit is None else limit / 1000,
            "ecc": None if ecc is None else bool(ecc[0]),
            "shared": None if others is None else len(others) > ours,
        }
