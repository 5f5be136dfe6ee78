"""Layer specifications and what can be counted from their sizes alone.

Counting convention: ``macs`` counts multiply–accumulate pairs and includes the taps that meet padding;
``flops = 2 * macs``. Bias additions are not counted.

Every count exists twice: as a property of a frozen spec (`Conv2d`, `Dense`) and as a function over a table of layers
(`macs`, `params`, …), which takes any mapping from the names in `COLUMNS` to arrays. `as_table` makes such a table of
whatever describes layers.
"""

from .counts import COLUMNS, Table, bytes_moved, flops, macs, output_size, params, valid_macs
from .specs import Conv2d, Dense, Layer, Padding, Pair, from_row, to_table
from .table import as_table

__all__ = [
    "COLUMNS",
    "Conv2d",
    "Dense",
    "Layer",
    "Padding",
    "Pair",
    "Table",
    "as_table",
    "bytes_moved",
    "flops",
    "from_row",
    "macs",
    "output_size",
    "params",
    "to_table",
    "valid_macs",
]
