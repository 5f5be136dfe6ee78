"""Which devices are here, and how one is opened: torch's global switches set for a measurement, and restored."""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from .. import host
from ..errors import AlphaflopsError
from ..host import nvml
from .device import CudaDevice, Device, MpsDevice
from .monitor import CpuSensors, GpuSensors, Watch
from .protocol import Protocol

EVEN_KERNEL = "Using padding='same' with even kernel lengths"
"""How a warning of PyTorch begins that says nothing about times."""


def available() -> list[str]:
    """Names of the devices torch can use here, best first for ``auto``."""
    import torch

    names = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return [*names, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def choose(name: str) -> str:
    """Resolve ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps`` to a device that is here.

    Raises
    ------
    AlphaflopsError
        If the device is not here; the message lists the ones that are. Never falls back silently.
    """
    here = available()
    wanted = {"auto": here[0], "cuda": "cuda:0"}.get(name, name)
    if wanted not in here:
        raise AlphaflopsError(f"device {name!r} is not on this machine: choose from {', '.join(['auto', *here])}")
    return wanted


def set_tf32(torch: Any, allow: bool) -> tuple[Any, ...]:
    """Set TF32 for matrix products and cuDNN; give back what was set before.

    torch 2.9 brought ``fp32_precision`` and refuses to mix it with the older switches, hence the two ways.
    """
    if hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        places, word = (torch.backends.cuda.matmul, torch.backends.cudnn.conv), "tf32" if allow else "ieee"
        before = tuple(place.fp32_precision for place in places)
        for place in places:
            place.fp32_precision = word
        return before
    before = (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allow
    return before


def restore_tf32(torch: Any, before: tuple[Any, ...]) -> None:
    """Set TF32 as it was before `set_tf32`."""
    if isinstance(before[0], str):
        torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision = before
    else:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@contextmanager
def opened(name: str, settings: Protocol, threads: int | None = None) -> Iterator[Device]:
    """Open the device `name` (already resolved by `choose`) with torch's global switches set, and restore them.

    Raises
    ------
    AlphaflopsError
        If `threads` is out of range.
    """
    import torch

    kind, _, index = name.partition(":")
    threads_before, benchmark_before = torch.get_num_threads(), torch.backends.cudnn.benchmark
    with ExitStack() as stack:
        stack.callback(torch.set_num_threads, threads_before)
        torch.set_num_threads(host.threads(threads))
        stack.callback(setattr, torch.backends.cudnn, "benchmark", benchmark_before)
        torch.backends.cudnn.benchmark = settings.cudnn_benchmark
        stack.callback(restore_tf32, torch, set_tf32(torch, settings.tf32))
        stack.enter_context(torch.inference_mode())
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", message=EVEN_KERNEL)
        sensors = CpuSensors()
        if kind == "cuda" and (card := stack.enter_context(nvml(int(index)))):
            sensors = GpuSensors(card)
        devices = {"cpu": Device, "cuda": CudaDevice, "mps": MpsDevice}
        yield devices[kind](name, settings, Watch(sensors))
