"""Call a network on tensors without data and list what it dispatches, leaving the network as it was."""

import contextlib
import copy
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import AlphaflopsError
from .inputs import Inputs, Shape, _line, materialise, normalise
from .leftovers import forgotten
from .operations import Network

if TYPE_CHECKING:
    import torch

_HOWS = ("meta", "fake", "cpu")


def trace(
    model: "torch.nn.Module",
    inputs: Inputs,
    *,
    backward: bool = False,
    dtypes: Sequence[str] = (),
    with_data: "Callable[[], torch.nn.Module] | None" = None,
) -> Network:
    """List the operators of one call of a network.

    The call runs on a copy whose parameters and buffers have no data, so no weights are allocated, nothing is computed
    and the model keeps its mode, parameters, buffers, hooks and gradients. Where a network needs a device or values
    (control flow that depends on data), fake tensors and then real CPU tensors are tried, and a note says so.

    Parameters
    ----------
    model : torch.nn.Module
        Network, on any device; called in the mode (training or evaluation) that it is in.
    inputs : tensor, shape, or a list or mapping of those
        What the network is called with; see `alphaflops.network.inputs.normalise`.
    backward : bool
        Also list the backward pass, from the sum of all floating-point outputs.
    dtypes : sequence of str
        Number types of inputs given as shapes.
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

    if not isinstance(model, torch.nn.Module):
        raise AlphaflopsError(f"model is a {type(model).__name__}: give a torch.nn.Module")
    model = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    _no_lazy_layers(model)
    args, kwargs = normalise(inputs, dtypes)
    notes: list[str] = []
    for how in _HOWS:
        if how == "cpu" and any(t.is_meta for t in [*model.parameters(), *model.buffers()]):
            model = model if with_data is None else with_data()
            done = "zeros stand for them" if with_data is None else "the network was built anew with them"
            notes.append(f"the weights had no data; {done}")
        try:
            recorder, extra = _attempt(model, args, kwargs, how, backward)
        except _NeedsDataError as error:
            if how == _HOWS[-1]:
                raise AlphaflopsError(str(error)) from error
            notes.append(f"{how} tensors were not enough ({error}); used {_HOWS[_HOWS.index(how) + 1]} tensors")
            continue
        params = sum(p.numel() for p in model.parameters())
        operations = tuple(recorder.operations)
        return Network(type(model).__name__, operations, params, len(recorder.ran), how, (*notes, *extra))
    raise AlphaflopsError(f"{type(model).__name__} could not be traced")


class _NeedsDataError(Exception):
    """The network asked for something that a tensor without data cannot give."""


def _no_lazy_layers(model: "torch.nn.Module") -> None:
    from torch.nn.parameter import is_lazy

    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if is_lazy(tensor):
            raise AlphaflopsError(f"{name} has no shape yet: call the model once, then estimate it")


def _attempt(
    model: "torch.nn.Module", args: tuple[Any, ...], kwargs: dict[str, Any], how: str, backward: bool
) -> tuple[Any, tuple[str, ...]]:
    import torch
    from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

    from .dispatch import Recorder

    nothing = contextlib.nullcontext()
    fake = FakeTensorMode(allow_non_fake_inputs=True) if how == "fake" else nothing
    # Meta tensors are on a device of their own, which functions that remember tensors ask for.
    clean = forgotten(FakeTensor) if how == "fake" else nothing
    graph = backward or how != "meta"
    grad: Any = torch.enable_grad() if graph else torch.inference_mode()
    # Compiled parts run as they are written; asking for that would load the compiler where nothing is compiled.
    plain: Any = torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nothing
    # Tensors made in a caller's inference mode could not be differentiated.
    with clean, torch.inference_mode(not graph), torch.random.fork_rng(devices=[]), fake, plain, _quiet():
        convert = _converter(how)
        try:
            call, named, notes = _twin(model, convert)
        except RuntimeError as error:  # such as too little memory
            raise AlphaflopsError(f"the network has no {how} tensors: {_line(error)[:150]}") from error
        try:
            given = [_input(value, how, convert) for value in args]
            keyed = {name: _input(value, how, convert) for name, value in kwargs.items()}
        except (RuntimeError, AssertionError) as error:  # a kind of tensor that has no twin of that kind
            raise AlphaflopsError(f"an input has no {how} tensors: {_line(error)[:150]}") from error
        recorder = Recorder(named, backward)
        try:
            with grad, recorder:
                outputs = call(*given, **keyed)
                if backward:
                    _backward(outputs)
        except AlphaflopsError:
            raise
        except Exception as error:
            if how != "cpu" and _asks_for_data(error):
                raise _NeedsDataError(_line(error)) from error
            raise AlphaflopsError(_blame(recorder, error)) from error
    return recorder, notes


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # PyTorch logs a failure on fake tensors with its traceback, before it raises it.
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before


def _converter(how: str) -> Callable[["torch.Tensor"], "torch.Tensor"]:
    import torch

    def convert(tensor: "torch.Tensor") -> "torch.Tensor":
        if how == "cpu":
            return torch.zeros_like(tensor, device="cpu") if tensor.is_meta else tensor.detach().cpu()
        return torch.empty_like(tensor, device="meta" if how == "meta" else "cpu", requires_grad=False)

    return convert


def _input(value: Any, how: str, convert: Callable[[Any], Any]) -> Any:
    import torch
    from torch.utils import _pytree

    if isinstance(value, Shape):
        return materialise(value, "meta" if how == "meta" else "cpu")
    return _pytree.tree_map_only(torch.Tensor, convert, value)


def _twin(
    model: "torch.nn.Module", convert: Callable[[Any], Any]
) -> tuple[Callable[..., Any], "torch.nn.Module", tuple[str, ...]]:
    """Copy the modules with every tensor converted; on the CPU weights are shared and buffers are copied."""
    import torch
    from torch.utils import _pytree

    new: dict[int, Any] = {}
    for parameter in model.parameters():
        new[id(parameter)] = torch.nn.Parameter(convert(parameter), parameter.requires_grad)
    for buffer in model.buffers():
        new[id(buffer)] = convert(buffer).clone()
    for module in model.modules():
        for leaf in _pytree.tree_leaves(list(vars(module).values())):
            if isinstance(leaf, torch.Tensor) and id(leaf) not in new:
                new[id(leaf)] = convert(leaf)
    try:
        copied = copy.deepcopy(model, dict(new))
    except Exception as error:
        tensors = {name: new[id(t)] for name, t in [*model.named_parameters(), *model.named_buffers()]}
        note = f"the model cannot be copied ({_line(error)}); it was called itself, with its tensors swapped"
        return lambda *a, **k: torch.func.functional_call(model, tensors, a, k), model, (note,)
    return copied, copied, ()


def _backward(outputs: Any) -> None:
    import torch
    from torch.utils import _pytree

    values = vars(outputs) if hasattr(outputs, "__dict__") and not isinstance(outputs, torch.Tensor) else outputs
    roots = [t for t in _pytree.tree_leaves([outputs, values]) if isinstance(t, torch.Tensor) and t.requires_grad]
    unique = list({id(t): t for t in roots}.values())
    if not unique:
        raise AlphaflopsError("no output requires a gradient: a backward pass needs a trainable parameter")
    # A view on top lets hooks on the outputs run, which place the last layer's backward pass.
    torch.autograd.backward([t.view_as(t) for t in unique], [torch.empty_like(t) for t in unique])


def _asks_for_data(error: Exception) -> bool:
    from torch._subclasses import fake_tensor

    names = ("DataDependentOutputException", "DynamicOutputShapeException", "UnsupportedOperatorException")
    known = tuple(getattr(fake_tensor, name) for name in names if hasattr(fake_tensor, name))
    said = str(error).lower()
    signs = (
        "meta",
        "same device",
        "tensor subclasses",  # NumPy
        "device type for autocast",
        "unsupported scalartype",  # autocast again
        "does not require grad",  # a derivative in the forward pass: fake tensors keep gradients
        "inference tensor",
        "torchscript interpreter",
        "torch.compile",
        "mode should never be enabled",  # control flow as an operator
    )
    return isinstance(error, (NotImplementedError, *known)) or any(sign in said for sign in signs)


def _blame(recorder: Any, error: Exception) -> str:
    """Name the layer that failed and what it was given."""
    from torch.utils import _pytree

    if not recorder.running:
        return f"the network failed: {_line(error)}"
    path, kind, _, inputs = recorder.running[-1]
    shapes = [tuple(t.shape) for t in _pytree.tree_leaves(inputs) if hasattr(t, "shape")]
    given = f" was given {', '.join(map(str, shapes))}" if shapes else " failed"
    return f"layer {path or 'at the top'!s} ({kind}){given}: {_line(error)}"
