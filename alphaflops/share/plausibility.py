"""Could these times have been measured? Limits that physics, the run's own duration and its own sentinel set.

Each check gives sentences that say what is wrong, none if all is well. The limits are wide on purpose: they refuse what
cannot be or cannot be used, not what is surprising. How steady a machine was stays in its record and is shown.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import numpy as np

from ..layers import bytes_moved, macs, valid_macs
from ..runs import Run
from ..runs.schema import QUANTITIES

SHORTEST_MS, LONGEST_MS = 1e-4, 3.6e6
"""Least and most believable time of a call: 100 ns is a few hundred instructions; one hour (ms)."""

FAST_ALGORITHM: Final = 4
"""How far Winograd- or FFT-like algorithms may go below the products of a kernel of several taps: F(4×4, 3×3) does."""

X86_FLOP_PER_CYCLE: Final = {4: 128, 2: 4096, 1: 8192}
"""Above what a core does in a cycle by the bytes of a number: 64 with two 512-bit FMA units, 2048 with AMX on bf16."""

CORE_FLOP_PER_CYCLE: Final = 8192
"""The same for other processors, whose cores may share matrix units."""

GPU_FLOP_PER_CYCLE: Final = {4: 8192, 2: 16384, 1: 32768}
"""Above what a multiprocessor does in a cycle, tensor cores included."""

CPU_CLOCK_HZ, GPU_CLOCK_HZ = 7e9, 4e9
"""Above the clock of any processor and of any GPU on sale (Hz)."""

GPU_MULTIPROCESSORS: Final = 512
"""Above the multiprocessors of any GPU."""

CORE_BYTES_PER_S, GPU_BYTES_PER_S = 2e12, 1e14
"""Above what the nearest cache gives one core, and any cache a GPU (bytes per second)."""

LEAST_SHARE: Final = 0.5
"""Least share of layers that were measured at all, and of these whose interval became as narrow as asked."""

MOVED, SPREAD = 0.1, 0.5
"""Largest movement of the sentinel between the first and the last third of a run, and largest range of the middle four
fifths of its readings (fractions of their median)."""

RANK, SPAN = 0.2, 100
"""Least rank correlation of time with multiply–accumulates, and from which range of these on time must grow so."""

SLACK_S: Final = 2.0
"""Inexactness of the dates and of the sum of samples (s)."""


def peak_flops(meta: Any, dtype_bytes: int = 4) -> float:
    """Bound on the floating-point operations per second of the machine in a run's metadata."""
    gpu, cpu = (meta["machine"].get(name) or {} for name in ("gpu", "cpu"))
    if meta["device"] == "cpu":
        x86 = cpu.get("architecture") in ("x86_64", "AMD64", "i686")
        cycle = X86_FLOP_PER_CYCLE.get(dtype_bytes, 128) if x86 else CORE_FLOP_PER_CYCLE
        return _cores(meta) * CPU_CLOCK_HZ * cycle
    units = min(gpu.get("multiprocessors") or GPU_MULTIPROCESSORS, GPU_MULTIPROCESSORS)
    clock = min((gpu.get("sm_clock_max_mhz") or np.inf) * 1e6, GPU_CLOCK_HZ)
    return float(units * clock * GPU_FLOP_PER_CYCLE.get(dtype_bytes, 8192))


def _cores(meta: Any) -> int:
    cores = (meta["machine"].get("cpu") or {}).get("cores") or 1024
    return int(min(meta["machine"].get("threads") or cores, cores))


def problems(run: Run) -> list[str]:
    """Say why the times of a run cannot be believed or used; empty if they can."""
    ok = run.ok
    return [*_sentinel(run), *_shares(run), *_duration(ok), *(_times(ok) if len(ok.table) else ())]


def _sentinel(run: Run) -> Iterator[str]:
    judged = run.sentinel
    if not judged.readings:
        yield "the record holds no sentinel: nothing tells whether the machine was steady"
        return
    at = np.array([seconds for seconds, _ in run.meta["sentinel"]["curve_s_ms"]])
    if (np.diff(at) < 0).any() or at[-1] > run.meta.get("seconds", 0) + SLACK_S:
        yield "the sentinel's readings are not in order and within the run"
    for name, value, limit in (("moved", judged.moved, MOVED), ("varied", judged.spread, SPREAD)):
        if value is not None and abs(value) > limit:
            yield f"the sentinel {name} by {abs(value):.3g} of its median, more than {limit}: no steady machine"


def _shares(run: Run) -> Iterator[str]:
    ok = run.table["status"] == "ok"
    if ok.mean() < LEAST_SHARE:
        yield f"{ok.sum()} of {len(ok)} layers were measured, fewer than {LEAST_SHARE:.0%}"
    elif (narrow := run.table["converged"][ok]).mean() < LEAST_SHARE:
        yield f"{narrow.sum()} of {ok.sum()} times converged, fewer than {LEAST_SHARE:.0%}"


def _duration(run: Run) -> Iterator[str]:
    """Check that the samples fit into the run, and the run between its dates."""
    seconds, table = float(run.meta.get("seconds", 0)), run.table
    calls = table["block_calls"].fillna(1).clip(1) if "block_calls" in table else np.ones(len(table))
    in_block = {f"throughput_{int(row)}": float(n) for row, n in zip(table["row"], calls, strict=True)}
    spent = sum(float(np.sum(samples)) * in_block.get(name, 1) for name, samples in run.samples.items())
    if spent / 1e3 > seconds + SLACK_S:
        yield f"the samples take {spent / 1e3:.4g} s, but the run took {seconds:.4g} s"
    dates = [run.meta.get(name) for name in ("started", "finished")]
    if None in dates:
        yield "the run does not say when it was started and finished"
        return
    began, ended = (datetime.fromisoformat(date) for date in dates if date)
    if (ended - began).total_seconds() + SLACK_S < seconds:
        yield f"the run took {seconds:.4g} s, longer than from {dates[0]} to {dates[1]}"


def _times(run: Run) -> Iterator[str]:
    """Check that each time is that of a call, within what the machine could do, and that times grow with the work."""
    from scipy.stats import spearmanr

    table, meta, work = run.table, run.meta, macs(run.table)
    fast = np.where(table["k1"] * table["k2"] > 1, FAST_ALGORITHM, 1)
    peak = np.array([peak_flops(meta, width) for width in table["dtype_bytes"]]) * fast
    wide = np.full(len(table), _cores(meta) * CORE_BYTES_PER_S if meta["device"] == "cpu" else GPU_BYTES_PER_S)
    limits = (
        ("does", "FLOP/s", 2 * valid_macs(table), peak, "that this machine could do"),
        ("moves", "bytes per second", bytes_moved(table), wide, "of any such memory"),
    )
    for name in (name for name in QUANTITIES if f"{name}_ms" in table):
        time = table[f"{name}_ms"].to_numpy()
        if (outside := (time < SHORTEST_MS) | (time > LONGEST_MS)).any():
            at = int(outside.argmax())
            yield f"{name}_ms is {time[at]:g} in row {at}: not between {SHORTEST_MS:g} and {LONGEST_MS:g}"
        for does, unit, amount, most, whose in limits:
            rate = amount / (time / 1e3)
            if (over := rate > most).any():
                at = int(over.argmax())
                yield f"row {at} {does} {rate[at]:.2g} {unit} by its {name}, beyond {most[at]:.2g} {whose}"
        if np.isfinite(time).sum() < 10 or work.max() < SPAN * work.min():
            continue
        found = float(spearmanr(work, time, nan_policy="omit")[0]) if np.nanmin(time) < np.nanmax(time) else 0.0
        if found < RANK:
            yield f"{name} does not grow with the work (rank correlation {found:.2f}, at least {RANK} is expected)"
