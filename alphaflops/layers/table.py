"""Layers as a table: what can be counted from it, and the check that makes one of whatever describes layers.

A table to count on is any mapping from the names in `COLUMNS` to arrays of shape ``(n,)``.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import AlphaflopsError
from ..files import one_line

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    *("kind", "batch", "height", "width", "in_channels", "out_channels", "k1", "k2", "stride1", "stride2"),
    *("pad_top", "pad_bottom", "pad_left", "pad_right", "dilation1", "dilation2", "groups", "bias", "dtype_bytes"),
)
"""Columns that describe one layer in a table; a dense layer is a 1×1 convolution over a 1×1 input."""
AXES: Final = (
    ("height", "k1", "stride1", "pad_top", "pad_bottom", "dilation1"),
    ("width", "k2", "stride2", "pad_left", "pad_right", "dilation2"),
)
"""Columns of each axis: size, kernel, stride, zeros before and after, dilation."""
NEEDED: Final = ("kind", "in_channels", "out_channels")
DEFAULTS: Final = {name: 1 for name in COLUMNS if not name.startswith("pad_")} | {"bias": False, "dtype_bytes": 4}
"""What columns hold that a table leaves out, as it may all but `NEEDED`. Padding left out keeps the size of the input,
as ``"same"`` does."""
SHORT: Final = {
    "in_features": ("in_channels",),
    "out_features": ("out_channels",),
    "kernel": ("k1", "k2"),
    "stride": ("stride1", "stride2"),
    "dilation": ("dilation1", "dilation2"),
    "padding": ("pad_top", "pad_bottom", "pad_left", "pad_right"),
}
"""Columns that stand for others: ``kernel`` gives both sides."""

Table: TypeAlias = "Mapping[str, ArrayLike] | pd.DataFrame"


def _float(table: Table, name: str) -> NDArray[np.float64]:
    return np.asarray(table[name], dtype=np.float64)


def _axes(table: Table) -> list[list[NDArray[np.int64]]]:
    """Sizes of each layer along its height and along its width, as in `AXES`."""
    return [[np.asarray(table[name], dtype=np.int64) for name in axis] for axis in AXES]


def _outputs(size: Any, kernel: Any, stride: Any, before: Any, after: Any, dilation: Any) -> Any:
    return (size + before + after - dilation * (kernel - 1) - 1) // stride + 1


def output_size(table: Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Height and width of the output of each layer, two arrays of shape ``(n,)``."""
    height, width = (_outputs(*axis) for axis in _axes(table))
    return height, width


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
    taps = [[_taps_on_data(*sizes) for sizes in np.column_stack(axis).tolist()] for axis in _axes(table)]
    rows, columns = np.array(taps, dtype=np.float64)
    return np.asarray(_float(table, "batch") * _channel_pairs(table) * rows * columns)


@lru_cache(maxsize=4096)
def _taps_on_data(size: int, kernel: int, stride: int, before: int, after: int, dilation: int) -> int:
    sizes = int(_outputs(size, kernel, stride, before, after, dilation)), kernel, stride, dilation
    return _pairs_below(before + size, *sizes) - _pairs_below(before, *sizes)


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


def as_table(layers: Any, where: str = "table") -> "pd.DataFrame":
    """Lay out layers as a table by `COLUMNS`, checked.

    Parameters
    ----------
    layers : Conv2d, Dense, iterable of these, DataFrame or mapping
        A table needs ``kind``, ``in_channels`` and ``out_channels`` (or ``in_features`` and ``out_features``); what it
        leaves out beside is as in `DEFAULTS`. ``kernel``, ``stride``, ``dilation`` and ``padding`` may stand for their
        columns. Other columns, such as ``experiment`` or ``latency_ms``, are kept behind.
    where : str
        What errors name.

    Returns
    -------
    DataFrame
        One row per layer, `COLUMNS` first, in the order and with the index of a given table.

    Raises
    ------
    AlphaflopsError
        Naming the column and the row at fault.
    """
    import pandas as pd

    from . import Conv2d, Dense

    if isinstance(layers, pd.DataFrame):
        return _checked(layers.copy(), where)
    if isinstance(layers, Mapping):
        try:
            one = all(np.ndim(column) == 0 for column in layers.values())
            return _checked(pd.DataFrame(dict(layers), index=[0] if one else None), where)
        except ValueError as error:
            raise AlphaflopsError(f"{where}: columns differ in length ({error}): give one value per layer") from error
    specs = [layers] if isinstance(layers, Conv2d | Dense) else layers
    if not isinstance(specs, Iterable) or isinstance(specs, str):
        raise AlphaflopsError(f"{where} is a {type(layers).__name__}: give a Conv2d, a Dense, a list of them, a table")
    rows = []
    for at, spec in enumerate(specs):
        if not isinstance(spec, Conv2d | Dense):
            raise AlphaflopsError(f"{where}: entry {at} is {spec!r:.60}: expected a Conv2d or a Dense")
        rows.append(spec.row())
    return pd.DataFrame(rows) if rows else _checked(pd.DataFrame(columns=[*COLUMNS]), where)


def _checked(table: "pd.DataFrame", where: str) -> "pd.DataFrame":
    for short, names in SHORT.items():
        if short in table:
            if short != "padding" or not (table[short] == "same").all():
                table = table.assign(**{name: table[short] for name in names if name not in table})
            table = table.drop(columns=short)
    for first, second in (("height", "width"), ("width", "height"), ("k1", "k2"), ("k2", "k1")):
        if first in table and second not in table:
            table[second] = table[first]
    if missing := [name for name in NEEDED if name not in table]:
        raise AlphaflopsError(f"{where}: column {missing[0]!r} is missing")
    if table.empty:
        raise AlphaflopsError(f"{where} holds no layers: give at least one")
    table = table.assign(**{name: value for name, value in DEFAULTS.items() if name not in table})
    refuse(~table["kind"].isin(["conv2d", "dense"]), table["kind"], f"{where}: kind", "conv2d or dense")
    here = [name for name in COLUMNS[1:] if name in table]
    found = {name: _integers(table[name], name, f"{where}: {name}") for name in here}
    for _, kernel, stride, before, after, dilation in AXES:
        reach = found[dilation] * (found[kernel] - 1)
        for name, zeros in ((before, reach // 2), (after, reach - reach // 2)):
            if name not in found:
                for at in np.flatnonzero(found[stride] > 1):
                    raise AlphaflopsError(f"{where}: row {at} has a stride but no {name}: give padding as a number")
                found[name] = zeros
    height, width = output_size(found)
    if (empty := (height < 1) | (width < 1)).any():
        raise AlphaflopsError(f"{where}: the kernel in row {empty.argmax()} exceeds its padded input")
    groups = found["groups"]
    for at in np.flatnonzero((found["in_channels"] % groups != 0) | (found["out_channels"] % groups != 0)):
        raise AlphaflopsError(f"{where}: channels in row {at} are not divisible by groups = {groups[at]}")
    return table.assign(**found)[[*COLUMNS, *(name for name in table.columns if name not in COLUMNS)]]


def refuse(bad: Any, column: "pd.Series[Any]", where: str, wanted: str) -> None:
    """Raise for the first row that is bad, if any, naming it, its value in the column, and what was wanted.

    Raises
    ------
    AlphaflopsError
        If a row is bad.
    """
    if bad.any():
        at = int(np.asarray(bad).argmax())
        value = column.iloc[at]
        shown = one_line(repr(value) if isinstance(value, str) else value, 60)
        raise AlphaflopsError(f"{where} is {shown} in row {at}: expected {wanted}")


def numbers(column: "pd.Series[Any]", where: str) -> "pd.Series[float]":
    """Give a column as numbers, NaN where there is none.

    Raises
    ------
    AlphaflopsError
        For an integer of more than 308 digits.
    """
    import pandas as pd

    try:
        return pd.to_numeric(column, errors="coerce")
    except OverflowError as error:
        raise AlphaflopsError(f"{where} holds a number that is too large") from error


def _integers(column: "pd.Series[Any]", name: str, where: str) -> NDArray[Any]:
    found = numbers(column, where).to_numpy(np.float64, na_value=np.nan)
    least = 0 if name.startswith("pad_") or name == "bias" else 1
    whole = (found >= least) & (found < 2**31) & (np.floor(found) == found)
    refuse(~whole, column, where, f"an integer from {least} up")
    return found.astype(bool if name == "bias" else np.int64)
