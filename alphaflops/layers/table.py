"""Anything that describes layers, as one checked table with a row per layer."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import AlphaflopsError
from ..files import one_line
from .counts import COLUMNS, output_size
from .specs import Conv2d, Dense

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

DEFAULTS: Final = {
    "batch": 1,
    "height": 1,
    "width": 1,
    "k1": 1,
    "k2": 1,
    "stride1": 1,
    "stride2": 1,
    "dilation1": 1,
    "dilation2": 1,
    "groups": 1,
    "bias": False,
    "dtype_bytes": 4,
}
"""What a table may leave out. Padding left out keeps the size of the input, as ``"same"`` does."""
SHORT: Final = {
    "in_features": ("in_channels",),
    "out_features": ("out_channels",),
    "kernel": ("k1", "k2"),
    "stride": ("stride1", "stride2"),
    "dilation": ("dilation1", "dilation2"),
    "padding": ("pad_top", "pad_bottom", "pad_left", "pad_right"),
}
"""Columns that stand for others: ``kernel`` gives both sides."""
PADS: Final = {"pad_top": "1", "pad_bottom": "1", "pad_left": "2", "pad_right": "2"}


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

    if isinstance(layers, Conv2d | Dense):
        return pd.DataFrame([layers.row()])
    if isinstance(layers, pd.DataFrame):
        return _checked(layers.copy(), where)
    if isinstance(layers, Mapping):
        try:
            one = all(np.ndim(column) == 0 for column in layers.values())
            return _checked(pd.DataFrame(dict(layers), index=[0] if one else None), where)
        except ValueError as error:
            raise AlphaflopsError(f"{where}: columns differ in length ({error}): give one value per layer") from error
    if isinstance(layers, Iterable) and not isinstance(layers, str):
        rows = []
        for i, layer in enumerate(layers):
            if not isinstance(layer, Conv2d | Dense):
                raise AlphaflopsError(f"{where}: entry {i} is {layer!r:.60}: expected a Conv2d or a Dense")
            rows.append(layer.row())
        if rows:
            return pd.DataFrame(rows)
        raise AlphaflopsError(f"{where} holds no layers: give at least one")
    raise AlphaflopsError(
        f"{where} is a {type(layers).__name__}: give a Conv2d, a Dense, a list of them or a table of layers"
    )


def _checked(table: "pd.DataFrame", where: str) -> "pd.DataFrame":
    for short, names in SHORT.items():
        if short in table:
            if short != "padding" or not (table[short] == "same").all():
                table = table.assign(**{name: table[short] for name in names if name not in table})
            table = table.drop(columns=short)
    for first, second in (("height", "width"), ("width", "height"), ("k1", "k2"), ("k2", "k1")):
        if first in table and second not in table:
            table[second] = table[first]
    for name in ("kind", "in_channels", "out_channels"):
        if name not in table:
            raise AlphaflopsError(f"{where}: column {name!r} is missing")
    if table.empty:
        raise AlphaflopsError(f"{where} holds no layers: give at least one")
    table = table.assign(**{name: value for name, value in DEFAULTS.items() if name not in table})
    _kinds(table, where)
    for name in COLUMNS[1:]:
        if name in table:
            table[name] = _integers(table, name, where)
    for name, axis in PADS.items():
        if name not in table:
            if (strided := table[f"stride{axis}"] > 1).any():
                at = _first(strided)
                raise AlphaflopsError(f"{where}: row {at} has a stride but no {name}: give padding as a number")
            reach = table[f"dilation{axis}"] * (table[f"k{axis}"] - 1)
            table[name] = reach // 2 if name in ("pad_top", "pad_left") else reach - reach // 2
    _fits(table, where)
    return table[[*COLUMNS, *(name for name in table.columns if name not in COLUMNS)]]


def _first(bad: "NDArray[np.bool_] | pd.Series[bool]") -> int:
    return int(np.flatnonzero(bad)[0])


def _kinds(table: "pd.DataFrame", where: str) -> None:
    if (unknown := ~table["kind"].isin(["conv2d", "dense"])).any():
        at = _first(unknown)
        raise AlphaflopsError(f"{where}: kind is {table['kind'].iloc[at]!r} in row {at}: expected conv2d or dense")


def _integers(table: "pd.DataFrame", name: str, where: str) -> "pd.Series[Any]":
    import pandas as pd

    column = table[name]
    if name == "bias" and column.isin([True, False]).all():
        return column.astype(bool)
    try:
        numbers = pd.to_numeric(column, errors="coerce")
    except OverflowError as error:  # an integer of more than 308 digits
        raise AlphaflopsError(f"{where}: {name} holds a number that is too large") from error
    least = 0 if name.startswith("pad_") or name == "bias" else 1
    bad = ~(np.isfinite(numbers) & (numbers >= least) & (numbers == np.floor(numbers)) & (numbers < 2**31))
    if bad.any():
        at = _first(bad)
        raise AlphaflopsError(
            f"{where}: {name} is {one_line(column.iloc[at], 60)} in row {at}: expected an integer from {least} up"
        )
    return numbers.astype(bool if name == "bias" else np.int64)


def _fits(table: "pd.DataFrame", where: str) -> None:
    height, width = output_size(table)
    if (empty := (height < 1) | (width < 1)).any():
        raise AlphaflopsError(f"{where}: the kernel in row {_first(empty)} exceeds its padded input")
    uneven = (table["in_channels"] % table["groups"] != 0) | (table["out_channels"] % table["groups"] != 0)
    if uneven.any():
        at = _first(uneven)
        groups = table["groups"].iloc[at]
        raise AlphaflopsError(f"{where}: channels in row {at} are not divisible by groups = {groups}")
