"""Numbers that cost formulas take from a table of layers, computed once for all fits on it."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ..errors import AlphaflopsError
from ..layers import COLUMNS, Table, bytes_moved, macs, output_size, params

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Features:
    """Sizes of n layers seen as matrix products: M rows, N columns and depth D in each of G groups.

    Every field is an array of shape ``(n,)``. Sizes have no unit, ``*_bytes`` and ``bytes_moved`` are bytes. ``rows``
    is the paper's S; ``columns``, ``in_channels`` and ``depth`` are those of one group; ``patches`` counts 4×4 patches
    of the output. ``dense`` and ``winograd`` (3×3, stride 1, no dilation, one group) are booleans.
    """

    macs: Array
    bytes_moved: Array
    weight_bytes: Array
    number_bytes: Array
    rows: Array
    columns: Array
    depth: Array
    groups: Array
    in_channels: Array
    kernel_area: Array
    batch: Array
    height: Array
    width: Array
    stride: Array
    patches: Array
    dense: NDArray[np.bool_]
    winograd: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.macs)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "Features":
        """Keep some layers, by mask or by index."""
        return Features(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def features(table: Table) -> Features:
    """Compute the features of each layer of a table.

    Raises
    ------
    AlphaflopsError
        If a column is missing.
    """
    for name in COLUMNS:
        if name not in table:
            raise AlphaflopsError(f"column {name!r} is missing from the table of layers")
    column = {name: np.asarray(table[name], dtype=np.float64) for name in COLUMNS if name != "kind"}
    dense, groups = np.asarray(table["kind"]) == "dense", column["groups"]
    area, inputs = column["k1"] * column["k2"], column["in_channels"] / groups
    height, width = (size.astype(np.float64) for size in output_size(table))
    plain = np.all([column[name] == 1 for name in ("stride1", "stride2", "dilation1", "dilation2", "groups")], axis=0)
    return Features(
        macs=macs(table),
        bytes_moved=bytes_moved(table),
        weight_bytes=params(table) * column["dtype_bytes"],
        number_bytes=column["dtype_bytes"],
        rows=column["batch"] * height * width,
        columns=column["out_channels"] / groups,
        depth=inputs * area,
        groups=groups,
        in_channels=inputs,
        kernel_area=area,
        batch=column["batch"],
        height=height,
        width=width,
        stride=column["stride1"] * column["stride2"],
        patches=column["batch"] * np.ceil(height / 4) * np.ceil(width / 4),
        dense=dense,
        winograd=~dense & (column["k1"] == 3) & (column["k2"] == 3) & plain,
    )
