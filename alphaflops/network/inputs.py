"""Read what a user gives: a factory by name, and inputs by shape."""

import os
import pkgutil
import re
import sys
from collections.abc import Mapping
from typing import Any, Final

import torch
from torch.utils import _pytree

from ..errors import AlphaflopsError
from . import Inputs, Shape, is_size

_SHAPE_TEXT: Final = re.compile(r"\s*-?\d+\s*([,x:]|$)")


def parse_shape(text: str) -> Shape:
    """Read a shape such as ``"1,3,224,224"`` or ``"1,128:int64"``.

    Raises
    ------
    AlphaflopsError
        If a size is not a non-negative integer or the number type does not exist.
    """
    sizes, _, dtype = text.partition(":")
    numbers = sizes.replace("x", ",").split(",")
    if not all(number.strip().isdecimal() for number in numbers):
        raise AlphaflopsError(f"input is {text!r}: give sizes such as 1,3,224,224, or 1,128:int64 with a number type")
    return Shape(tuple(map(int, numbers)), str(_dtype(dtype)) if dtype else None)


def _dtype(name: str) -> torch.dtype:
    if not isinstance(found := getattr(torch, name, None), torch.dtype):
        raise AlphaflopsError(f"dtype is {name!r}: give one of PyTorch's, such as float32, bfloat16 or int64")
    return found


def normalise(inputs: Inputs) -> tuple[list[Any], dict[str, Any], list[str]]:
    """Split inputs into positional and keyword ones, with every shape read.

    A list of integers is a value. A tuple of integers is a shape, unless tensors are given too: then it is a value, as
    it is where the network is called. `Shape` and text such as ``"1,3,8,8"`` are shapes everywhere.

    Parameters
    ----------
    inputs : see `Inputs`
        What the network is called with.

    Returns
    -------
    args, kwargs, notes : list, dict, list of str
        Values, with a `Shape` wherever a tensor is to be made; which lists and tuples of integers are values.

    Raises
    ------
    AlphaflopsError
        If a shape or number type cannot be read.
    """

    def sizes(value: Any) -> bool:
        return isinstance(value, (list, tuple)) and bool(value) and all(map(is_size, value))

    named = isinstance(inputs, Mapping)
    listed = isinstance(inputs, tuple) and not hasattr(inputs, "_fields") and not sizes(inputs)
    several = named or listed or isinstance(inputs, list)
    given: dict[Any, Any] = dict(inputs) if named else dict(enumerate(inputs if several else [inputs]))
    values = several and any(isinstance(leaf, torch.Tensor) for leaf in _pytree.tree_leaves(list(given.values())))
    notes = []

    def read(path: Any, value: Any) -> Any:
        if isinstance(value, str) and _SHAPE_TEXT.match(value):
            return parse_shape(value)
        if isinstance(value, tuple) and not values and (sizes(value) or value == ()):
            return Shape(value)
        if sizes(value):
            where = f"{path[0].key}{_pytree.keystr(path[1:])}"
            notes.append(f"input {where} is the value {value!r:.60}; Shape({value!r:.60}) would make a tensor of it")
        return value

    found = _pytree.tree_map_with_path(read, given, is_leaf=lambda value: _whole(value) or sizes(value) or value == ())
    return ([], found, notes) if named else (list(found.values()), {}, notes)


def _whole(value: Any) -> bool:
    """Whether a value is read as it is, rather than what it holds."""
    return type(value) not in (list, tuple, dict)


def floating_type(model: torch.nn.Module) -> torch.dtype:
    """Give the number type of a network's weights, which shapes take that name none."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point() or p.is_complex()), torch.float32)


def materialise(value: Any, device: str, floating: torch.dtype = torch.float32) -> Any:
    """Make a tensor of every `Shape` in lists, tuples and dictionaries.

    Parameters
    ----------
    value : object
        What `normalise` gave.
    device : str
        Without data on "meta"; else normal random numbers, or zeros for integers.
    floating : torch.dtype
        Number type of shapes that name none.

    Raises
    ------
    AlphaflopsError
        If there is no tensor of such sizes or number type, or no memory for it.
    """

    def made(one: Shape) -> torch.Tensor:
        dtype = _dtype(one.dtype) if one.dtype else floating
        try:
            if device != "meta" and (dtype.is_floating_point or dtype.is_complex):
                return torch.randn(one.sizes, device=device, dtype=torch.cfloat if dtype.is_complex else None).to(dtype)
            return torch.zeros(one.sizes, dtype=dtype, device=device)
        except (RuntimeError, TypeError, OverflowError) as error:  # what is too large is any of them
            sizes = ",".join(map(str, one.sizes))
            raise AlphaflopsError(f"input {sizes} cannot be made: {said(error)[:150]}") from error

    return _pytree.tree_map_only(Shape, made, value, is_leaf=_whole)


def _imported(name: str) -> Any:
    """Import ``package.module:factory``, also from the current folder."""
    sys.path.insert(0, here := os.getcwd())
    try:
        return pkgutil.resolve_name(name)
    except (Exception, SystemExit) as error:
        hint = f"({said(error)}): give package.module:factory"
        raise AlphaflopsError(f"factory {name!r} cannot be imported {hint}") from error
    finally:
        sys.path.remove(here)


def build(name: str, kwargs: Mapping[str, Any], data: bool = False) -> tuple[torch.nn.Module, tuple[str, ...]]:
    """Call a factory without allocating weights where it lets us.

    Parameters
    ----------
    name : str
        ``package.module:factory``.
    kwargs : mapping
        Its arguments.
    data : bool
        Whether the weights are wanted.

    Returns
    -------
    model, notes : torch.nn.Module, tuple of str
        The network on the meta device, or on the CPU with a note where the factory needs data.

    Raises
    ------
    AlphaflopsError
        If there is no such factory, it needs other arguments, fails, or returns no module.
    """
    factory, failed = _imported(name), list[str]()
    if isinstance(factory, torch.nn.Module) and not kwargs:
        return factory, ()
    for device in ["cpu"] if data else ["meta", "cpu"]:
        try:
            with torch.device(device):
                model = factory(**kwargs)
            break
        except (Exception, SystemExit) as error:
            failed.append(said(error))
    else:
        hint = "give package.module:factory, and its arguments as JSON, such as '{\"depth\": 50}'"
        raise AlphaflopsError(f"factory {name!r} failed ({failed[-1]}): {hint}")
    if not isinstance(model, torch.nn.Module):
        raise AlphaflopsError(f"factory {name!r} returned a {type(model).__name__}: it must return a torch.nn.Module")
    return model, tuple(f"built with real weights, since the factory reads tensor values ({one})" for one in failed)


def said(error: BaseException) -> str:
    """Give the kind of an error and the first line of what it says."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0].strip()}" if text else type(error).__name__
