"""Measured layers against what their hardware can do: arithmetic, bandwidth, repeatability, products on padding."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..layers import COLUMNS, bytes_moved, flops, macs, valid_macs
from .findings import between, number

if TYPE_CHECKING:
    import pandas as pd

    from ..runs import Run

STREAMED_BYTES: Final = 40e6
"""Least traffic from which on no cache of these devices holds a layer: it must come from memory (bytes)."""
BEYOND: Final = 1.1
"""Multiple of a peak from which on a layer is called beyond the hardware: clocks and timers are not exact."""
CLASSES: Final = ("1×1 or dense", "larger kernels")


@dataclass(frozen=True)
class Peak:
    """What a device can do at most.

    Parameters
    ----------
    tflops : float
        Single-precision arithmetic without tensor cores (10¹² FLOP/s).
    gbs : float
        Memory bandwidth (10⁹ bytes/s).
    source : str
        Where the figures stand.
    """

    tflops: float
    gbs: float
    source: str


PEAKS: Final = {
    # the highest boost clock of any T2000; at the 1.62 GHz that the authors name it is less
    "Quadro T2000": Peak(1024 * 2 * 1.785e-3, 128.0, "1024 cores × 2 × highest boost clock (1.785 GHz); data sheet"),
    "Tesla T4": Peak(8.1, 320.0, "NVIDIA T4 data sheet"),
    "Tesla V100-PCIE-32GB": Peak(14.0, 900.0, "NVIDIA V100 data sheet, PCIe"),
    "Tesla P100-PCIE-16GB": Peak(9.3, 732.0, "NVIDIA P100 data sheet, PCIe 16 GB"),
    "Tesla P4": Peak(5.5, 192.0, "NVIDIA P4 data sheet"),
    "NVIDIA A100-PCIE-40GB": Peak(19.5, 1555.0, "NVIDIA A100 data sheet, PCIe 40 GB"),
    "NVIDIA A100 80GB PCIe": Peak(19.5, 1935.0, "NVIDIA A100 data sheet, PCIe 80 GB"),
}
"""Data-sheet peaks by machine name, as `alphaflops.runs.Run.machine` gives it."""


def rates(run: "Run") -> "pd.DataFrame":
    """Compute what each layer of a run reaches.

    Returns
    -------
    DataFrame
        The run's rows without failed ones: ``run, machine, experiment, line, x``, sizes, ``time_ms``, ``tflops``
        (10¹² FLOP/s, 2 per MAC, padding counted), ``gbs`` (10⁹ bytes/s of least traffic), ``bytes``, ``intensity``
        (FLOP per byte), ``valid_share`` (products that touch data, 0 to 1) and ``class`` (one of `CLASSES`).
    """
    table = run.ok.table
    seconds, moved, done = table["latency_ms"] / 1e3, bytes_moved(table), flops(table)
    small = (table["k1"] * table["k2"] == 1).to_numpy()
    return table[["experiment", "line", "x", *COLUMNS]].assign(
        run=run.id,
        machine=run.machine,
        time_ms=table["latency_ms"],
        bytes=moved,
        tflops=done / seconds / 1e12,
        gbs=moved / seconds / 1e9,
        intensity=done / moved,
        valid_share=valid_macs(table) / macs(table),
        **{"class": np.where(small, *CLASSES)},
    )


def beyond(frame: "pd.DataFrame", peak: Peak) -> "pd.DataFrame":
    """Keep the layers that exceed the hardware by more than a tenth: in FLOP/s, or in bytes/s from memory.

    Parameters
    ----------
    frame : DataFrame
        As given by `rates`.
    peak : Peak
        Of the machine.

    Returns
    -------
    DataFrame
        With ``of_peak`` (achieved over peak arithmetic) and ``of_bandwidth`` (traffic over peak bandwidth), the
        fastest first. Layers small enough for a cache exceed no bandwidth.
    """
    found = frame.assign(of_peak=frame["tflops"] / peak.tflops, of_bandwidth=frame["gbs"] / peak.gbs)
    large = found["bytes"] >= STREAMED_BYTES
    over = (found["of_peak"] > BEYOND) | (large & (found["of_bandwidth"] > BEYOND))
    return found[over].sort_values("of_peak", ascending=False, kind="stable").reset_index(drop=True)


def repeated(run: "Run") -> "pd.DataFrame":
    """Compare the times of layers that a run holds more than once.

    Returns
    -------
    DataFrame
        One row per distinct layer that occurs twice or more: ``layer`` (its sizes in words), ``experiments``,
        ``n`` (times measured), ``fastest_ms``, ``slowest_ms``, ``spread_pct`` (slowest over fastest minus 1, %), the
        largest spread first.
    """
    import pandas as pd

    rows = []
    for _, part in run.ok.table.groupby(list(COLUMNS), sort=False):
        if len(part) > 1:
            times = part["latency_ms"]
            rows.append(
                {
                    "layer": _sizes(part.iloc[0]),
                    "experiments": ", ".join(dict.fromkeys(part["experiment"])),
                    "n": len(part),
                    "fastest_ms": times.min(),
                    "slowest_ms": times.max(),
                    "spread_pct": 100 * (times.max() / times.min() - 1),
                }
            )
    found = pd.DataFrame(rows, columns=["layer", "experiments", "n", "fastest_ms", "slowest_ms", "spread_pct"])
    return found.sort_values("spread_pct", ascending=False, kind="stable").reset_index(drop=True)


def _sizes(row: "pd.Series[Any]") -> str:
    channels = f"{row['in_channels']} → {row['out_channels']}"
    if row["kind"] == "dense":
        return f"dense, {channels}"
    return f"{row['height']}×{row['width']}, {channels}, {row['k1']}×{row['k2']}"


def streaming(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Keep the large layers of Figure 1, whose weights must be read once at each call; `frame` as given by `rates`."""
    wanted = (frame["experiment"] == "conv_fixed_progressive") & (frame["bytes"] >= STREAMED_BYTES)
    return frame[wanted].reset_index(drop=True)


def told_beyond(frames: "Sequence[pd.DataFrame]") -> list[str]:
    """Say per machine with a known peak how many layers exceed it; `frames` as given by `rates`."""
    told = []
    for frame in frames:
        machine = str(frame["machine"].iloc[0])
        if machine not in PEAKS:
            told.append(f"**{machine}**: no data-sheet peak is known to us; its best layer is its roof.")
            continue
        peak, of = PEAKS[machine], f"{len(frame):,}"
        found = beyond(frame, peak)
        name = f"**{machine}** ({frame['run'].iloc[0]})"
        if found.empty:
            told.append(f"{name}: none of {of} layers exceeds {_roof(peak)} by more than a tenth.")
            continue
        told.append(
            f"{name}: {len(found):,} of {of} layers exceed the hardware by more than a tenth. {_explained(found, peak)}"
        )
    return told


def told_reach(frame: "pd.DataFrame") -> str:
    """Say of one run how many of its times the hardware allows; `frame` as given by `rates`."""
    machine, of = str(frame["machine"].iloc[0]), len(frame)
    if machine not in PEAKS:
        return f"What {machine} can do at most is not known to us."
    found = beyond(frame, PEAKS[machine])
    plain = int((found["class"] == CLASSES[0]).sum())
    told = f"On {machine}, yes for {of - len(found):,} of {of:,} layers"
    if found.empty:
        return f"{told}."
    rest = f"{plain} of them cannot be complete executions" if plain else "all of them may be real"
    return f"{told}. The other {len(found):,} exceed the hardware by more than a tenth; {rest}."


def _roof(peak: Peak) -> str:
    return f"{number(peak.tflops)} TFLOP/s or {peak.gbs:g} GB/s"


def _explained(found: "pd.DataFrame", peak: Peak) -> str:
    plain = found[found["class"] == CLASSES[0]]
    larger = found[found["class"] == CLASSES[1]]
    parts = []
    if len(plain):
        parts.append(
            f"{len(plain)} of them are 1×1 or dense, up to {number(plain['tflops'].max(), 3)} TFLOP/s where the peak "
            f"is {number(peak.tflops)}, and up to {number(plain['gbs'].max(), 3)} GB/s where it is {peak.gbs:g}. No "
            "algorithm in use does such a layer with fewer products: these times cannot be complete executions."
        )
    if len(larger):
        parts.append(
            f"{_have(len(larger), len(found))} larger kernels, up to {number(larger['tflops'].max(), 3)} TFLOP/s. "
            "Winograd's algorithm or a Fourier transform can do these with fewer products than FLOPs count, so they "
            "may be real."
        )
    return " ".join(parts)


def _have(count: int, of: int) -> str:
    return "All have" if 1 < count == of else "1 has" if count == 1 else f"{count:,} have"


def told_streaming(frames: "Sequence[pd.DataFrame]") -> list[str]:
    """Say per machine at which rate the large layers of Figure 1 read their bytes; `frames` as given by `rates`."""
    told = []
    for frame in frames:
        large = streaming(frame)
        if large.empty:
            continue
        rate, per_flop = large["gbs"], large["time_ms"] / flops(large)
        told.append(
            f"**{frame['machine'].iloc[0]}**: the middle half of {len(large)} large layers moves "
            f"{between(rate.quantile([0.25, 0.75]), 3)} GB/s, while time per FLOP differs by a factor of "
            f"{number(per_flop.max() / per_flop.min())}. {_follows(rate, per_flop)}"
        )
    return told


def _follows(rate: "pd.Series[float]", per_flop: "pd.Series[float]") -> str:
    by_bytes, by_flops = np.log(rate).std(), np.log(per_flop).std()
    if by_bytes < by_flops / 2:
        return "Bytes explain these times, FLOPs do not."
    better = by_bytes < by_flops
    return "Bytes explain these times better than FLOPs." if better else "Bytes explain them no better than FLOPs."


def told_repeated(runs: "Sequence[Run]") -> list[str]:
    """Say per run how well layers repeat that it holds more than once."""
    told = []
    for run in runs:
        found = repeated(run)
        if len(found):
            told.append(
                f"**{run.machine}**: {len(found)} layers occur twice or more; their times differ by "
                f"{between(found['spread_pct'])} %, {number(found['spread_pct'].median())} % in the median."
            )
    return told


def told_padding(frames: "Sequence[pd.DataFrame]") -> str:
    """Say how many of the counted products of the first run touch padding; `frames` as given by `rates`."""
    frame = frames[0]
    share, done = 1 - frame["valid_share"], macs(frame)
    half = int((share > 0.5).sum())
    return (
        f"Of all products that FLOPs count in the {len(frame)} layers of {frame['machine'].iloc[0]}, "
        f"{number(100 * np.average(share, weights=done))} % multiply padding. In {half} layers it is more than half, "
        f"at worst {number(100 * share.max())} %."
    )
