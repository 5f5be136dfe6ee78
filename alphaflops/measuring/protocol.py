"""How a layer is timed: the settings, frozen, named and recorded.

Two families. `adaptive` is ours: same-shape warm-up until times settle, the median of synchronised calls and the
median over pipelined blocks, each taken until its interval is narrow enough. `per-call` and `pipelined` are the two
protocols found in the 2026 replication (github.com/enriquebarba97/alpha-flops-replication @ 203010e): its experiments
synchronise around every call, without warm-up, and report the mean; its regression times 50 back-to-back calls with
one synchronisation after 10 warm-ups.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from ..errors import AlphaflopsError

MEMORY_FORMATS: Final = ("contiguous", "channels-last")
FIXED: Final = {"per-call": (2000, 0), "pipelined": (50, 10)}
"""Repeats and warm-ups of the replication's two protocols."""
PROTOCOLS: Final = ("adaptive", *FIXED)

ALLOCATOR: Final = {
    "MALLOC_MMAP_THRESHOLD_": str(2**40),
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
    "MALLOC_TOP_PAD_": str(2**26),
}
"""What the measuring process is started with: glibc then keeps the memory of large buffers.

By default it maps buffers of 32 MiB and more anew at each call, smaller ones until it has seen a larger, and gives the
top of its heap back: a 3×3 layer of 0.46 GMAC took 11.1 ms before a larger layer had run in the process and 8.4 ms
after, and 8.3 ms from the first call on with these settings. Other systems ignore them."""


@dataclass(frozen=True)
class Protocol:
    """Settings that decide what a timing means; two runs that differ in one of them do not mix.

    Attributes
    ----------
    name : str
        ``adaptive``, ``per-call`` or ``pipelined``.
    tolerance : float
        Stop when the half-width of the interval is at most this fraction of the median.
    smallest, largest : int
        Fewest and most synchronised calls (latency) of a row.
    blocks_smallest, blocks_largest : int
        Fewest and most pipelined blocks (throughput) of a row.
    block_ms : float
        Least length of a block in ms; a layer slower than that has blocks of one call.
    warmup_s, latency_s, throughput_s : float
        Caps on time per row (s). Slow layers go on past a cap until they have an interval, up to `OVERTIME` caps.
    repeats, warmups : int
        Calls and warm-up calls of the two fixed protocols; 0 for ``adaptive``.
    memory_share : float
        Largest part of the free memory that a layer may need; above it the row becomes ``out-of-memory``.
    sentinel_s : float
        Seconds between two timings of the sentinel layer.
    tf32, cudnn_benchmark, cold_cache : bool
        TensorFloat-32 in matrix products and cuDNN; cuDNN's own search; caches flushed before every call.
    memory_format : str
        ``contiguous`` (NCHW) or ``channels-last``.
    """

    name: str = "adaptive"
    tolerance: float = 0.01
    smallest: int = 14
    largest: int = 1000
    blocks_smallest: int = 10
    blocks_largest: int = 400
    block_ms: float = 5.0
    warmup_s: float = 0.3
    latency_s: float = 10.0
    throughput_s: float = 10.0
    repeats: int = 0
    warmups: int = 0
    memory_share: float = 0.8
    sentinel_s: float = 20.0
    tf32: bool = False
    cudnn_benchmark: bool = False
    cold_cache: bool = False
    memory_format: str = "contiguous"

    def __post_init__(self) -> None:
        for name in ("tolerance", "warmup_s", "latency_s", "throughput_s", "sentinel_s", "memory_share", "block_ms"):
            if not 0 < getattr(self, name) < 1e9:
                raise AlphaflopsError(f"{name} is {getattr(self, name)!r}: give a positive number")
        for name in ("tolerance", "memory_share"):
            if getattr(self, name) > 1:
                raise AlphaflopsError(f"{name} is {getattr(self, name)!r}: give a fraction, at most 1")
        if self.memory_format not in MEMORY_FORMATS:
            raise AlphaflopsError(f"memory_format is {self.memory_format!r}: expected {' or '.join(MEMORY_FORMATS)}")
        if self.name in FIXED and not 1 <= self.repeats <= 10**7:
            raise AlphaflopsError(f"repeats is {self.repeats}: give 1 to 10000000")

    def record(self) -> dict[str, Any]:
        """Give all settings by name for ``run.json``, and what this process's allocator was started with (bytes)."""
        started = {name.strip("_").lower(): int(os.environ.get(name, "0")) or None for name in ALLOCATOR}
        return asdict(self) | started


PROFILES: Final[Mapping[str, Mapping[str, Any]]] = {
    "smoke": {"tolerance": 0.02, "latency_s": 0.1, "throughput_s": 0.07, "warmup_s": 0.05, "sentinel_s": 2.0},
    "quick": {"tolerance": 0.02, "latency_s": 0.6, "throughput_s": 0.4, "warmup_s": 0.2, "sentinel_s": 8.0},
    "paper": {},
    "fine": {"latency_s": 0.8, "throughput_s": 0.5},
}
"""What a grid's profile changes in the defaults of `Protocol`."""


def for_profile(profile: str, name: str = "adaptive", **changes: Any) -> Protocol:
    """Build the settings for a grid profile; `changes` with the value None are left at their default.

    Raises
    ------
    AlphaflopsError
        If the protocol or the profile is unknown, or a value is out of range.
    """
    if name not in PROTOCOLS:
        raise AlphaflopsError(f"protocol is {name!r}: expected one of {', '.join(PROTOCOLS)}")
    if profile not in PROFILES:
        raise AlphaflopsError(f"profile is {profile!r}: expected one of {', '.join(PROFILES)}")
    settings: dict[str, Any] = {**PROFILES[profile], "name": name}
    if name in FIXED:
        settings["repeats"], settings["warmups"] = FIXED[name]
    return replace(Protocol(), **settings | {key: value for key, value in changes.items() if value is not None})
