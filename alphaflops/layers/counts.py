"""Counts over a table of layers, vectorised: any mapping from the names in `COLUMNS` to arrays of shape ``(n,)``."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "kind",
    "batch",
    "height",
    "width",
    "in_channels",
    "out_channels",
    "k1",
    "k2",
    "stride1",
    "stride2",
    "pad_top",
    "pad_bottom",
    "pad_left",
    "pad_right",
    "dilation1",
    "dilation2",
    "groups",
    "bias",
    "dtype_bytes",
)
"""Columns that describe one layer in a table; a dense layer is a 1×1 convolution over a 1×1 input."""

LOOPED = 64
"""Kernel side up to which the taps on data are counted tap by tap, for all layers at once."""

Table: TypeAlias = "Mapping[str, ArrayLike] | pd.DataFrame"


def _float(table: Table, name: str) -> NDArray[np.float64]:
    return np.asarray(table[name], dtype=np.float64)


def output_size(table: Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Height and width of the output of each layer, two arrays of shape ``(n,)``."""
    first, second = _axes(table)
    return first.outputs(), second.outputs()


class _Axis(NamedTuple):
    """Sizes of each layer along its height or its width, arrays of shape ``(n,)``."""

    size: NDArray[np.int64]
    kernel: NDArray[np.int64]
    stride: NDArray[np.int64]
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    dilation: NDArray[np.int64]

    def outputs(self) -> NDArray[np.int64]:
        reach = self.dilation * (self.kernel - 1) + 1
        return (self.size + self.before + self.after - reach) // self.stride + 1


def _axes(table: Table) -> tuple[_Axis, _Axis]:
    names = (
        ("height", "k1", "stride1", "pad_top", "pad_bottom", "dilation1"),
        ("width", "k2", "stride2", "pad_left", "pad_right", "dilation2"),
    )
    first, second = (_Axis(*(np.asarray(table[name], dtype=np.int64) for name in axis)) for axis in names)
    return first, second


def _channel_pairs(table: Table) -> NDArray[np.float64]:
    return _float(table, "in_channels") / _float(table, "groups") * _float(table, "out_channels")


def macs(table: Table) -> NDArray[np.float64]:
    """Multiply–accumulate pairs of each layer, padding included (MAC); exact below 2**53."""
    h, w = output_size(table)
    return _float(table, "batch") * h * w * _channel_pairs(table) * _float(table, "k1") * _float(table, "k2")


def flops(table: Table) -> NDArray[np.float64]:
    """Floating-point operations of each layer, ``2 * macs`` (FLOP)."""
    return 2 * macs(table)


def params(table: Table) -> NDArray[np.float64]:
    """Weights and biases of each layer (numbers)."""
    weights = _channel_pairs(table) * _float(table, "k1") * _float(table, "k2")
    return weights + np.asarray(table["bias"], dtype=bool) * _float(table, "out_channels")


def bytes_moved(table: Table) -> NDArray[np.float64]:
    """Input, parameters and output of each layer, moved once each (bytes)."""
    h, w = output_size(table)
    inputs = _float(table, "height") * _float(table, "width") * _float(table, "in_channels")
    outputs = _float(table, "out_channels") * h * w
    return (_float(table, "batch") * (inputs + outputs) + params(table)) * _float(table, "dtype_bytes")


def valid_macs(table: Table) -> NDArray[np.float64]:
    """Multiply–accumulate pairs whose input is data rather than padding (MAC).

    Along one axis, tap ``k`` of output ``o`` reads input ``o * stride + k * dilation - padding``. Padding makes some
    of those fall outside; the product of the two axes' remaining taps, times batch and channels, is exact.
    """
    taps = [_taps_on_data(axis, axis.outputs()) for axis in _axes(table)]
    return _float(table, "batch") * _channel_pairs(table) * taps[0] * taps[1]


def _taps_on_data(axis: _Axis, out: NDArray[np.int64]) -> NDArray[np.float64]:
    total = np.array(axis.kernel * out, dtype=np.float64)
    padded = np.flatnonzero(axis.before + axis.after)
    if padded.size == 0:
        return total
    size, kernel, stride, before, _, dilation = (sizes[padded] for sizes in axis)
    out, count = out[padded], np.zeros(padded.size)
    for k in range(min(int(kernel.max()), LOOPED)):
        first = np.maximum(-((k * dilation - before) // stride), 0)  # ceil((before - k·dilation) / stride)
        last = np.minimum((size - 1 + before - k * dilation) // stride, out - 1)
        count += np.where(k < kernel, np.maximum(last - first + 1, 0), 0)
    for i in np.flatnonzero(kernel > LOOPED):
        sizes = int(out[i]), int(kernel[i]), int(stride[i]), int(dilation[i])
        count[i] = _pairs_below(int(before[i] + size[i]), *sizes) - _pairs_below(int(before[i]), *sizes)
    total[padded] = count
    return total


def _pairs_below(end: int, outputs: int, kernel: int, stride: int, dilation: int) -> int:
    """Pairs of output ``o`` and tap ``k`` with ``o * stride + k * dilation < end``."""
    some = min(max(-(-end // dilation), 0), kernel)  # taps that any output reads below the end
    full = min(max(-(-(end - (outputs - 1) * stride) // dilation), 0), some)  # taps that all outputs do
    least = end - (some - 1) * dilation + stride - 1
    return full * outputs + _floor_sum(some - full, stride, dilation, least)


def _floor_sum(n: int, m: int, a: int, b: int) -> int:
    """Sum of ``(a * i + b) // m`` for ``0 <= i < n`` by the steps of Euclid's algorithm."""
    total = 0
    while n:
        total += n * (n - 1) // 2 * (a // m) + n * (b // m)
        n, b, m, a = (a % m * n + b % m) // m, (a % m * n + b % m) % m, a % m, m
    return total
