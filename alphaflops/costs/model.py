"""What every cost model is: named parameters with units and bounds, and a formula from layers to milliseconds."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import AlphaflopsError
from ..layers import Table
from .features import Features, features

Array: TypeAlias = NDArray[np.float64]
Formula: TypeAlias = Callable[[Features, Sequence[float]], Array]


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
            raise AlphaflopsError(
                f"parameter {self.name}: start {self.start} is not within {self.low} and {self.high}, all above 0"
            )


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
    formula: Formula

    def predict_ms(self, table: Table, values: Mapping[str, float] | None = None) -> Array:
        """Time of each layer (ms), shape ``(n,)``.

        Parameters
        ----------
        table : mapping
            Layers by `alphaflops.layers.COLUMNS`.
        values : mapping, optional
            Every parameter by name; the starting values if left out.

        Raises
        ------
        AlphaflopsError
            If a parameter is missing, unknown, not finite or out of its bounds.
        """
        return self.formula(features(table), self.vector(values))

    def vector(self, values: Mapping[str, float] | None = None) -> list[float]:
        """Parameters in the formula's order, checked against their bounds.

        Raises
        ------
        AlphaflopsError
            If a parameter is missing, unknown, not finite or out of its bounds.
        """
        if values is None:
            return [p.start for p in self.parameters]
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
