"""How a layer is timed: the settings, frozen, named and recorded, and what a user may choose of them.

`adaptive` is ours: same-shape warm-up until times settle, the median of synchronised calls and the median over
pipelined blocks, each taken until its interval is narrow enough. `pipelined` is that of the regression in the 2026
replication (github.com/enriquebarba97/alpha-flops-replication @ 203010e): 50 back-to-back calls with one
synchronisation after 10 warm-ups. Single calls follow, so that the record has a latency.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from ..errors import AlphaflopsError
from ..host.cpu import threads
from ..runs.schema import check_slug

PROTOCOLS: Final[Mapping[str, Mapping[str, int]]] = {"adaptive": {}, "pipelined": {"repeats": 50, "warmups": 10}}
"""What a protocol changes in the defaults of `Protocol`."""

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
        ``adaptive`` or ``pipelined``.
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
        Calls and warm-up calls of ``pipelined``; 0 for ``adaptive``.
    memory_share : float
        Largest part of the free memory that a layer may need; above it the row becomes ``out-of-memory``.
    sentinel_s : float
        Seconds between two timings of the sentinel layer.
    tf32, cudnn_benchmark : bool
        TensorFloat-32 in matrix products and cuDNN; cuDNN's own search.
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

    def __post_init__(self) -> None:
        for name in ("tolerance", "memory_share", "warmup_s", "latency_s", "throughput_s", "sentinel_s", "block_ms"):
            value, fraction = getattr(self, name), name in ("tolerance", "memory_share")
            if not 0 < value <= (1 if fraction else 1e9):
                wanted = "fraction above 0, at most 1" if fraction else "positive number"
                raise AlphaflopsError(f"{name} is {value!r}: give a {wanted}")

    def record(self) -> dict[str, Any]:
        """Give all settings by name for ``run.json``, and what this process's allocator was started with (bytes)."""
        started = {name.strip("_").lower(): int(os.environ.get(name, "0")) or None for name in ALLOCATOR}
        # as all runs say: earlier versions could flush the cache, and lay out tensors otherwise
        return asdict(self) | started | {"cold_cache": False, "memory_format": "contiguous"}


PROFILES: Final[Mapping[str, Mapping[str, Any]]] = {
    "smoke": {"tolerance": 0.02, "latency_s": 0.06, "throughput_s": 0.04, "warmup_s": 0.03, "sentinel_s": 1.0},
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
    for kind, value, known in (("protocol", name, PROTOCOLS), ("profile", profile, PROFILES)):
        if value not in known:
            raise AlphaflopsError(f"{kind} is {value!r}: expected one of {', '.join(known)}")
    changed = {key: value for key, value in changes.items() if value is not None}
    return Protocol(**{**PROFILES[profile], **PROTOCOLS[name], "name": name, **changed})


def _option(default: Any, value: str | None, kind: type, text: str, **settings: Any) -> Any:
    settings |= {"action": "store_true"} if kind is bool else {"type": kind, "metavar": value}
    settings |= {"help": text + (f" [{default}]" if default else ""), "default": None}
    return field(default=default, metadata=settings)


@dataclass(frozen=True)
class Options:
    """What a user may choose, by the names of `alphaflops.measure`; None means the default of the profile.

    Beside its default each has what makes it an option of the command line, for ``argparse``.
    """

    device: str = _option("auto", "DEVICE", str, "Where to measure: auto, cpu, cuda or cuda:N.")
    threads: int | None = _option(None, "N", int, "Threads on the CPU; OMP_NUM_THREADS or all usable cores by default.")
    profile: str = _option("quick", None, str, "Which layers, and how narrow the intervals.", choices=PROFILES)
    allow_different: tuple[str, ...] = _option((), "KEY", str, "Go on though it differs (repeatable).", action="append")
    protocol: str = _option("adaptive", None, str, "How to time: our way, or the replication's.", choices=PROTOCOLS)
    tolerance: float | None = _option(None, "SHARE", float, "Stop at this half-width of the interval, as a share.")
    row_seconds: float | None = _option(None, "S", float, "Cap on the calls of a layer, and once more on its blocks.")
    memory_share: float | None = _option(None, "SHARE", float, "Largest share of the free memory for one layer.")
    tf32: bool = _option(False, None, bool, "Allow TF32 (off by default, also for cuDNN).")
    cudnn_benchmark: bool = _option(False, None, bool, "Let cuDNN search for its fastest algorithm.")
    energy: bool = _option(False, None, bool, "Measure joules per call on a set of layers chosen from the profile.")
    seed: int = _option(0, "N", int, "Seed of the random order of layers.")
    title: str | None = _option(None, "TEXT", str, "What the run is called in figures.")
    run_id: str | None = _option(None, "ID", str, "Identifier of the run; the name of its folder by default.")

    def settings(self) -> Protocol:
        """Protocol that these options ask for.

        Raises
        ------
        AlphaflopsError
            If one of them is unknown or out of range.
        """
        if self.run_id is not None:
            check_slug(self.run_id)
        if not 0 <= self.seed < 2**63:
            raise AlphaflopsError(f"seed is {self.seed}: give an integer from 0 up, below 2**63")
        threads(self.threads)
        changes = {name: getattr(self, name) for name in ("tolerance", "memory_share", "tf32", "cudnn_benchmark")}
        changes |= {"latency_s": self.row_seconds, "throughput_s": self.row_seconds}
        return for_profile(self.profile, self.protocol, **changes)
