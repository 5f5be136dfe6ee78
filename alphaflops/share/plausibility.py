"""Could these times have been measured? Limits that physics, the run's own samples and its own sentinel set.

Each check gives sentences that say what is wrong, none if all is well. The limits are wide on purpose: they refuse what
cannot be or cannot be used, not what is surprising. How steady a machine was stays in its record and is shown.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..layers import COLUMNS, bytes_moved, macs, valid_macs

if TYPE_CHECKING:
    from ..runs import Run

SHORTEST_MS: Final = 1e-4
"""Least time of a synchronised call: 100 ns is a few hundred instructions (ms)."""

LONGEST_MS: Final = 3.6e6
"""Longest believable call: one hour (ms)."""

FAST_ALGORITHM: Final = 4
"""How far Winograd- or FFT-like algorithms may go below the counted products: 4 is that of F(4×4, 3×3)."""

CPU_FLOP_PER_CYCLE: Final = 4096
"""Above what any core does in a cycle: 64 with two 512-bit FMA units, 2048 with AMX on bfloat16."""

GPU_FLOP_PER_CYCLE: Final = 32768
"""Above what any multiprocessor does in a cycle, tensor cores with 8-bit numbers included."""

CPU_CLOCK_HZ: Final = 7e9
"""Above the clock of any processor on sale (Hz)."""

GPU_CLOCK_HZ: Final = 4e9
"""Clock assumed for a GPU that does not tell (Hz)."""

GPU_MULTIPROCESSORS: Final = 512
"""Multiprocessors assumed for a GPU that does not tell."""

BYTES_PER_S: Final = {"cpu": 2e13, "cuda": 1e14, "mps": 1e14}
"""Above the bandwidth of any cache, registers left out (bytes per second)."""

OK_SHARE: Final = 0.5
"""Least share of layers that were measured at all."""

CONVERGED_SHARE: Final = 0.5
"""Least share of the measured layers whose interval became as narrow as asked."""

MOVED: Final = 0.1
"""Largest movement of the sentinel between the first and the last third of a run (fraction of its median)."""

SPREAD: Final = 0.5
"""Largest range of the middle four fifths of the sentinel's readings (fraction of their median)."""

RANK: Final = 0.2
"""Least rank correlation of time with multiply–accumulates, where they span a factor of `SPAN`."""

SPAN: Final = 100
"""Range of multiply–accumulates from which on time must grow with them."""

SAMPLE_TOLERANCE: Final = 0.01
"""Largest difference between a time in the table and the median of its samples (fraction)."""


def peak_flops(meta: Any) -> float:
    """Bound on the floating-point operations per second of the machine in a run's metadata."""
    machine = meta["machine"]
    gpu = machine.get("gpu")
    if meta["device"] == "cpu":
        cpu = machine.get("cpu")
        cores = (
            _positive(machine.get("threads")) or _positive(cpu.get("cores") if isinstance(cpu, dict) else None) or 1024
        )
        return cores * CPU_CLOCK_HZ * CPU_FLOP_PER_CYCLE
    known = gpu if isinstance(gpu, dict) else {}
    units = _positive(known.get("multiprocessors")) or GPU_MULTIPROCESSORS
    clock = (_positive(known.get("sm_clock_max_mhz")) or GPU_CLOCK_HZ / 1e6) * 1e6
    return units * clock * GPU_FLOP_PER_CYCLE


def _positive(value: Any) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value) and value > 0
    return float(value) if usable else None


def problems(run: "Run") -> list[str]:
    """Say what is implausible about a run: one sentence per finding, empty if nothing is."""
    told = [*_sentinel(run), *_shares(run)]
    measured = run.ok if (run.table["status"] == "ok").any() else None
    if measured is not None:
        told += [*_times(measured), *_physics(measured), *_growth(measured), *_samples(measured)]
    return told


def _sentinel(run: "Run") -> Iterator[str]:
    sentinel = run.meta.get("sentinel")
    told = sentinel if isinstance(sentinel, dict) else {}
    if not isinstance(told.get("verdict"), str):
        yield "no sentinel was timed through the run, so that drift cannot be excluded"
    for key, limit in (("moved", MOVED), ("spread", SPREAD)):
        value = told.get(key)
        known = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (known and abs(value) <= limit):
            yield f"its sentinel {key.replace('spread', 'varied')} by {value!r} of its median, more than {limit}"


def _shares(run: "Run") -> Iterator[str]:
    ok = run.table["status"] == "ok"
    if ok.mean() < OK_SHARE:
        yield f"only {ok.sum()} of {len(ok)} layers were measured, fewer than {OK_SHARE:.0%}"
    if ok.any() and "converged" in run.table:
        converged = run.table.loc[ok, "converged"].astype(str) == "True"
        if converged.mean() < CONVERGED_SHARE:
            yield f"only {converged.sum()} of {ok.sum()} times converged, fewer than {CONVERGED_SHARE:.0%}"


def _times(run: "Run") -> Iterator[str]:
    table = run.table
    for name in ("latency", "throughput"):
        if f"{name}_ms" not in table:
            continue
        time = table[f"{name}_ms"]
        outside = (time < SHORTEST_MS) & (name == "latency") | (time > LONGEST_MS)
        if outside.any():
            at = int(np.flatnonzero(outside)[0])
            yield f"{name}_ms is {time.iloc[at]:g} in row {at}: not between {SHORTEST_MS:g} and {LONGEST_MS:g}"
        if f"{name}_low_ms" in table and f"{name}_high_ms" in table:
            crossed = (table[f"{name}_low_ms"] > time) | (table[f"{name}_high_ms"] < time)
            if crossed.any():
                yield f"{name}_ms lies outside its own interval in row {int(np.flatnonzero(crossed)[0])}"


def _layers(run: "Run") -> dict[str, Any]:
    return {name: run.table[name].to_numpy() for name in COLUMNS}


def _physics(run: "Run") -> Iterator[str]:
    device = str(run.meta["device"])
    seconds = run.table["latency_ms"].to_numpy() / 1e3
    work = 2 * valid_macs(_layers(run))
    peak = peak_flops(run.meta) * FAST_ALGORITHM
    if (over := work / seconds > peak).any():
        at = int(np.flatnonzero(over)[0])
        yield f"row {at} does {work[at] / seconds[at]:.2g} FLOP/s, beyond {peak:.2g} that this machine could do"
    wide = BYTES_PER_S.get(device, max(BYTES_PER_S.values()))
    rate = bytes_moved(_layers(run)) / seconds
    if (over := rate > wide).any():
        at = int(np.flatnonzero(over)[0])
        yield f"row {at} moves {rate[at]:.2g} bytes per second, beyond {wide:.2g} of any {device} memory"


def _growth(run: "Run") -> Iterator[str]:
    work = macs(_layers(run))
    if len(work) < 10 or work.max() < SPAN * work.min():
        return
    ranks = [np.argsort(np.argsort(values, kind="stable")) for values in (work, run.table["latency_ms"].to_numpy())]
    found = float(np.corrcoef(ranks[0], ranks[1])[0, 1])
    if found < RANK:
        yield f"times do not grow with the work (rank correlation {found:.2f}, at least {RANK} is expected)"


def _samples(run: "Run") -> Iterator[str]:
    for name in ("latency", "throughput"):
        if f"{name}_ms" not in run.table:
            continue
        for row, time in zip(run.table["row"], run.table[f"{name}_ms"], strict=True):
            taken = run.samples.get(f"{name}_{int(row)}")
            if taken is None or not len(taken):
                continue
            median = float(np.median(taken))
            if not abs(median - time) <= SAMPLE_TOLERANCE * time:
                yield f"{name}_ms is {time:g} in row {int(row)} but the median of its samples is {median:g}"
                return
