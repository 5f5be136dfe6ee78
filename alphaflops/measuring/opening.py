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


def switches(backends: Any, settings: Protocol) -> list[tuple[Any, str, Any]]:
    """Switches of ``torch.backends`` that a measurement sets: where, name, value.

    torch 2.9 brought ``fp32_precision`` and refuses to mix it with the older switches of TF32, hence the two ways.
    """
    matmul, cudnn, allow = backends.cuda.matmul, backends.cudnn, settings.tf32
    benchmark = (cudnn, "benchmark", settings.cudnn_benchmark)
    if hasattr(matmul, "fp32_precision"):
        return [benchmark, *((place, "fp32_precision", "tf32" if allow else "ieee") for place in (matmul, cudnn.conv))]
    return [benchmark, *((place, "allow_tf32", allow) for place in (matmul, cudnn))]


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
    with ExitStack() as stack:
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(host.threads(threads))
        for place, switch, value in switches(torch.backends, settings):
            stack.callback(setattr, place, switch, getattr(place, switch))
            setattr(place, switch, value)
        stack.enter_context(torch.inference_mode())
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", message=EVEN_KERNEL)
        sensors = CpuSensors()
        if kind == "cuda" and (card := stack.enter_context(nvml(int(index)))):
            sensors = GpuSensors(card)
        devices = {"cpu": Device, "cuda": CudaDevice, "mps": MpsDevice}
        yield devices[kind](name, settings, Watch(sensors))
