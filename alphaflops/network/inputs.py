"""Read what a user gives: a factory by name, and inputs by shape."""

import importlib
import inspect
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import AlphaflopsError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Shape:
    """Sizes and number type of one input."""

    sizes: tuple[int, ...]
    dtype: str = "float32"


Inputs: TypeAlias = Any
"""A tensor, a shape (tuple of integers, or text such as ``"1,128"``), a list of those, or a mapping by keyword."""


def parse_shape(text: str, dtype: str = "float32") -> Shape:
    """Read a shape such as ``"1,3,224,224"`` or ``"1,128:int64"``.

    Raises
    ------
    AlphaflopsError
        If a size is not a non-negative integer or the number type does not exist.
    """
    sizes, _, given = text.partition(":")
    try:
        numbers = tuple(int(size) for size in sizes.replace("x", ",").split(","))
    except ValueError:
        numbers = (-1,)
    if not numbers or min(numbers) < 0:
        raise AlphaflopsError(f"input is {text!r}: give sizes such as 1,3,224,224, or 1,128:int64 with a number type")
    return Shape(numbers, _dtype_name(given or dtype))


def _dtype_name(name: Any) -> str:
    import torch

    known = str(name).removeprefix("torch.")
    if not isinstance(getattr(torch, known, None), torch.dtype):
        raise AlphaflopsError(f"dtype is {known!r}: give one of PyTorch's, such as float32, bfloat16 or int64")
    return known


def _one(value: Any, dtype: str) -> Any:
    import torch

    if isinstance(value, str):
        return parse_shape(value, dtype)
    if isinstance(value, (torch.Size, tuple, list)) and value and all(type(size) is int for size in value):
        return parse_shape(",".join(map(str, value)), dtype)
    return value


def normalise(inputs: Inputs, dtypes: Sequence[str] = ()) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Split inputs into positional and keyword ones, with every shape read.

    Parameters
    ----------
    inputs : tensor, shape, or a list or mapping of those
        A tuple or list of integers is one shape.
    dtypes : sequence of str
        Number type of each input in order; float32 where none is given.

    Returns
    -------
    args, kwargs : tuple, dict
        Tensors and `Shape` records; other values are passed on as they are.

    Raises
    ------
    AlphaflopsError
        If a shape or number type cannot be read, or there are more number types than inputs.
    """
    single = _one(inputs, dtypes[0] if dtypes else "float32")
    if isinstance(single, Shape) or not isinstance(inputs, (list, tuple, Mapping)):
        values, names = [inputs], None
    elif isinstance(inputs, Mapping):
        values, names = list(inputs.values()), list(inputs)
    else:
        values, names = list(inputs), None
    if len(dtypes) > len(values):
        raise AlphaflopsError(f"{len(dtypes)} number types for {len(values)} inputs: give at most one for each")
    padded = [_dtype_name(d) for d in dtypes] + ["float32"] * (len(values) - len(dtypes))
    read = [_one(value, dtype) for value, dtype in zip(values, padded, strict=True)]
    return ((), dict(zip(names, read, strict=True))) if names is not None else (tuple(read), {})


def materialise(value: Any, device: str) -> Any:
    """Make a tensor of a `Shape`: without data on "meta", else normal random numbers, or zeros for integers.

    Raises
    ------
    AlphaflopsError
        If there is no tensor of such sizes, or no memory for it.
    """
    import torch

    if not isinstance(value, Shape):
        return value
    dtype = getattr(torch, value.dtype)
    try:
        if device == "meta":
            return torch.empty(value.sizes, dtype=dtype, device="meta")
        if dtype.is_floating_point:
            return torch.randn(value.sizes, device=device).to(dtype)
        return torch.zeros(value.sizes, dtype=dtype, device=device)
    except (RuntimeError, TypeError, OverflowError) as error:  # what is too large is any of them
        sizes = ",".join(map(str, value.sizes))
        raise AlphaflopsError(f"input {sizes} cannot be made: {_line(error)[:150]}") from error


def load_factory(name: str) -> Any:
    """Import ``package.module:factory``, also from the current folder.

    Raises
    ------
    AlphaflopsError
        If the text has no colon, the module cannot be imported, or it has no such attribute.
    """
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        raise AlphaflopsError(f"factory is {name!r}: give package.module:factory")
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise AlphaflopsError(f"factory {name!r}: {module_name} cannot be imported ({_line(error)})") from error
    finally:
        sys.path.remove(here)
    found = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            public = ", ".join(n for n in vars(module) if not n.startswith("_"))[:200]
            raise AlphaflopsError(f"factory {name!r}: {module_name} has no {part!r}; it has {public or 'nothing'}")
        found = getattr(found, part)
    return found


def build(name: str, kwargs: Mapping[str, Any], data: bool = False) -> "tuple[torch.nn.Module, tuple[str, ...]]":
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
        If the factory needs other arguments, fails, or returns no module.
    """
    import torch

    factory = load_factory(name)
    if isinstance(factory, torch.nn.Module):
        if kwargs:
            raise AlphaflopsError(f"factory {name!r} is a module already: leave the arguments {sorted(kwargs)} out")
        return factory, ()
    if not callable(factory):
        raise AlphaflopsError(f"factory {name!r} is a {type(factory).__name__}: give a function that returns a module")
    try:
        inspect.signature(factory).bind(**kwargs)
    except TypeError as error:
        raise AlphaflopsError(
            f"factory {name!r}: {error}; give arguments as JSON, such as '{{\"depth\": 50}}'"
        ) from error
    except ValueError:
        pass  # some built-in callables have no signature
    notes: tuple[str, ...] = ()
    try:
        with torch.device("cpu" if data else "meta"):
            model = factory(**kwargs)
    except (Exception, SystemExit) as meta_error:
        try:
            model = factory(**kwargs)
        except (Exception, SystemExit) as error:
            raise AlphaflopsError(f"factory {name!r} failed: {_line(error)}") from error
        notes = (f"built with real weights, since the factory reads tensor values ({_line(meta_error)})",)
    if not isinstance(model, torch.nn.Module):
        raise AlphaflopsError(f"factory {name!r} returned a {type(model).__name__}: it must return a torch.nn.Module")
    return model, notes


def _line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0].strip()}" if text else type(error).__name__
