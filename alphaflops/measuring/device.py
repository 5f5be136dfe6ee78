"""Devices behind one small interface: make a call, time it alone, time a block of it, say what went wrong.

torch is imported when a device is made, not before; `alphaflops.measuring.opening` opens them.
"""

import re
import time
from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

from ..host import cache_bytes, memory_bytes
from ..layers import Dense, Layer
from .monitor import Watch
from .protocol import Protocol as Settings

Call = Callable[[], Any]
Make = Callable[[str, tuple[int, ...], Any], Any]

DTYPES = {2: "float16", 4: "float32", 8: "float64"}
"""Type of the numbers in a layer by its ``dtype_bytes``."""

BLOCK = 1_000_003
"""Random numbers drawn; larger tensors repeat them (a prime, so that rows of a matrix do not line up)."""


def layer_call(layer: Layer, make: Make, memory_format: str = "contiguous") -> tuple[Call, Any]:
    """Give a function that runs a layer once, and its input.

    Parameters
    ----------
    make : callable
        ``make(role, shape, dtype)`` gives a tensor for the role ``input``, ``weights`` or ``bias``.
    memory_format : str
        ``contiguous`` or ``channels-last``, for convolutions.

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
    if memory_format == "channels-last":
        x, w = (t.contiguous(memory_format=torch.channels_last) for t in (x, w))
    rest = (layer.stride, layer.padding, layer.dilation, layer.groups)
    return partial(torch.nn.functional.conv2d, x, w, b, *rest), x


class Device:
    """The CPU, and what the other torch devices share with it."""

    kind = "cpu"

    def __init__(self, name: str, settings: Settings, watch: Watch) -> None:
        import torch

        self.name, self.settings, self.watch = name, settings, watch
        self.torch = torch
        self.pools: dict[tuple[str, Any], Any] = {}
        self.cold: Any = None

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
        return None if free is None else free + sum(p.numel() * p.element_size() for p in self.pools.values())

    def random(self, role: str, shape: tuple[int, ...], dtype: Any) -> Any:
        """View of `shape` into a pool of random numbers that is filled once and grows when it must.

        Drawing new numbers for every layer would cost more than timing it: the largest weights are 655 MB.
        """
        count = prod(shape)
        pool = self.pools.get((role, dtype))
        if pool is None or pool.numel() < count:
            self.pools.pop((role, dtype), None)
            del pool
            pool = self.torch.empty(count, dtype=dtype, device=self.name)
            drawn = self.torch.randn(min(count, BLOCK), generator=self.torch.Generator().manual_seed(len(role)))
            drawn = drawn.to(device=self.name, dtype=dtype)
            whole = count // len(drawn) * len(drawn)
            pool[:whole].view(-1, len(drawn)).copy_(drawn)
            pool[whole:].copy_(drawn[: count - whole])
            self.pools[role, dtype] = pool
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
        call, _ = layer_call(layer, self.random, self.settings.memory_format)
        self.synchronise()
        return call

    def flush(self) -> None:
        """Overwrite the caches, so that the next call reads from memory."""
        if self.cold is None:
            self.cold = self.torch.empty(2 * self.cache_bytes() // 4, dtype=self.torch.float32, device=self.name)
        self.cold.fill_(1.0)

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
        self.pools.clear()
        self.cold = None
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


class CudaDevice(Device):
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
        return int(free + kept + sum(p.numel() * p.element_size() for p in self.pools.values()))

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


class MpsDevice(Device):
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
