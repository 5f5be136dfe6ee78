"""Record every operator that PyTorch dispatches, with the module that was running.

Loaded by `alphaflops.network.trace` only, since it needs torch at import time. It builds on the same two pieces as
``torch.utils.flop_counter``: a dispatch mode, and formulas of shapes by operator.
"""

from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry
from torch.utils.module_tracker import ModuleTracker

from .families import bytes_touched, family_of, window_taps
from .formulas import FORMULAS, Arguments, Repeated
from .operations import COUNTED, Operation, Phase

_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
_EXPLICIT = torch._C.DispatchKey.CompositeExplicitAutograd
_NARROW = {"_grouped_mm"}
"""Operators that refuse all but bfloat16 on tensors without data, though their kernels take more."""


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value] if value.layout == torch.strided else _parts(value)
    if isinstance(value, (list, tuple)):
        return [t for item in value for t in _tensors(item)]
    return []


def _parts(sparse: torch.Tensor) -> list[torch.Tensor]:
    if sparse.layout == torch.sparse_coo:
        return [sparse._indices(), sparse._values()]
    by_row = sparse.layout in (torch.sparse_csr, torch.sparse_bsr)
    lines = (sparse.crow_indices, sparse.col_indices) if by_row else (sparse.ccol_indices, sparse.row_indices)
    return [*(index() for index in lines), sparse.values()]


def _is_sparse(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.layout != torch.strided


def _arguments(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    names = [argument.name for argument in func._schema.arguments]
    return {**dict(zip(names, args, strict=False)), **kwargs}


def _plain(func: Any) -> str:
    """Operator name without namespace and overload; what works in place has the name of what does not."""
    name: str = func._overloadpacket.__name__
    return name.removesuffix("_")


def _wraps(kind: type) -> bool:
    """Whether a kind of tensor unpacks itself into plain ones when it is dispatched."""
    own = getattr(kind, "__torch_dispatch__", torch._C._disabled_torch_dispatch_impl)
    return own is not torch._C._disabled_torch_dispatch_impl and not issubclass(kind, FakeTensor)


def _call(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if func._overloadpacket.__name__ in _NARROW and (isinstance(args[0], FakeTensor) or args[0].is_meta):
        given = [t.bfloat16() if isinstance(t, torch.Tensor) and t.is_floating_point() else t for t in args]
        return func(*given, **kwargs).to(kwargs.get("out_dtype") or args[0].dtype)
    return func(*args, **kwargs)


def _count(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> tuple[int, list[Repeated]]:
    """MACs and layers of one call; an operator that only PyTorch's registry knows has MACs but no layer."""
    formula = FORMULAS.get(_plain(func))
    if formula is None:
        return flop_registry[func._overloadpacket](*args, **kwargs, out_val=out) // 2, []
    layers = formula(_arguments(func, args, kwargs))
    return sum(one.layer.macs * one.count for one in layers), layers


def _phase() -> Phase:
    return "forward" if torch._C._current_graph_task_id() == -1 else "backward"


class Recorder(TorchDispatchMode):
    """Dispatch mode that lists the operators of one call.

    Parameters
    ----------
    model : torch.nn.Module
        Network whose modules are named.
    backward : bool
        Whether a backward pass follows, whose operators need PyTorch's `ModuleTracker` to be placed.

    Attributes
    ----------
    operations : list of Operation
        What was dispatched, without views and allocations.
    running : list of (str, str, int, tuple)
        Path, class, call number and inputs of the modules that are running, innermost last.
    ran : set of str
        Paths of the modules that ran at least one operator.
    """

    supports_higher_order_operators = True

    def __init__(self, model: torch.nn.Module, backward: bool) -> None:
        TorchDispatchMode.__init__(self)
        self.operations: list[Operation] = []
        self.running: list[tuple[str, str, int, Any]] = []
        self.ran: set[str] = set()
        self._names = {module: name for name, module in model.named_modules()}
        self._root = type(model).__name__
        self._types = {name: type(module).__name__ for module, name in self._names.items()}
        self._calls: Counter[str] = Counter()
        self._tracker = ModuleTracker() if backward else None
        self._handles: list[Any] = []

    def __enter__(self) -> "Recorder":
        if self._tracker:
            self._tracker.__enter__()
        self._handles = [register_module_forward_pre_hook(self._begin), register_module_forward_hook(self._end)]
        TorchDispatchMode.__enter__(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        TorchDispatchMode.__exit__(self, kind, error, trace)
        for handle in self._handles:
            handle.remove()
        if self._tracker:
            self._tracker.__exit__(kind, error, trace)

    def _begin(self, module: torch.nn.Module, inputs: Any) -> None:
        name = self._names.get(module)
        if name is not None:
            self._calls[name] += 1
            self.running.append((name, type(module).__name__, self._calls[name], inputs))

    def _end(self, module: torch.nn.Module, inputs: Any, output: Any) -> None:
        name = self._names.get(module)
        # A module inside whose failure was caught has no end of its own.
        while name is not None and self.running and self.running.pop()[0] != name:
            pass

    def _where(self, phase: Phase) -> tuple[str, str, int]:
        if phase == "forward" or self._tracker is None:
            return self.running[-1][:3] if self.running else ("", self._root, 1)
        innermost = max(self._tracker.parents - {"Global"}, key=lambda path: path.count("."), default=self._root)
        name = innermost.partition(".")[2]
        return name, self._types.get(name, self._root), self._calls[name]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if isinstance(func, torch._ops.HigherOrderOperator):
            return self._higher_order(func, args, kwargs)
        if any(map(_wraps, types)):
            return NotImplemented  # the mode sees what it is unpacked into
        packet = func._overloadpacket
        name = packet.__name__
        counted = _plain(func) in FORMULAS or packet in flop_registry
        family = COUNTED if counted else family_of(name, func.tags)
        if any(map(_is_sparse, args)) and family == COUNTED:
            family = "unknown"  # the products depend on what the tensor holds
        if family == "unknown":
            out = self._decompose(func, args, kwargs)
            if out is not NotImplemented:
                return out
        out = _call(func, args, kwargs)
        if family != "free":
            self._record(func, name, family, args, kwargs, out)
        return out

    def _higher_order(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """See what runs in attention with a function for its scores, or in the branch that control flow takes."""
        kernel = func.py_kernels.get(_EXPLICIT)
        if kernel is None:
            out = func(*args, **kwargs)
            self._append(func.name(), "unknown", _tensors(args), _tensors(out))
            return out
        try:
            return self._open(kernel, args, kwargs)
        except AssertionError as error:
            if "Mode should never be enabled" not in str(error):
                raise

        def opened(part: Any) -> Any:
            return (lambda *given: self._open(part, given, {})) if callable(part) else part

        return kernel(*_pytree.tree_map(opened, args), **kwargs)

    def _decompose(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        # The compiled kernel is what a real call runs; `decompose` prefers a Python one that may differ.
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), _COMPOSITE):
            return self._open(func._op_dk, (_COMPOSITE, *args), kwargs)
        return self._open(func.decompose, args, kwargs)

    def _open(self, kernel: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a kernel and see the operators in it: the mode is off during dispatch."""
        TorchDispatchMode.__enter__(self)  # the hooks of our own __enter__ are not wanted twice
        try:
            return kernel(*args, **kwargs)
        finally:
            TorchDispatchMode.__exit__(self, None, None, None)

    def _record(
        self, func: Any, name: str, family: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
    ) -> None:
        inputs, outputs = _tensors(args) + _tensors(list(kwargs.values())), _tensors(out)
        if not func._schema.is_mutable and outputs and family != COUNTED:
            storages = {t.untyped_storage()._cdata for t in inputs}
            if all(t.untyped_storage()._cdata in storages for t in outputs):
                return  # a view
        macs, layers = _count(func, args, kwargs, out) if family == COUNTED else (0, [])
        pooled = family == "pooling" and _phase() == "forward"
        taps = window_taps(_arguments(func, args, kwargs), outputs) if pooled else 0
        self._append(name, family, inputs, outputs, macs, layers, taps)

    def _append(
        self,
        name: str,
        family: str,
        inputs: list[torch.Tensor],
        outputs: list[torch.Tensor],
        macs: int = 0,
        layers: Sequence[Repeated] = (),
        taps: int = 0,
    ) -> None:
        moved = bytes_touched(name, inputs, outputs)
        if not moved and not macs:
            return
        phase = _phase()
        module, kind, call = self._where(phase)
        self.ran.add(module)
        shape = tuple(outputs[0].shape) if outputs else ()
        self.operations.append(
            Operation(module, kind, call, name, family, phase, macs, moved, tuple(layers), shape, taps)
        )
