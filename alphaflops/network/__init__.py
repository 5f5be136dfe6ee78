"""Networks as lists of operators: which layers one call runs, what they multiply and what they move."""

from typing import TYPE_CHECKING, Any

from .. import layers
from .inputs import Shape
from .trace import Network, Operation, trace, unknown_warning

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Network", "Operation", "Shape", "as_table", "trace", "unknown_warning"]


def as_table(described: Any, inputs: Any = None) -> "pd.DataFrame":
    """Lay out layers as a table: those of a network called with `inputs`, or whatever `layers.as_table` takes.

    Parameters
    ----------
    described : torch.nn.Module, Conv2d, Dense, iterable of specs, DataFrame or mapping
        A table may have as few columns as ``kind, in_channels, out_channels``.
    inputs : tensor, shape, or a list or mapping of those
        What a network is called with; see `alphaflops.network.inputs.normalise`.

    Returns
    -------
    DataFrame
        One row per layer by `alphaflops.layers.COLUMNS`; of a network one row per use, with its ``module`` and
        ``operator``.

    Raises
    ------
    AlphaflopsError
        If the network cannot be traced with these inputs, or the table is no table of layers.
    """
    if inputs is None:
        return layers.as_table(described)
    uses = [(o.module, o.name, one) for o in trace(described, inputs).operations for one in o.layers]
    rows = [(module, name, one.layer) for module, name, one in uses for _ in range(one.count)]
    table = layers.as_table([layer for *_, layer in rows])
    return table.assign(module=[module for module, *_ in rows], operator=[name for _, name, _ in rows])
