"""Record every operator that PyTorch dispatches, with the module that was running.

Loaded by `alphaflops.network.trace` only, since it needs torch at import time. It builds on the same two pieces as
``torch.utils.flop_counter``: a dispatch mode, and formulas of shapes by operator.

Work of a backward pass belongs to the layer that made the autograd node. Nodes are numbered as they are made, and each
module notes the number at which it began and ended, so the number of a node tells its layer; layers that run again
during the backward pass (activation checkpoints) are running themselves.
"""

import sys
import threading
import weakref
from bisect import bisect_right
from collections import Counter
from collections.abc import Set as AbstractSet
from typing import Any, Final

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from .families import About, about, bytes_touched, window_taps
from .formulas import FORMULAS, ONLY_NESTED, Arguments, Repeated
from .trace import COUNTED, Operation, Phase

_COMPOSITE: Final = torch._C.DispatchKey.CompositeImplicitAutograd
_EXPLICIT: Final = torch._C.DispatchKey.CompositeExplicitAutograd
_FORWARD: Final = -1  # autograd's task outside of every backward pass
_NARROW: Final = {"_grouped_mm"}
"""Operators that refuse all but bfloat16 on tensors without data, though their kernels take more."""
_OPENED: Final = {
    "_euclidean_dist": _EXPLICIT,
    "_foreach_mm": _EXPLICIT,
    "_trilinear": torch._C.DispatchKey.CompositeExplicitAutogradNonFunctional,
}
"""Operators with derivatives of their own that are made of products, and where their kernel is."""
_SPARSE: Final = {torch.sparse_coo, torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc}


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return _parts(value) if value.layout in _SPARSE else [value]
    if isinstance(value, (list, tuple)):
        return [t for item in value for t in _tensors(item)]
    return []


def _parts(sparse: torch.Tensor) -> list[torch.Tensor]:
    if sparse.layout == torch.sparse_coo:
        return [sparse._indices(), sparse._values()]
    by_row = sparse.layout in (torch.sparse_csr, torch.sparse_bsr)
    lines = (sparse.crow_indices, sparse.col_indices) if by_row else (sparse.ccol_indices, sparse.row_indices)
    return [*(index() for index in lines), sparse.values()]


def storage(tensor: torch.Tensor) -> int:
    """Name the memory of a tensor; 0 where it has none of its own, such as a nested one."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):
        return 0


def _arguments(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    names = [argument.name for argument in func._schema.arguments]
    return {**dict(zip(names, args, strict=False)), **kwargs}


def _wraps(kind: type) -> bool:
    """Whether a kind of tensor unpacks itself into plain ones when it is dispatched."""
    own = getattr(kind, "__torch_dispatch__", torch._C._disabled_torch_dispatch_impl)
    return own is not torch._C._disabled_torch_dispatch_impl and not issubclass(kind, FakeTensor)


def _empty(tensor: torch.Tensor) -> bool:
    return tensor.is_meta or isinstance(tensor, FakeTensor)


def _call(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if func._overloadpacket.__name__ in _NARROW and _empty(args[0]):
        given = [t.bfloat16() if isinstance(t, torch.Tensor) and t.is_floating_point() else t for t in args]
        return func(*given, **kwargs).to(kwargs.get("out_dtype") or args[0].dtype)
    return func(*args, **kwargs)


def _count(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> tuple[int, tuple[Repeated, ...]]:
    """MACs and layers of one call; an operator that only PyTorch's registry knows has MACs but no layer."""
    formula = FORMULAS.get(about(func).key)
    if formula is None:
        return flop_registry[func._overloadpacket](*args, **kwargs, out_val=out) // 2, ()
    given = _arguments(func, args, kwargs)
    nested = {name: v.unbind() for name, v in given.items() if isinstance(v, torch.Tensor) and v.is_nested}
    each = [dict(zip(nested, parts, strict=True)) for parts in zip(*nested.values(), strict=True)] or [{}]
    layers = tuple(one for parts in each for one in formula({**given, **parts}))
    return sum(one.macs for one in layers), layers


class Recorder(TorchDispatchMode):
    """Dispatch mode that lists the operators of one call.

    Parameters
    ----------
    model : torch.nn.Module
        Network whose modules are named, with the tensors that it is called with.
    weights : dict of str to Tensor
        Its parameters by name.
    shared : bool
        Whether the weights are the user's own memory, which `put_back` restores.

    Attributes
    ----------
    operations : list of Operation
        What was dispatched, without views and allocations.
    ran : set of str
        Paths of the modules that ran at least one operator.
    running : list of (str, str, int), int, object
        Path, class and call number of each running module, its backward pass and its inputs; innermost last.
    failed : tuple or None
        Of the innermost module that an error left.
    drew, read : bool
        Whether random numbers with values were drawn, and whether values decided what to do.
    unused : list of str
        Names of the parameters that no operator was given, once all is put back.
    made : list of weak references
        Tensors that operators gave.
    """

    supports_higher_order_operators = True

    def __init__(self, model: torch.nn.Module, weights: dict[str, torch.Tensor], shared: bool) -> None:
        TorchDispatchMode.__init__(self)
        self.operations: list[Operation] = []
        self.ran: set[str] = set()
        self.running: list[tuple[tuple[str, str, int], int, Any]] = []
        self.failed: tuple[BaseException | None, tuple[str, str, int], Any] | None = None
        self.drew = self.read = False
        self.unused: list[str] = []
        self.made: list[weakref.ref[torch.Tensor]] = []
        self._names = {module: name for name, module in model.named_modules()}
        self._types = {name: type(module).__name__ for module, name in self._names.items()}
        self._owners = {storage(t): name.rpartition(".")[0] for name, t in reversed(weights.items())}
        self._nodes: dict[int, tuple[str, str, int]] = {}
        self._top = ("", type(model).__name__, 1)
        self._calls: Counter[str] = Counter()
        self._begun: tuple[list[int], list[tuple[str, str, int]]] = ([0], [self._top])
        self.weights = weights
        self._used: set[int] = set()
        self._shared = {storage(t): t for t in weights.values()} if shared else {}
        self._written: dict[int, torch.UntypedStorage] = {}
        self._thread = threading.get_ident()

    def put_back(self) -> None:
        """Give weights that were written to their values again, and let go of all."""
        for memory, kept in self._written.items():
            self._shared[memory].untyped_storage().copy_(kept)
        self.unused = [name for name, t in self.weights.items() if t.numel() and storage(t) not in self._used]
        self.weights, self._shared = dict.fromkeys(self.weights, torch.empty(0)), {}

    def begin(self, module: torch.nn.Module, inputs: Any) -> None:
        """Note that a module begins: a hook before every forward pass."""
        name = self._names.get(module)
        if name is not None and threading.get_ident() == self._thread:
            self._calls[name] += 1
            where = (name, type(module).__name__, self._calls[name])
            self.running.append((where, torch._C._current_graph_task_id(), inputs))
            self._note(where)

    def end(self, module: torch.nn.Module, inputs: Any, output: Any) -> None:
        """Note that a module ended, or failed: a hook after every forward pass."""
        if module in self._names and threading.get_ident() == self._thread:
            where, _, given = self.running.pop()
            error = sys.exception()
            if error is not None and (self.failed is None or self.failed[0] is not error):
                self.failed = (error, where, given)
            self._note(self.running[-1][0] if self.running else self._top)

    def _note(self, where: tuple[str, str, int]) -> None:
        self._begun[0].append(torch._C._autograd._get_sequence_nr())
        self._begun[1].append(where)

    def _where(self, task: int) -> tuple[str, str, int]:
        if self.running and self.running[-1][1] == task:
            return self.running[-1][0]
        node = None if task == _FORWARD else torch._C._current_autograd_node()
        if node is None or (number := node._sequence_nr()) > self._begun[0][-1] + 2**62:  # a leaf has no number
            return self._top
        return self._nodes.get(number) or self._begun[1][bisect_right(self._begun[0], number) - 1]

    def _place(self, task: int, memories: AbstractSet[int], derived: bool) -> tuple[str, str, int]:
        """Place products with the weights of another layer, called by function, at that layer."""
        where = self._where(task)
        owners = {self._owners[memory] for memory in memories & self._owners.keys()}
        again = bool(self.running) and self.running[-1][1] == task
        if owners and where[0] not in owners and (task == _FORWARD or again):
            where = (min(owners), self._types[min(owners)], where[2])
            if derived:  # its node is the last one made
                self._nodes[torch._C._autograd._get_sequence_nr() - 1] = where
        return where

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if isinstance(func, torch._ops.HigherOrderOperator):
            return self._higher_order(func, args, kwargs)
        if any(map(_wraps, types)):
            return NotImplemented  # the mode sees what it is unpacked into
        known, inputs = about(func), _tensors([*args, *kwargs.values()])
        family = self._family(func, known, args, inputs)
        if family == "unknown" and (out := self._decompose(func, known, args, kwargs)) is not NotImplemented:
            return out
        memories = {storage(t) for t in inputs}
        self._used |= memories
        if self._shared and known.writes:
            for memory in memories & self._shared.keys() - self._written.keys():
                self._written[memory] = self._shared[memory].untyped_storage().clone()
        out = _call(func, args, kwargs)
        outputs = _tensors(out)
        self.made += map(weakref.ref, outputs)
        self.read |= known.reads
        self.drew |= known.draws and family != COUNTED and not all(map(_empty, outputs))
        if family == COUNTED:
            macs, layers = _count(func, args, kwargs, out)
            self._record(known.name, family, inputs, outputs, memories, macs, layers)
        elif family != "free" and (
            known.writes or not outputs or not (known.views or memories >= {storage(t) for t in outputs})
        ):
            pooled = family == "pooling" and torch._C._current_graph_task_id() == _FORWARD
            taps = window_taps(_arguments(func, args, kwargs), outputs) if pooled else 0
            self._record(known.name, family, inputs, outputs, taps=taps)
        return out

    def _family(self, func: Any, known: About, args: tuple[Any, ...], inputs: list[torch.Tensor]) -> str:
        if known.key not in FORMULAS and func._overloadpacket not in flop_registry:
            return "unknown" if known.key in _OPENED else known.family
        if known.key in ONLY_NESTED and not any(t.is_nested for t in inputs):
            return known.family
        # The products with a sparse tensor depend on what it holds.
        return "unknown" if any(isinstance(t, torch.Tensor) and t.layout in _SPARSE for t in args) else COUNTED

    def _higher_order(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """See what runs in attention with a function for its scores, or in the branch that control flow takes."""
        kernel = func.py_kernels.get(_EXPLICIT)
        if kernel is None:
            out = func(*args, **kwargs)
            self._record(func.name(), "unknown", _tensors(args), _tensors(out))
            return out
        before = len(self.operations)
        try:
            return self._open(kernel, args, kwargs)
        except AssertionError:  # control flow calls its kernel without a mode
            del self.operations[before:]

        def opened(part: Any) -> Any:
            return (lambda *given: self._open(part, given, {})) if callable(part) else part

        return kernel(*_pytree.tree_map(opened, args), **kwargs)

    def _decompose(self, func: Any, known: About, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        # The compiled kernel is what a real call runs; `decompose` prefers a Python one that may differ.
        key = _OPENED.get(known.key, _COMPOSITE)
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), key):
            return self._open(func._op_dk, (key, *args), kwargs)
        return self._open(func.decompose, args, kwargs)

    def _open(self, kernel: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a kernel and see the operators in it: the mode is off during dispatch."""
        with self:
            return kernel(*args, **kwargs)

    def _record(
        self,
        name: str,
        family: str,
        inputs: list[torch.Tensor],
        outputs: list[torch.Tensor],
        memories: AbstractSet[int] = frozenset(),
        macs: int = 0,
        layers: tuple[Repeated, ...] = (),
        taps: int = 0,
    ) -> None:
        moved = bytes_touched(name, inputs, outputs)
        if not moved and not macs:
            return
        task = torch._C._current_graph_task_id()
        derived = torch.is_grad_enabled() and any(t.requires_grad for t in inputs)
        module, kind, call = self._place(task, memories, derived)
        self.ran.add(module)
        phase: Phase = "forward" if task == _FORWARD else "backward"
        shape, dtype = (_shape(outputs[0]), str(outputs[0].dtype).removeprefix("torch.")) if outputs else ((), "")
        self.operations.append(
            Operation(module, kind, call, name, family, phase, macs, moved, layers, shape, taps, dtype)
        )


def _shape(tensor: torch.Tensor) -> tuple[int, ...]:
    return (tensor.size(0),) if tensor.is_nested else tuple(tensor.shape)
