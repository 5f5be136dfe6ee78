"""Devices behind one small interface: make a call, time it alone, time a block of it, say what went wrong.

torch is imported when a device is opened, not before.
"""

import os
import re
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

from ..errors import AlphaflopsError
from ..layers import Dense, Layer
from ..machine import cache_bytes, cores_usable, memory_bytes, nvml, nvml_handle
from .protocol import Protocol as Settings
from .state import CpuSensors, GpuSensors, Watch

Call = Callable[[], Any]

DTYPES = {2: "float16", 4: "float32", 8: "float64"}
"""Type of the numbers in a layer by its ``dtype_bytes``."""

BLOCK = 1_000_003
"""Random numbers drawn; larger tensors repeat them (a prime, so that rows of a matrix do not line up)."""

EVEN_KERNEL = "Using padding='same' with even kernel lengths"


class Device(Protocol):
    """What the runner needs from a device."""

    name: str
    kind: str
    watch: Watch

    def clock_ns(self) -> int:
        """Monotonic clock (ns)."""

    def prepare(self, layer: Layer) -> Call:
        """Allocate a layer's tensors and give a function that runs it once."""

    def calls_ns(self, call: Call, n: int) -> list[int]:
        """Time `n` calls, each alone and synchronised (ns)."""

    def block_ns(self, call: Call, n: int) -> int:
        """Time `n` calls in a row, synchronised at the end (ns)."""

    def free_bytes(self) -> int | None:
        """Memory that could be allocated now (bytes)."""

    def release(self) -> None:
        """Give back what the last layer held."""

    def explain(self, error: Exception) -> tuple[str, str]:
        """Sort an error into a status and a one-line message."""

    def alive(self) -> bool:
        """Tell whether the device still answers."""


class TorchDevice:
    """The CPU, and what the other torch devices share with it."""

    kind = "cpu"

    def __init__(self, name: str, settings: Settings, watch: Watch) -> None:
        import torch

        self.name, self.settings, self.watch = name, settings, watch
        self.torch = torch
        self._pools: dict[tuple[str, Any], Any] = {}
        self._cold: Any = None

    def clock_ns(self) -> int:
        """Monotonic clock (ns)."""
        return time.perf_counter_ns()

    def synchronise(self) -> None:
        """Wait until all work handed to the device is done (nothing to do on the CPU)."""

    def cache_bytes(self) -> int:
        """Size of the cache that a flush must overwrite (bytes)."""
        return cache_bytes()

    def free_bytes(self) -> int | None:
        """Memory that could be allocated now (bytes)."""
        free = memory_bytes()[1]
        return None if free is None else free + sum(p.numel() * p.element_size() for p in self._pools.values())

    def _random(self, role: str, shape: tuple[int, ...], dtype: Any) -> Any:
        """View of `shape` into a pool of random numbers that is filled once and grows when it must.

        Drawing new numbers for every layer would cost more than timing it: the largest weights are 655 MB.
        """
        count = 1
        for size in shape:
            count *= size
        pool = self._pools.get((role, dtype))
        if pool is None or pool.numel() < count:
            self._pools.pop((role, dtype), None)
            del pool
            pool = self.torch.empty(count, dtype=dtype, device=self.name)
            drawn = self.torch.randn(min(count, BLOCK), generator=self.torch.Generator().manual_seed(len(role)))
            drawn = drawn.to(device=self.name, dtype=dtype)
            whole = count // len(drawn) * len(drawn)
            pool[:whole].view(-1, len(drawn)).copy_(drawn)
            pool[whole:].copy_(drawn[: count - whole])
            self._pools[role, dtype] = pool
        return pool[:count].view(shape)

    def prepare(self, layer: Layer) -> Call:
        """Allocate a layer's tensors and give a function that runs it once.

        Raises
        ------
        NotImplementedError
            If the layer's numbers have a width no dtype is known for.
        RuntimeError
            Whatever torch raises, out of memory included.
        """
        torch = self.torch
        if layer.dtype_bytes not in DTYPES:
            raise NotImplementedError(f"no floating type of {layer.dtype_bytes} bytes")
        dtype = getattr(torch, DTYPES[layer.dtype_bytes])
        functional = torch.nn.functional
        if isinstance(layer, Dense):
            x = self._random("input", (layer.batch, layer.in_features), dtype)
            w = self._random("weights", (layer.out_features, layer.in_features), dtype)
            b = self._random("bias", (layer.out_features,), dtype) if layer.bias else None

            def call() -> Any:
                return functional.linear(x, w, b)

        else:
            row = layer.row()
            shape = (layer.out_channels, layer.in_channels // layer.groups, row["k1"], row["k2"])
            x = self._random("input", (layer.batch, layer.in_channels, layer.height, layer.width), dtype)
            w = self._random("weights", shape, dtype)
            b = self._random("bias", (layer.out_channels,), dtype) if layer.bias else None
            if self.settings.memory_format == "channels-last":
                x, w = (t.contiguous(memory_format=torch.channels_last) for t in (x, w))
            rest = (layer.stride, layer.padding, layer.dilation, layer.groups)

            def call() -> Any:
                return functional.conv2d(x, w, b, *rest)

        self.synchronise()
        return call

    def flush(self) -> None:
        """Overwrite the caches, so that the next call reads from memory."""
        if self._cold is None:
            self._cold = self.torch.empty(2 * self.cache_bytes() // 4, dtype=self.torch.float32, device=self.name)
        self._cold.fill_(1.0)

    def calls_ns(self, call: Call, n: int) -> list[int]:
        """Time `n` calls, each alone and synchronised (ns)."""
        clock, synchronise, cold = self.clock_ns, self.synchronise, self.settings.cold_cache
        times = []
        for _ in range(n):
            if cold:
                self.flush()
            synchronise()
            start = clock()
            call()
            synchronise()
            times.append(clock() - start)
        return times

    def block_ns(self, call: Call, n: int) -> int:
        """Time `n` calls in a row, synchronised at the end (ns); with cold caches, the sum of `n` flushed calls."""
        if self.settings.cold_cache:
            return sum(self.calls_ns(call, n))
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
        self._pools.clear()
        self._cold = None
        self.release()

    def explain(self, error: Exception) -> tuple[str, str]:
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
        try:
            self.synchronise()
        except RuntimeError:
            return False
        return True


class CudaDevice(TorchDevice):
    """One NVIDIA (or ROCm) GPU: calls between synchronisations, blocks between device events."""

    kind = "cuda"

    def synchronise(self) -> None:
        """Wait until all work handed to the device is done."""
        self.torch.cuda.synchronize(self.name)

    def cache_bytes(self) -> int:
        """Size of the L2 cache (bytes); 128 MiB where torch does not tell."""
        properties = self.torch.cuda.get_device_properties(self.name)
        return int(getattr(properties, "L2_cache_size", 0)) or 128 * 2**20

    def free_bytes(self) -> int | None:
        """Free memory of the GPU plus what torch keeps cached (bytes)."""
        free, _ = self.torch.cuda.mem_get_info(self.name)
        kept = self.torch.cuda.memory_reserved(self.name) - self.torch.cuda.memory_allocated(self.name)
        return int(free + kept + sum(p.numel() * p.element_size() for p in self._pools.values()))

    def block_ns(self, call: Call, n: int) -> int:
        """Time `n` calls in a row between device events (ns); with cold caches, each between its own events."""
        cuda = self.torch.cuda
        pairs = [[cuda.Event(enable_timing=True) for _ in "se"] for _ in range(n if self.settings.cold_cache else 1)]
        with cuda.device(self.name):
            self.synchronise()
            for start, stop in pairs:
                if self.settings.cold_cache:
                    self.flush()
                start.record()
                for _ in range(n // len(pairs)):
                    call()
                stop.record()
            pairs[-1][1].synchronize()
        total_ms: float = sum(start.elapsed_time(stop) for start, stop in pairs)
        return round(total_ms * 1e6)

    def release(self) -> None:
        """Hand cached blocks back to the driver, so that one layer's workspace cannot starve the next."""
        self.torch.cuda.empty_cache()


class MpsDevice(TorchDevice):
    """The GPU of an Apple computer; blocks are timed by the wall clock around one synchronisation."""

    kind = "mps"

    def synchronise(self) -> None:
        """Wait until all work handed to the device is done."""
        self.torch.mps.synchronize()

    def free_bytes(self) -> int | None:
        """Memory that could be allocated now (bytes)."""
        return int(self.torch.mps.recommended_max_memory() - self.torch.mps.current_allocated_memory())

    def release(self) -> None:
        """Hand cached blocks back."""
        self.torch.mps.empty_cache()


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


def _set_tf32(torch: Any, allow: bool) -> tuple[Any, ...]:
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


def _restore_tf32(torch: Any, before: tuple[Any, ...]) -> None:
    if isinstance(before[0], str):
        torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision = before
    else:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@contextmanager
def opened(name: str, settings: Settings, threads: int | None = None) -> Iterator[Device]:
    """Open the device `name` (already resolved by `choose`) with torch's global switches set, and restore them.

    Raises
    ------
    AlphaflopsError
        If `threads` is not positive.
    """
    import torch

    if threads is not None and threads < 1:
        raise AlphaflopsError(f"threads is {threads}: give at least 1")
    kind, _, index = name.partition(":")
    threads_before, benchmark_before = torch.get_num_threads(), torch.backends.cudnn.benchmark
    with ExitStack() as stack:
        stack.callback(torch.set_num_threads, threads_before)
        torch.set_num_threads(threads or cores_usable())
        stack.callback(setattr, torch.backends.cudnn, "benchmark", benchmark_before)
        torch.backends.cudnn.benchmark = settings.cudnn_benchmark
        stack.callback(_restore_tf32, torch, _set_tf32(torch, settings.tf32))
        stack.enter_context(torch.inference_mode())
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", message=EVEN_KERNEL)
        sensors = CpuSensors()
        if kind == "cuda":
            library = stack.enter_context(nvml())
            handle = nvml_handle(library, int(index)) if library else None
            sensors = GpuSensors(library, handle) if handle else sensors
        devices = {"cpu": TorchDevice, "cuda": CudaDevice, "mps": MpsDevice}
        yield devices[kind](name, settings, Watch(sensors, os.cpu_count() or 1))
