"""Numbers that cost formulas take from a table of layers, computed once for all fits on it."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ..errors import AlphaflopsError
from ..layers import COLUMNS, Table, bytes_moved, macs, output_size, params, valid_macs
from .alpha import kernel_area, spatial_size


@dataclass(frozen=True, eq=False)
class Features:
    """Sizes of n layers seen as matrix products: M rows, N columns and depth K in each of G groups.

    Every field is an array of shape ``(n,)``. ``dense``, ``pointwise`` (a convolution with a 1×1 kernel) and
    ``winograd`` (3×3, stride 1, no dilation, one group) are booleans; sizes have no unit, ``*_bytes`` are bytes.
    """

    macs: NDArray[np.float64]
    valid_macs: NDArray[np.float64]
    params: NDArray[np.float64]
    bytes_moved: NDArray[np.float64]
    spatial: NDArray[np.float64]
    kernel_area: NDArray[np.float64]
    rows: NDArray[np.float64]
    columns: NDArray[np.float64]
    depth: NDArray[np.float64]
    groups: NDArray[np.float64]
    weight_bytes: NDArray[np.float64]
    activation_bytes: NDArray[np.float64]
    output_bytes: NDArray[np.float64]
    number_bytes: NDArray[np.float64]
    in_channels: NDArray[np.float64]
    patches: NDArray[np.float64]
    blocks: NDArray[np.float64]
    dense: NDArray[np.bool_]
    pointwise: NDArray[np.bool_]
    winograd: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.macs)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "Features":
        """Keep some layers, by mask or by index."""
        return Features(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def features(table: Table) -> Features:
    """Compute the features of each layer of a table.

    ``patches`` counts the 4×4 output patches that Winograd's F(4×4, 3×3) works on, ``blocks`` the blocks of 8×16 output
    positions of a kernel that fuses F(2×2, 3×3).

    Raises
    ------
    AlphaflopsError
        If a column is missing.
    """
    for name in COLUMNS:
        if name not in table:
            raise AlphaflopsError(f"column {name!r} is missing from the table of layers")
    column = {name: np.asarray(table[name], dtype=np.float64) for name in COLUMNS if name != "kind"}
    dense = np.asarray(table["kind"]) == "dense"
    area, groups = kernel_area(table), column["groups"]
    height, width = (size.astype(np.float64) for size in output_size(table))
    weights = params(table) * column["dtype_bytes"]
    plain = np.all([column[name] == 1 for name in ("stride1", "stride2", "dilation1", "dilation2")], axis=0)
    return Features(
        macs=macs(table),
        valid_macs=valid_macs(table),
        params=params(table),
        bytes_moved=bytes_moved(table),
        spatial=spatial_size(table),
        kernel_area=area,
        rows=column["batch"] * height * width,
        columns=column["out_channels"] / groups,
        depth=column["in_channels"] / groups * area,
        groups=groups,
        weight_bytes=weights,
        activation_bytes=bytes_moved(table) - weights,
        output_bytes=column["batch"] * height * width * column["out_channels"] * column["dtype_bytes"],
        number_bytes=column["dtype_bytes"],
        in_channels=column["in_channels"],
        patches=column["batch"] * np.ceil(height / 4) * np.ceil(width / 4),
        blocks=column["batch"] * np.ceil(height / 8) * np.ceil(width / 16),
        dense=dense,
        pointwise=~dense & (area == 1),
        winograd=~dense & (column["k1"] == 3) & (column["k2"] == 3) & plain & (groups == 1),
    )
