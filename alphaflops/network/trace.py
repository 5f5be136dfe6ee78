"""Call a network on tensors without data and list what it dispatches, leaving it and its inputs as they were."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ..errors import AlphaflopsError
from .inputs import Inputs, normalise
from .operations import Network

if TYPE_CHECKING:
    import torch

HOWS: Final = ("meta", "fake", "cpu")
"""Tensors that a network is called with, in the order in which they are tried."""


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

    from .attempt import Attempt
    from .guard import unwrapped

    if not isinstance(model, torch.nn.Module):
        raise AlphaflopsError(f"model is a {type(model).__name__}: give a torch.nn.Module")
    model = unwrapped(model)
    _no_lazy_layers(model)
    args, kwargs, meant = normalise(inputs)
    notes = [*meant]
    # Seen from inside of inference mode, operators are whole; with gradients they fall into what can be derived.
    attempts = [(how, backward) for how in HOWS]
    attempts += [] if backward else [("cpu", True)]
    if any(torch.is_autocast_enabled(device) for device in ("cpu", "cuda")):
        del attempts[0]  # number types that depend on a device
    for place, (how, graph) in enumerate(attempts):
        if how == "cpu" and any(t.is_meta for t in [*model.parameters(), *model.buffers()]):
            model = model if with_data is None else unwrapped(with_data())
            done = "zeros stand for them" if with_data is None else "the network was built anew with them"
            notes.append(f"the weights had no data; {done}")
        attempt = Attempt(model, how, graph)
        if attempt.run(args, kwargs, backward):
            break
        if place + 1 == len(attempts):
            raise AlphaflopsError("; ".join([attempt.blame, *meant]))
        then = attempts[place + 1][0] + (" tensors with gradients" if how == "cpu" else " tensors")
        notes.append(f"{how} tensors were not enough ({attempt.error}); used {then}")
    recorder = attempt.recorder
    notes = list(dict.fromkeys([*notes, *attempt.notes()]))
    return Network(
        type(model).__name__, tuple(recorder.operations), _params(model), len(recorder.ran), how, tuple(notes)
    )


def _no_lazy_layers(model: "torch.nn.Module") -> None:
    from torch.nn.parameter import is_lazy

    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if is_lazy(tensor):
            raise AlphaflopsError(f"{name} has no shape yet: call the model once, then estimate it")


def _params(model: "torch.nn.Module") -> int:
    """Parameters, and the numbers that quantized layers keep packed."""
    import torch

    leaves = [value for module in model.modules() for value in vars(module).values()]
    packed = [p.unpack()[:2] for p in leaves if isinstance(p, torch.ScriptObject) and hasattr(p, "unpack")]
    return sum(t.numel() for t in [*model.parameters(), *(t for pair in packed for t in pair if t is not None)])
