"""What a traced network consists of: frozen records, and their totals."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .formulas import Repeated

if TYPE_CHECKING:
    import pandas as pd

Phase = Literal["forward", "backward"]
COUNTED = "multiply"


@dataclass(frozen=True, slots=True)
class Operation:
    """One dispatched operator that computes or moves data.

    Parameters
    ----------
    module : str
        Path of the innermost module that was running, "" for the network itself.
    module_type : str
        Class of that module.
    call : int
        Which call of that module this is, from 1.
    name : str
        PyTorch's operator, for example ``"convolution"``.
    family : str
        ``"multiply"`` for operators with multiply–accumulates, else a family of `alphaflops.network.families`.
    phase : {"forward", "backward"}
        Pass that the operator belongs to.
    macs : int
        Multiply–accumulate pairs, taps on padding included (MAC).
    bytes : int
        Inputs read and outputs written once each (bytes).
    layers : tuple of Repeated
        Layers with the same products; empty where the operator has none that a formula could time.
    output_shape : tuple of int
        Shape of the first output.
    taps : int
        Elements that the windows of a pooling operator look at, 0 for others (numbers).
    dtype : str
        Number type of the first output.
    """

    module: str
    module_type: str
    call: int
    name: str
    family: str
    phase: Phase
    macs: int
    bytes: int
    layers: tuple[Repeated, ...]
    output_shape: tuple[int, ...]
    taps: int = 0
    dtype: str = ""

    @property
    def flops(self) -> int:
        """Floating-point operations of the products, ``2 * macs`` (FLOP)."""
        return 2 * self.macs


@dataclass(frozen=True)
class Network:
    """A network as the list of operators that one call dispatches.

    Parameters
    ----------
    name : str
        Class of the model, for titles only.
    operations : tuple of Operation
        In the order of execution; views and allocations are left out.
    params : int
        Parameters, shared ones once (numbers).
    modules : int
        Modules that ran at least one operator.
    how : {"meta", "fake", "cpu"}
        Tensors that the model was called with: without data, without data but with a device, or real ones.
    notes : tuple of str
        What a reader should know, such as why a fall-back was taken.
    """

    name: str
    operations: tuple[Operation, ...]
    params: int
    modules: int
    how: str
    notes: tuple[str, ...] = ()

    @property
    def macs(self) -> int:
        """Multiply–accumulate pairs of all operators (MAC)."""
        return sum(operation.macs for operation in self.operations)

    @property
    def flops(self) -> int:
        """Floating-point operations of all products, ``2 * macs`` (FLOP)."""
        return 2 * self.macs

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names of operators that are neither counted nor known to count nothing."""
        return tuple(sorted({o.name for o in self.operations if o.family == "unknown"}))

    @property
    def unknown_share(self) -> float:
        """Share of the modules that ran such an operator, 0 to 1."""
        affected = {o.module for o in self.operations if o.family == "unknown"}
        return len(affected) / self.modules if self.modules else 0.0

    def to_pandas(self) -> "pd.DataFrame":
        """One row per operator: path, call, operator, family, phase, macs, flops, bytes, output shape."""
        import pandas as pd

        columns = ("module", "module_type", "call", "name", "family", "phase", "macs", "flops", "bytes", "output_shape")
        return pd.DataFrame([{c: getattr(o, c) for c in columns} for o in self.operations], columns=list(columns))


def unknown_warning(network: Network) -> str | None:
    """One line on operators that nobody counted, or None."""
    if not network.unknown:
        return None
    return (
        f"not counted: {', '.join(network.unknown)} ({network.unknown_share:.0%} of the modules); "
        "macs and predicted time are lower bounds"
    )
