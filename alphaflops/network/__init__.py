"""Networks as lists of operators: which layers one call runs, what they multiply and what they move."""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import pandas as pd

from .. import layers
from ..errors import AlphaflopsError
from .formulas import Repeated

if TYPE_CHECKING:
    import torch

__all__ = ["Network", "Operation", "Shape", "as_table", "trace", "unknown_warning"]

Phase = Literal["forward", "backward"]
COUNTED = "multiply"


@dataclass(frozen=True)
class Shape:
    """Sizes and number type of one input: an explicit request for a made-up tensor.

    Parameters
    ----------
    sizes : sequence of int
        Any sequence of sizes; none for a scalar.
    dtype : str, optional
        Number type; by default that of the network's weights.
    """

    sizes: tuple[int, ...] = ()
    dtype: str | None = None

    def __post_init__(self) -> None:
        if not all(is_size(size) and size >= 0 for size in self.sizes):
            raise AlphaflopsError(f"sizes are {self.sizes!r:.80}: give non-negative integers")
        object.__setattr__(self, "sizes", tuple(map(int, self.sizes)))
        if self.dtype is not None:
            object.__setattr__(self, "dtype", str(self.dtype).removeprefix("torch."))


def is_size(value: Any) -> bool:
    """Whether a value is an integer that may be a size, rather than a truth value."""
    return isinstance(value, Integral) and not isinstance(value, bool)


Inputs: TypeAlias = Any
"""A tensor, a `Shape` (also written as a tuple of integers or as text such as ``"1,128"``), any other value, a list of
those, or a mapping by keyword."""


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
    bytes : int
        Inputs read and outputs written once each (bytes).
    output_shape : tuple of int
        Shape of the first output.
    macs : int
        Multiply–accumulate pairs, taps on padding included (MAC).
    layers : tuple of Repeated
        Layers with the same products; empty where the operator has none that a formula could time.
    taps : int
        Elements that the windows of a pooling operator look at, 0 for others (numbers).
    """

    module: str
    module_type: str
    call: int
    name: str
    family: str
    phase: Phase
    bytes: int
    output_shape: tuple[int, ...]
    macs: int = 0
    layers: tuple[Repeated, ...] = ()
    taps: int = 0


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
    how : {"meta", "fake", "cpu"}
        Tensors that the model was called with: without data, without data but with a device, or real ones.
    notes : tuple of str
        What a reader should know, such as why a fall-back was taken.
    """

    name: str
    operations: tuple[Operation, ...]
    params: int
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

    def to_pandas(self) -> pd.DataFrame:
        """One row per operator: path, call, operator, family, phase, macs, flops, bytes, output shape."""
        columns = ["module", "module_type", "call", "name", "family", "phase", "macs", "bytes", "output_shape"]
        found = pd.DataFrame([[getattr(o, c) for c in columns] for o in self.operations], columns=columns)
        found.insert(columns.index("bytes"), "flops", 2 * found["macs"])
        return found


def unknown_warning(network: Network) -> str | None:
    """One line on operators that nobody counted, with their share of the modules, or None."""
    if not network.unknown:
        return None
    affected = {o.module for o in network.operations if o.family == "unknown"}
    share = len(affected) / len({o.module for o in network.operations})
    named = f"{', '.join(network.unknown)} ({share:.0%} of the modules)"
    return f"not counted: {named}; macs and predicted time are lower bounds"


def as_table(described: Any, inputs: Any = None) -> pd.DataFrame:
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
    uses = [(o, one.layer) for o in trace(described, inputs).operations for one in o.layers for _ in range(one.count)]
    table = layers.as_table([layer for _, layer in uses])
    return table.assign(module=[o.module for o, _ in uses], operator=[o.name for o, _ in uses])


def trace(
    model: "torch.nn.Module",
    inputs: Inputs,
    *,
    backward: bool = False,
    with_data: "Callable[[], torch.nn.Module] | None" = None,
) -> Network:
    """List the operators of one call of a network.

    The network runs with tensors that have no data, so nothing is allocated or computed; afterwards everything that
    can be reached from it and its inputs is put back, see `alphaflops.network.guard`. Where a network fails on such
    tensors, for whatever reason, it is called with fake tensors, which have a device, and then with real ones on the
    CPU; a note says so. PyTorch's fused kernels for encoders and recurrent layers are switched off meanwhile, so that
    a network has one count and one list of operators whichever tensors it took.

    Parameters
    ----------
    model : torch.nn.Module
        Network, on any device; called in the mode (training or evaluation) that it is in.
    inputs : tensor, shape, or a list or mapping of those
        What the network is called with; see `alphaflops.network.inputs.normalise`.
    backward : bool
        Also list the backward pass, from the sum of all floating-point outputs.
    with_data : callable, optional
        Gives the same network with weights, for one on the meta device whose control flow depends on their values;
        zeros stand for them if left out.

    Returns
    -------
    Network
        Operators in order, with MACs, bytes and layers.

    Raises
    ------
    AlphaflopsError
        If `model` is no module or has lazy layers, an input cannot be read, the network rejects the input (the layer
        and the shapes are named), or nothing requires a gradient.
    """
    import torch
    from torch.nn.parameter import is_lazy

    from .attempt import Attempt
    from .guard import unwrapped
    from .inputs import normalise

    if not isinstance(model, torch.nn.Module):
        raise AlphaflopsError(f"model is a {type(model).__name__}: give a torch.nn.Module")
    model = unwrapped(model)
    if lazy := [name for name, t in [*model.named_parameters(), *model.named_buffers()] if is_lazy(t)]:
        raise AlphaflopsError(f"{lazy[0]} has no shape yet: call the model once, then estimate it")
    *given, meant = normalise(inputs)
    notes = [*meant]
    # Seen from inside of inference mode, operators are whole; with gradients they fall into what can be derived.
    attempts = [(how, backward) for how in ("meta", "fake", "cpu")] + ([] if backward else [("cpu", True)])
    for place, (how, graph) in enumerate(attempts):
        if how == "cpu" and any(t.is_meta for t in [*model.parameters(), *model.buffers()]):
            model = model if with_data is None else unwrapped(with_data())
            done = "zeros stand for them" if with_data is None else "the network was built anew with them"
            notes.append(f"the weights had no data; {done}")
        attempt = Attempt(model, how, graph, given, backward)
        if not attempt.error:
            break
        if place + 1 == len(attempts):
            raise AlphaflopsError("; ".join([attempt.blame, *meant]))
        then = attempts[place + 1][0] + (" tensors with gradients" if how == "cpu" else " tensors")
        notes.append(f"{how} tensors were not enough ({attempt.error}); used {then}")
    notes = list(dict.fromkeys([*notes, *attempt.notes()]))
    return Network(type(model).__name__, tuple(attempt.recorder.operations), _params(model), how, tuple(notes))


def _params(model: "torch.nn.Module") -> int:
    """Parameters, and the numbers that quantized layers keep packed."""
    import torch

    leaves = [value for module in model.modules() for value in vars(module).values()]
    packed = [p.unpack()[:2] for p in leaves if isinstance(p, torch.ScriptObject) and hasattr(p, "unpack")]
    return sum(t.numel() for t in [*model.parameters(), *(t for pair in packed for t in pair if t is not None)])
