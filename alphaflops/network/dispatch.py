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
from functools import partial
from operator import itemgetter
from typing import Any, Final, TypeAlias

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from . import COUNTED, Operation, Phase
from .families import About, about, bytes_touched, window_taps
from .formulas import FORMULAS, ONLY_NESTED

Tensors: TypeAlias = list[torch.Tensor]
Where: TypeAlias = tuple[str, str, int]
"""Path, class and call number of a module."""

_COMPOSITE: Final = torch._C.DispatchKey.CompositeImplicitAutograd
_EXPLICIT: Final = torch._C.DispatchKey.CompositeExplicitAutograd
_FORWARD: Final = -1  # autograd's task outside of every backward pass
_NOT_FUNCTIONAL: Final = torch._C.DispatchKey.CompositeExplicitAutogradNonFunctional
_OPENED: Final = {"_euclidean_dist": _EXPLICIT, "_foreach_mm": _EXPLICIT, "_trilinear": _NOT_FUNCTIONAL}
"""Operators with derivatives of their own that are made of products, and where their kernel is."""
_SPARSE: Final = {torch.sparse_coo, torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc}


def _tensors(value: Any) -> Tensors:
    """Give the tensors in lists and tuples; of a sparse one its values."""
    if isinstance(value, torch.Tensor):
        if value.layout in _SPARSE:
            return [value._values() if value.layout == torch.sparse_coo else value.values()]
        return [value]
    return [t for item in value for t in _tensors(item)] if isinstance(value, (list, tuple)) else []


def _storage(tensor: torch.Tensor) -> int:
    """Name the memory of a tensor; 0 where it has none of its own, such as a nested one."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):
        return 0


def _arguments(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    names = [argument.name for argument in func._schema.arguments]
    return {**dict(zip(names, args, strict=False)), **kwargs}


def _wraps(kind: type) -> bool:
    """Whether a kind of tensor unpacks itself into plain ones when it is dispatched."""
    own = getattr(kind, "__torch_dispatch__", torch._C._disabled_torch_dispatch_impl)
    return own is not torch._C._disabled_torch_dispatch_impl and not issubclass(kind, FakeTensor)


def _empty(tensor: torch.Tensor) -> bool:
    return tensor.is_meta or isinstance(tensor, FakeTensor)


def _call(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    # It refuses all but bfloat16 on tensors without data, though its kernels take more.
    if func._overloadpacket.__name__ == "_grouped_mm" and _empty(args[0]):
        given = [t.bfloat16() if isinstance(t, torch.Tensor) and t.is_floating_point() else t for t in args]
        return func(*given, **kwargs).to(kwargs.get("out_dtype") or args[0].dtype)
    return func(*args, **kwargs)


def _count(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> dict[str, Any]:
    """MACs and layers of one call; an operator that only PyTorch's registry knows has MACs but no layer."""
    formula = FORMULAS.get(about(func).key)
    if formula is None:
        return {"macs": flop_registry[func._overloadpacket](*args, **kwargs, out_val=out) // 2}
    given = {**_arguments(func, args, kwargs), "out": out}
    nested = {name: v.unbind() for name, v in given.items() if isinstance(v, torch.Tensor) and v.is_nested}
    each = [dict(zip(nested, parts, strict=True)) for parts in zip(*nested.values(), strict=True)] or [{}]
    layers = tuple(one for parts in each for one in formula({**given, **parts}))
    return {"macs": sum(one.macs for one in layers), "layers": layers}


class Recorder(TorchDispatchMode):
    """Dispatch mode that lists the operators of one call.

    Parameters
    ----------
    model : torch.nn.Module
        Network whose modules are named, with the tensors that it is called with.
    shared : bool
        Whether its parameters are the user's own memory, which `put_back` restores.

    Attributes
    ----------
    operations : list of Operation
        What was dispatched, without views and allocations.
    failed : tuple or None
        The innermost module that an error left: the error, the module and its inputs.
    drew, read : bool
        Whether random numbers with values were drawn, and whether values decided what to do.
    weights : int
        Parameters, by the memory that they take.
    unused : list of str
        Names of the parameters that no operator was given, once all is put back.
    made : list of weak references
        Tensors that operators gave.
    """

    supports_higher_order_operators = True

    def __init__(self, model: torch.nn.Module, shared: bool) -> None:
        TorchDispatchMode.__init__(self)
        self.operations: list[Operation] = []
        self.failed: tuple[BaseException | None, Where, Any] | None = None
        self.drew = self.read = False
        self.unused: list[str] = []
        self.made: list[weakref.ref[torch.Tensor]] = []
        self._names = {module: name for name, module in model.named_modules()}
        self._types = {name: type(module).__name__ for module, name in self._names.items()}
        # Names and tensors by their memory: whose name comes first is the owner.
        self._weights = {_storage(t): (name, t) for name, t in reversed(list(model.named_parameters()))}
        self.weights = len(self._weights)
        top = ("", type(model).__name__, 1)
        self._running: list[tuple[Where, int, Any]] = [(top, _FORWARD, None)]  # with its backward pass and inputs
        self._begun: list[tuple[int, Where]] = [(0, top)]
        self._nodes: dict[int, Where] = {}
        self._calls: Counter[str] = Counter()
        self._used: set[int] = set()
        self._shared = shared
        self._written: dict[int, torch.UntypedStorage] = {}
        self._thread = threading.get_ident()

    def put_back(self) -> None:
        """Give weights that were written to their values again, and let go of all."""
        for memory, kept in self._written.items():
            self._weights[memory][1].untyped_storage().copy_(kept)
        weights = reversed(self._weights.items())
        self.unused = [name for memory, (name, t) in weights if t.numel() and memory not in self._used]
        self._weights = {}

    def begin(self, module: torch.nn.Module, inputs: Any) -> None:
        """Note that a module begins: a hook before every forward pass."""
        name = self._names.get(module)
        if name is not None and threading.get_ident() == self._thread:
            self._calls[name] += 1
            where = (name, type(module).__name__, self._calls[name])
            self._running.append((where, torch._C._current_graph_task_id(), inputs))
            self._note(where)

    def end(self, module: torch.nn.Module, inputs: Any, output: Any) -> None:
        """Note that a module ended, or failed: a hook after every forward pass."""
        if module in self._names and threading.get_ident() == self._thread:
            where, _, given = self._running.pop()
            error = sys.exception()
            if error is not None and (self.failed is None or self.failed[0] is not error):
                self.failed = (error, where, given)
            self._note(self._running[-1][0])

    def _note(self, where: Where) -> None:
        self._begun.append((torch._C._autograd._get_sequence_nr(), where))

    def _where(self, task: int) -> Where:
        if self._running[-1][1] == task:
            return self._running[-1][0]
        node = torch._C._current_autograd_node()
        if node is None or (number := node._sequence_nr()) > self._begun[-1][0] + 2**62:  # a leaf has no number
            return self._begun[0][1]
        return self._nodes.get(number) or self._begun[bisect_right(self._begun, number, key=itemgetter(0)) - 1][1]

    def _place(self, task: int, inputs: Tensors) -> Where:
        """Place products with the weights of another layer, called by function, at that layer."""
        where = self._where(task)
        used = self._weights.keys() & set(map(_storage, inputs))
        owners = {self._weights[memory][0].rpartition(".")[0] for memory in used}
        if owners and where[0] not in owners and self._running[-1][1] == task:
            where = (owner := min(owners), self._types[owner], where[2])
            if torch.is_grad_enabled() and any(t.requires_grad for t in inputs):  # its node is the last one made
                self._nodes[torch._C._autograd._get_sequence_nr() - 1] = where
        return where

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if isinstance(func, torch._ops.HigherOrderOperator):
            return self._higher_order(func, args, kwargs)
        if any(map(_wraps, types)):
            return NotImplemented  # the mode sees what it is unpacked into
        known, inputs = about(func), _tensors([*args, *kwargs.values()])
        family = self._family(func, known, args, inputs)
        if family == "unknown" and (out := self._decompose(func, known, args, kwargs)) is not NotImplemented:
            return out
        memories = set(map(_storage, inputs))
        self._used |= memories
        if self._shared and known.writes:
            for memory in memories & self._weights.keys() - self._written.keys():
                self._written[memory] = self._weights[memory][1].untyped_storage().clone()
        out = _call(func, args, kwargs)
        outputs = _tensors(out)
        self.made += map(weakref.ref, outputs)
        self.read |= known.reads
        self.drew |= known.draws and family != COUNTED and not all(map(_empty, outputs))
        task, counted = torch._C._current_graph_task_id(), dict[str, Any]()
        viewed = not known.writes and outputs and (known.views or memories >= set(map(_storage, outputs)))
        if family == COUNTED:
            counted = _count(func, args, kwargs, out)
        elif family == "free" or viewed:
            return out
        elif family == "pooling" and task == _FORWARD:
            counted = {"taps": window_taps(_arguments(func, args, kwargs), outputs)}
        if (moved := bytes_touched(known.name, inputs, outputs)) or counted.get("macs"):
            where = self._place(task, inputs) if family == COUNTED else self._where(task)
            phase: Phase = "forward" if task == _FORWARD else "backward"
            shape = _shape(outputs[0]) if outputs else ()
            self.operations.append(Operation(*where, known.name, family, phase, moved, shape, **counted))
        return out

    def _family(self, func: Any, known: About, args: tuple[Any, ...], inputs: Tensors) -> str:
        if known.key not in FORMULAS and func._overloadpacket not in flop_registry:
            return "unknown" if known.key in _OPENED else known.family
        if known.key in ONLY_NESTED and not any(t.is_nested for t in inputs):
            return known.family
        # The products with a sparse tensor depend on what it holds.
        return "unknown" if any(isinstance(t, torch.Tensor) and t.layout in _SPARSE for t in args) else COUNTED

    def _higher_order(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """See what runs in attention with a function for its scores, or in the branch that control flow takes."""
        kernel = func.py_kernels.get(_EXPLICIT, func)
        if func.name().startswith("flex_attention"):
            return self._open(kernel, *args, **kwargs)
        # Control flow calls its own kernel without a mode.
        opened = _pytree.tree_map(lambda part: partial(self._open, part) if callable(part) else part, args)
        return kernel(*opened, **kwargs)

    def _decompose(self, func: Any, known: About, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        # The compiled kernel is what a real call runs; `decompose` prefers a Python one that may differ.
        key = _OPENED.get(known.key, _COMPOSITE)
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), key):
            return self._open(func._op_dk, key, *args, **kwargs)
        return self._open(func.decompose, *args, **kwargs)

    def _open(self, kernel: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a kernel and see the operators in it: the mode is off during dispatch."""
        with self:
            return kernel(*args, **kwargs)


def _shape(tensor: torch.Tensor) -> tuple[int, ...]:
    return (tensor.size(0),) if tensor.is_nested else tuple(tensor.shape)
