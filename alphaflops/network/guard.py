"""Put other tensors into everything that a network and its inputs hold, and put everything back after the call.

Copying a network is not enough: closures, hooks, caches and locks cannot be copied, or are shared by the copy. So the
network itself runs. First every container that can be reached from it is noted: attributes, dictionaries, lists,
closures, what its hooks and bound methods hold, and the variables of the files and classes that define it. Tensors in
them are exchanged for others, and afterwards each container gets back exactly what it held.
"""

import copy
import functools
import gc
import inspect
import operator
import random
import sys
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final, TypeVar

import numpy as np
import torch
from numpy.random import mtrand

MOST: Final = 300_000
"""Containers that are noted; networks of a thousand layers have about 20,000."""
LARGEST: Final = 2**24
"""Numbers of a NumPy array up to which its values are kept."""

_ATOMS: Final = {
    int, float, complex, str, bytes, bool, type(None), type, ModuleType, BuiltinFunctionType, property, weakref.ref,
    torch.Size, torch.dtype, torch.device, torch.layout, torch.memory_format,
}  # fmt: skip
_Held = TypeVar("_Held")
_PLAIN: Final = (dict, list, set, deque, tuple, int, float, str, type(None), torch.Tensor, np.ndarray)
_LIBRARY: Final = sys.stdlib_module_names - {"builtins", "collections", "functools", "types", "random", "itertools"}
_FOREIGN: Final = ("torch._", "torch.fx", "torch.distributed", "torch.utils.data", "torch.optim", "alphaflops")
_BELOW: Final = frozenset({"torch", "builtins", "typing", "abc"})
_LRU: Final = type(functools.lru_cache(lambda: None))
_GENERATORS: Final = (random._inst, mtrand._rand, torch.default_generator)
"""What random numbers come from where nobody says."""
_STATES: Final[dict[type, tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]]] = {
    torch.Generator: (torch.Generator.get_state, torch.Generator.set_state),
    random.Random: (random.Random.getstate, random.Random.setstate),
    np.random.RandomState: (lambda g: g.get_state(legacy=False), np.random.RandomState.set_state),
    np.random.Generator: (lambda g: g.bit_generator.state, lambda g, state: setattr(g.bit_generator, "state", state)),
    np.ndarray: (np.copy, np.copyto),
}


def unwrapped(model: Any) -> Any:
    """Give the network inside of what runs it on several devices, or compiles it."""
    parallel = (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)
    while isinstance(model, torch.nn.Module) and (isinstance(model, parallel) or "_orig_mod" in model._modules):
        model = model.module if isinstance(model, parallel) else model._orig_mod
    return model


class Guard:
    """What can be reached from some objects, and the state of random numbers, as it was.

    Parameters
    ----------
    roots : objects
        The network, and containers with its inputs.

    Attributes
    ----------
    unprotected : set of str
        Kinds of objects whose contents could not be noted.
    """

    def __init__(self, *roots: Any) -> None:
        self.unprotected: set[str] = set()
        # What writes into a place, and what it held: a dictionary, a list, or the state of a generator.
        self._places: list[tuple[Callable[[Any], Any], Any]] = []
        self._classes: set[type] = set()
        seen: dict[int, Any] = {}
        stack = [*roots, *_GENERATORS]
        while stack:
            value = stack.pop()
            if type(value) not in _ATOMS and id(value) not in seen:
                seen[id(value)] = value
                stack += self._note(value)
            if len(self._places) > MOST:
                self.unprotected.add(f"what lies beyond {MOST:,} containers")
                break

    def _keep(self, write: Callable[[Any], Any], held: _Held) -> _Held:
        self._places.append((write, held))
        return held

    def _note(self, value: Any) -> Iterable[Any]:
        kind, children = type(value), list[Any]()
        if isinstance(value, dict):
            children += self._keep(partial(_fill, value), dict(_base(value).items(value))).values()
            if kind is dict or kind is OrderedDict:
                return children
        if isinstance(value, (torch.Tensor, torch.jit.ScriptModule, torch.jit.ScriptFunction)):
            return ()
        if isinstance(value, FunctionType):
            held = [part for cell in value.__closure__ or () for part in self._name(cell, "cell_contents")]
            return (*held, *self._used(value), *(value.__defaults__ or ()), value.__kwdefaults__, value.__dict__)
        if isinstance(value, (MethodType, partial, tuple, frozenset)):
            return gc.get_referents(value)
        if isinstance(value, np.ndarray) and not (value.flags.writeable and value.size <= LARGEST):
            return ()
        for one, (read, write) in _STATES.items():
            if isinstance(value, one):
                self._keep(partial(write, value), read(value))
                return ()
        if kind.__module__.startswith(_FOREIGN):
            return ()
        if isinstance(value, (list, deque, set)):
            children += self._keep(partial(_fill, value), list(value))
        elif isinstance(value, torch.nn.Module):
            children += self._defined(kind)
        elif kind.__module__.partition(".")[0] in _LIBRARY:
            return ()
        elif isinstance(value, Iterator) and not hasattr(value, "__dict__"):
            self.unprotected.add(kind.__name__)
        if attributes := getattr(value, "__dict__", None):
            children.append(attributes)
        return children + [part for name in _slots(kind) for part in self._name(value, name)]

    def _name(self, owner: Any, name: str) -> list[Any]:
        """Note and give what an attribute holds, if it holds anything."""
        try:
            return self._keep(partial(_assign, owner, name), [getattr(owner, name)])
        except (AttributeError, ValueError):  # a slot or cell that is empty
            return []

    def _used(self, function: FunctionType) -> Iterator[Any]:
        """Give the variables and functions of its file that a function uses, PyTorch's own left out."""
        file, scope = sys.modules.get(function.__module__), function.__globals__
        if file is None or vars(file) is not scope or function.__module__.partition(".")[0] in _BELOW:
            return
        for name in scope.keys() & _names(function.__code__):
            part = inspect.unwrap(scope[name]) if callable(scope[name]) else None
            if isinstance(part, FunctionType) and part.__globals__ is scope:
                yield scope[name]
            else:
                yield from self._variable(file, name)

    def _defined(self, kind: type) -> Iterator[Any]:
        """Give the variables and functions of the classes of a network, PyTorch's own left out."""
        for owner in kind.__mro__:
            if owner.__module__.partition(".")[0] not in _BELOW and owner not in self._classes:
                self._classes.add(owner)
                for name, part in vars(owner).items():
                    yield from [part] if isinstance(part, FunctionType) else self._variable(owner, name)

    def _variable(self, owner: Any, name: str) -> list[Any]:
        """Note and give a plain variable of a file or class."""
        plain = isinstance(vars(owner)[name], _PLAIN) and not name.startswith("__")
        return self._name(owner, name) if plain else []

    def exchange(self, other: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Any], Any]:
        """Exchange every tensor; give the function that does so for one object.

        Parameters
        ----------
        other : callable
            Gives the tensor that takes the place of one; asked once for each.
        """
        known: dict[int, Any] = {}

        def twin(value: Any) -> Any:
            if type(value) in _ATOMS:
                return value
            if id(value) in known:
                return known[id(value)][1]
            if isinstance(value, torch.Tensor):
                new: Any = other(value)
                if isinstance(value, torch.nn.Parameter):
                    new = torch.nn.Parameter(new, value.requires_grad)
                    vars(new).update(vars(value))
            elif isinstance(value, torch.jit.ScriptModule):
                new = copy.deepcopy(value)  # it keeps its tensors where Python does not reach
            elif isinstance(value, torch.nn.Module):
                new = unwrapped(value)
            elif isinstance(value, tuple) and value:
                parts = [twin(part) for part in value]
                changed = any(a is not b for a, b in zip(parts, value, strict=True))
                new = tuple.__new__(type(value), parts) if changed else value
            else:
                return value
            known[id(value)] = (value, new)
            return new

        for write, held in self._places:
            if isinstance(held, dict):
                write({key: twin(part) for key, part in held.items()})
            elif isinstance(held, list):
                write(list(map(twin, held)))
        return twin

    def __enter__(self) -> "Guard":
        return self

    def __exit__(self, *_: object) -> None:
        """Give every place what it held."""
        for write, held in self._places:
            write(held)


def _names(code: CodeType) -> set[str]:
    """Names that the code of a function uses, with the functions in it."""
    return set(code.co_names).union(*(_names(part) for part in code.co_consts if isinstance(part, CodeType)))


def _base(value: dict[Any, Any]) -> Any:
    return OrderedDict if isinstance(value, OrderedDict) else dict


def _slots(kind: type) -> list[str]:
    """Attributes of a class that no dictionary holds."""
    declared = [vars(owner).get("__slots__", ()) for owner in kind.__mro__]
    names = [name for one in declared for name in ([one] if isinstance(one, str) else one)]
    return [name for name in names if name not in ("__dict__", "__weakref__")]


def _assign(owner: Any, name: str, held: list[Any]) -> None:
    """Give an attribute the one thing that it held, unless it holds that."""
    if getattr(owner, name, None) is not held[0]:
        (setattr if isinstance(owner, (type, ModuleType)) else object.__setattr__)(owner, name, held[0])


def _same(now: Any, held: Any) -> bool:
    return len(now) == len(held) and all(map(operator.is_, now, held))


def _fill(place: Any, held: Any) -> None:
    """Give a container what it held, unless it holds that."""
    if len(place) == len(held) == 0:  # as most are: hooks that a module does not have
        return
    if isinstance(place, dict):
        base = _base(place)
        if not (_same(base.keys(place), held.keys()) and _same(base.values(place), held.values())):
            base.clear(place)
            for key, value in held.items():
                base.__setitem__(place, key, value)
    elif not _same(place, held):
        place.clear()
        (place.update if isinstance(place, set) else place.extend)(held)


def forget(made: Iterable["weakref.ref[torch.Tensor]"]) -> int:
    """Empty the caches of functions that remember tensors of a call; give how many tensors still stay behind.

    A network may compute position embeddings in a function under ``functools.lru_cache``. What that computes on
    tensors without data would be given back to the user's own calls later.

    Parameters
    ----------
    made : iterable of weak references
        Tensors that the call made.
    """
    for generation in range(3):  # a whole collection takes a fraction of a second: most cycles are young
        gc.collect(generation)
        if not (alive := set(map(id, (reference() for reference in made))) - {id(None)}):
            return 0
    for cache in [found for found in gc.get_objects() if type(found) is _LRU]:
        if _holds(cache, alive):
            cache.cache_clear()
    gc.collect()
    return sum(reference() is not None for reference in made)


def _holds(found: Any, wanted: set[int], depth: int = 5) -> bool:
    if id(found) in wanted:
        return True
    # A cache's links are of a type that has no public name.
    looked = isinstance(found, (_LRU, dict, list, tuple, set)) or type(found).__name__ == "_lru_list_elem"
    return looked and depth > 0 and any(_holds(part, wanted, depth - 1) for part in gc.get_referents(found))
