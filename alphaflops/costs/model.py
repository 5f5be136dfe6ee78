"""What every cost model is: layers as matrix products, named parameters, and a formula from these to milliseconds."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import AlphaflopsError
from ..layers import COLUMNS, Table, bytes_moved, macs, output_size, params

Array: TypeAlias = NDArray[np.float64]


class Features(SimpleNamespace):
    """Sizes of n layers seen as matrix products: M rows, N columns and depth D in each of G groups.

    Every field is an array of shape ``(n,)``, see `features`. Sizes have no unit, ``*_bytes`` and ``bytes_moved`` are
    bytes. ``rows`` is the paper's S, output positions of all inputs: its convolutions have batch 1, and its Figure 6
    takes the batch of a dense layer as S. Groups do not enter it: they only lower the MACs. ``columns``,
    ``in_channels`` and ``depth`` are those of one group; ``patches`` counts 4×4 patches of the output. ``dense`` and
    ``winograd`` (3×3, stride 1, no dilation, one group) are booleans.
    """

    def __len__(self) -> int:
        return len(self.macs)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "Features":
        """Keep some layers, by mask or by index."""
        return Features(**{name: values[rows] for name, values in vars(self).items()})


def features(table: Table) -> Features:
    """Compute the features of each layer of a table, once for all fits on it.

    Raises
    ------
    AlphaflopsError
        If a column is missing.
    """
    if missing := [name for name in COLUMNS if name not in table]:
        raise AlphaflopsError(f"column {missing[0]!r} is missing from the table of layers")
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


@dataclass(frozen=True)
class Parameter:
    """One fitted number.

    Parameters
    ----------
    name, unit, meaning : str
        Symbol, unit ("" for none) and what it stands for.
    low, high : float
        Bounds, both positive: fits search the logarithm.
    start : float
        Where a fit begins, and what it keeps where the data say nothing.

    Raises
    ------
    AlphaflopsError
        If not ``0 < low <= start <= high``.
    """

    name: str
    unit: str
    low: float
    high: float
    start: float
    meaning: str

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.start <= self.high < math.inf:
            raise AlphaflopsError(f"{self.name}: start {self.start} is not within {self.low} and {self.high}, above 0")


@dataclass(frozen=True)
class CostModel:
    """A formula that gives the time of layers from their sizes and a few fitted numbers.

    Parameters
    ----------
    name, title, equation : str
        Name on the command line, words, and the formula in LaTeX.
    parameters : tuple of Parameter
        The numbers to fit, in the order that `formula` takes them; empty for published formulas.
    formula : callable
        ``formula(features, values) -> ms``, shape ``(n,)``; pure.
    """

    name: str
    title: str
    equation: str
    parameters: tuple[Parameter, ...]
    formula: Callable[[Features, Sequence[float]], Array]

    def predict_ms(self, table: Table, values: Mapping[str, float] = MappingProxyType({})) -> Array:
        """Time of each layer (ms), shape ``(n,)``.

        Parameters
        ----------
        table : mapping
            Layers by `alphaflops.layers.COLUMNS`.
        values : mapping, optional
            Every parameter by name; none for a published formula.

        Raises
        ------
        AlphaflopsError
            If a parameter is missing, unknown, not finite or out of its bounds.
        """
        return self.formula(features(table), self.vector(values))

    def vector(self, values: Mapping[str, float]) -> list[float]:
        """Parameters in the formula's order, checked against their bounds.

        Raises
        ------
        AlphaflopsError
            If a parameter is missing, unknown, not finite or out of its bounds.
        """
        names = [p.name for p in self.parameters]
        if unknown := sorted(set(values) - set(names)):
            known = ", ".join(names) or "none"
            raise AlphaflopsError(f"model {self.name!r} has no parameter {unknown[0]!r}: it has {known}")
        for p in self.parameters:
            if p.name not in values:
                raise AlphaflopsError(f"model {self.name!r} needs parameter {p.name!r}: give a value")
            # Optimisers return bounds with a rounding error.
            if not p.low * (1 - 1e-6) <= values[p.name] <= p.high * (1 + 1e-6):
                raise AlphaflopsError(f"{p.name} is {values[p.name]}: expected {p.low} to {p.high} {p.unit}".rstrip())
        return [float(values[name]) for name in names]
