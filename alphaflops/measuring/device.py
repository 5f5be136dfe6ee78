"""Devices behind one small interface: make a call, time it alone, time a block of it, say what went wrong.

torch is imported when a device is opened, with its global switches set for a measurement and restored, not before.
"""

import re
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from math import prod
from typing import Any

from ..errors import AlphaflopsError
from ..host import cpu, gpu
from ..layers import Dense, Layer
from ..runs.schema import Status
from .monitor import CpuSensors, GpuSensors, Watch
from .protocol import Protocol

NO_CARD = gpu.Card()
Call = Callable[[], Any]
Make = Callable[[str, tuple[int, ...], Any], Any]

DTYPES = {2: "float16", 4: "float32", 8: "float64"}
"""Type of the numbers in a layer by its ``dtype_bytes``."""

BLOCK = 1_000_003
"""Random numbers drawn; larger tensors repeat them (a prime, so that rows of a matrix do not line up)."""


def layer_call(layer: Layer, make: Make) -> tuple[Call, Any]:
    """Give a function that runs a layer once, and its input.

    Parameters
    ----------
    make : callable
        ``make(role, shape, dtype)`` gives a tensor for the role ``input``, ``weights`` or ``bias``.

    Raises
    ------
    NotImplementedError
        If the layer's numbers have a width no dtype is known for.
    """
    import torch

    if layer.dtype_bytes not in DTYPES:
        raise NotImplementedError(f"no floating type of {layer.dtype_bytes} bytes")
    dtype, row = getattr(torch, DTYPES[layer.dtype_bytes]), layer.row()
    b = make("bias", (row["out_channels"],), dtype) if layer.bias else None
    if isinstance(layer, Dense):
        x = make("input", (layer.batch, layer.in_features), dtype)
        w = make("weights", (layer.out_features, layer.in_features), dtype)
        return partial(torch.nn.functional.linear, x, w, b), x
    x = make("input", (layer.batch, layer.in_channels, layer.height, layer.width), dtype)
    w = make("weights", (layer.out_channels, layer.in_channels // layer.groups, row["k1"], row["k2"]), dtype)
    rest = (layer.stride, layer.padding, layer.dilation, layer.groups)
    return partial(torch.nn.functional.conv2d, x, w, b, *rest), x


class Device:
    """The CPU, and what the other torch devices share with it."""

    kind = "cpu"
    clock_ns = staticmethod(time.perf_counter_ns)

    def __init__(self, name: str, watch: Watch, card: gpu.Card = NO_CARD) -> None:
        import torch

        self.name, self.watch, self.card, self.torch = name, watch, card, torch
        self.pools: dict[tuple[str, Any], Any] = {}

    def synchronise(self) -> None:
        """Wait until all work handed to the device is done (nothing to do on the CPU)."""

    def free_bytes(self) -> int | None:
        """Memory that could be allocated now, the pools included (bytes)."""
        free = cpu.memory_bytes()[1]
        return None if free is None else free + self._pooled_bytes()

    def _pooled_bytes(self) -> int:
        return sum(pool.nbytes for pool in self.pools.values())

    def random(self, role: str, shape: tuple[int, ...], dtype: Any) -> Any:
        """View of `shape` into a pool of random numbers that is filled once and grows when it must.

        Drawing new numbers for every layer would cost more than timing it: the largest weights are 655 MB.
        """
        count = prod(shape)
        pool = self.pools.get((role, dtype))
        if pool is None or pool.numel() < count:
            self.pools.pop((role, dtype), None)
            del pool
            drawn = self.torch.randn(min(count, BLOCK), generator=self.torch.Generator().manual_seed(len(role)))
            drawn = drawn.to(device=self.name, dtype=dtype)
            self.pools[role, dtype] = pool = drawn.repeat(-(-count // len(drawn)))
        return pool[:count].view(shape)

    def prepare(self, layer: Layer) -> Call:
        """Allocate a layer's tensors and give a function that runs it once; raises whatever torch raises."""
        call, _ = layer_call(layer, self.random)
        self.synchronise()
        return call

    def calls_ns(self, call: Call, n: int) -> list[int]:
        """Time `n` calls, each alone and synchronised (ns)."""
        clock, synchronise = self.clock_ns, self.synchronise
        times = []
        for _ in range(n):
            synchronise()
            start = clock()
            call()
            synchronise()
            times.append(clock() - start)
        return times

    def block_ns(self, call: Call, n: int) -> int:
        """Time `n` calls in a row, synchronised at the end (ns)."""
        self.synchronise()
        start = self.clock_ns()
        for _ in range(n):
            call()
        self.synchronise()
        return self.clock_ns() - start

    def release(self) -> None:
        """Give back what the last layer held; the pools of random numbers stay."""

    def forget(self) -> None:
        """Drop the pools too, after an allocation failed."""
        self.pools.clear()
        self.release()

    def explain(self, error: Exception) -> tuple[Status, str]:
        """Sort an error into a status and a one-line message without paths."""
        text = str(error).strip().split("\n")[0]
        message = re.sub(r"(?<![\w/])/[\w./+-]+", "…", text)[:200] or type(error).__name__
        if isinstance(error, MemoryError) or re.search(r"out of memory|can't allocate|not enough memory", text, re.I):
            self.forget()
            return "out-of-memory", message
        if isinstance(error, NotImplementedError) or re.search(r"not (implemented|supported)|NOT_SUPPORTED", text):
            return "unsupported", message
        return "error", message

    def alive(self) -> bool:
        """Tell whether the device still answers (a CUDA context dies with some errors)."""
        with suppress(RuntimeError):
            self.synchronise()
            return True
        return False


class CudaDevice(Device):
    """One NVIDIA (or ROCm) GPU: calls between synchronisations, blocks between device events."""

    kind = "cuda"

    def synchronise(self) -> None:
        """Wait until all work handed to the device is done."""
        self.torch.cuda.synchronize(self.name)

    def free_bytes(self) -> int | None:
        """Free memory of the GPU plus what torch keeps cached and the pools (bytes)."""
        free, _ = self.torch.cuda.mem_get_info(self.name)
        kept = self.torch.cuda.memory_reserved(self.name) - self.torch.cuda.memory_allocated(self.name)
        return int(free + kept + self._pooled_bytes())

    def block_ns(self, call: Call, n: int) -> int:
        """Time `n` calls in a row between two events of the device (ns)."""
        cuda = self.torch.cuda
        start, stop = (cuda.Event(enable_timing=True) for _ in range(2))
        with cuda.device(self.name):
            self.synchronise()
            start.record()
            for _ in range(n):
                call()
            stop.record()
            stop.synchronize()
        passed_ms: float = start.elapsed_time(stop)
        return round(passed_ms * 1e6)

    def release(self) -> None:
        """Hand cached blocks back to the driver, so that one layer's workspace cannot starve the next."""
        self.torch.cuda.empty_cache()


def available() -> list[str]:
    """Names of the devices torch can use here, best first for ``auto``."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [*(f"cuda:{i}" for i in range(count)), "cpu"]


def choose(name: str) -> str:
    """Resolve ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` to a device that is here.

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
        torch.set_num_threads(cpu.threads(threads))
        for place, switch, value in switches(torch.backends, settings):
            stack.callback(setattr, place, switch, getattr(place, switch))
            setattr(place, switch, value)
        stack.enter_context(torch.inference_mode())
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", message="Using padding='same' with even kernel lengths")
        if kind == "cpu":
            yield Device(name, Watch(CpuSensors()))
        else:
            card = stack.enter_context(gpu.nvml(int(index)))
            yield CudaDevice(name, Watch(GpuSensors(card)), card)
