"""Measured layers against what their hardware can do: arithmetic and bandwidth by the data sheet."""

from typing import TYPE_CHECKING, Final

import numpy as np

from ..layers import bytes_moved, flops, output_size
from .sources import registered

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from .run import Run

STREAMED_BYTES: Final = 40e6
"""Least traffic from which on no cache of these devices holds a layer: it must come from memory (bytes)."""
BEYOND: Final = 1.1
"""Multiple of a peak from which on a layer is called beyond the hardware: clocks and timers are not exact."""
FAST_ALGORITHM: Final = 4.0
"""How far Winograd- or Fourier-like algorithms may go below the counted products of a kernel larger than 1×1: 4 is that
of Winograd's F(4×4, 3×3)."""


def reach(run: "Run") -> "pd.DataFrame":
    """Compare what each layer of a run reaches with the data sheet of its machine.

    Returns
    -------
    DataFrame
        One row a layer of the run's table: ``tflops`` (10¹² FLOP/s, 2 per MAC, padding counted), ``gbs`` (10⁹ bytes/s
        of least traffic; input that a stride steps over is not read), ``of_peak`` (over the highest fp32 peak, matrix
        units included), ``of_bandwidth`` (NaN for layers that a cache may hold), ``beyond`` (either exceeds the
        hardware by more than a tenth) and ``impossible`` (beyond, and no fast algorithm explains it: such a time is no
        complete execution). Nothing is beyond a peak that is not known, nor one of layers in other numbers than fp32.
    """
    import pandas as pd

    entry = registered().get(run.id.partition(":")[0])
    peak = max((p for p in (entry.peak_tflops, entry.matrix_tflops) if p), default=np.nan) if entry else np.nan
    bandwidth = entry.peak_gbs if entry and entry.peak_gbs else np.nan
    table = run.table
    seconds, moved = table["latency_ms"].to_numpy() / 1e3, bytes_moved(table) - _skipped_bytes(table)
    single = (table["dtype_bytes"] == 4).to_numpy()
    tflops, gbs = flops(table) / seconds / 1e12, moved / seconds / 1e9
    of_peak = np.where(single, tflops / peak, np.nan)
    of_bandwidth = np.where(moved >= STREAMED_BYTES, gbs / bandwidth, np.nan)
    beyond = (of_peak > BEYOND) | (of_bandwidth > BEYOND)
    allowed = np.where((table["k1"] * table["k2"]).to_numpy() > 1, FAST_ALGORITHM, 1.0)
    return pd.DataFrame(
        {
            "tflops": tflops,
            "gbs": gbs,
            "of_peak": of_peak,
            "of_bandwidth": of_bandwidth,
            "beyond": beyond,
            "impossible": (of_peak > BEYOND * allowed) | (of_bandwidth > BEYOND),
        },
        index=table.index,
    )


def _skipped_bytes(table: "pd.DataFrame") -> "NDArray[np.float64]":
    read = np.ones(len(table))
    for size, kernel, outputs in zip(("height", "width"), ("k1", "k2"), output_size(table), strict=True):
        read *= np.minimum(outputs * table[kernel].to_numpy() / table[size].to_numpy(), 1)
    inputs = (table["batch"] * table["in_channels"] * table["dtype_bytes"]).to_numpy(dtype=np.float64)
    return np.asarray((1 - read) * inputs * (table["height"] * table["width"]).to_numpy())
