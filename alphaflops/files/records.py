"""Frozen records as JSON and back: one conversion for all classes, led by their annotations."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeVar, get_args, get_origin, get_type_hints

from ..errors import AlphaflopsError

T = TypeVar("T")
_WORDS: Final = {str: "text", int: "an integer", float: "a number"}


def to_json(record: Any) -> Any:
    """Give a record, or a list, mapping or number in one, as what ``json.dumps`` can write; arrays become lists."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {field.name: to_json(getattr(record, field.name)) for field in dataclasses.fields(record) if field.init}
    if isinstance(record, Mapping):
        return {str(key): to_json(value) for key, value in record.items()}
    if hasattr(record, "tolist"):  # NumPy's arrays and numbers
        return record.tolist()
    return [to_json(value) for value in record] if isinstance(record, list | tuple | set | frozenset) else record


def from_json(cls: type[T], value: Any, where: str) -> T:
    """Build a record of a dataclass from parsed JSON; every type is checked, none is converted silently.

    Parameters
    ----------
    cls : type
        A dataclass whose annotations are built of ``str, int, float, bool, Any, Literal``, lists, tuples, mappings from
        text, ``… | None``, and dataclasses.
    value : object
        As from `read_json`.
    where : str
        What errors call it.

    Raises
    ------
    AlphaflopsError
        Naming the key that is missing, unknown, or of another type.
    """
    record: T = _build(cls, value, where)
    return record


def _refuse(where: str, value: Any, wanted: str) -> AlphaflopsError:
    shown = type(value).__name__ if isinstance(value, dict | list) else repr(value)[:80]
    return AlphaflopsError(f"{where} is {shown}: expected {wanted}")


def _build(hint: Any, value: Any, where: str) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return _record(hint, value, where)
    if type(None) in inner:
        return None if value is None else _build(inner[0], value, where)
    if origin is Literal:
        if not any(type(value) is type(choice) and value == choice for choice in inner):
            raise _refuse(where, value, " or ".join(str(choice) for choice in inner))
        return value
    if origin in (tuple, list):
        fixed = origin is tuple and inner[-1] is not ...
        if not isinstance(value, list) or (fixed and len(inner) != len(value)):
            raise _refuse(where, value, f"a list of {len(inner)}" if fixed else "a list")
        hints = inner if fixed else [inner[0]] * len(value)
        return origin(_build(h, item, f"{where}[{at}]") for at, (h, item) in enumerate(zip(hints, value, strict=True)))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise _refuse(where, value, "an object")
        return {key: _build(inner[1], item, f"{where}.{key}") for key, item in value.items()}
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise _refuse(where, value, _WORDS.get(hint, hint.__name__))
    return value


def _record(cls: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise _refuse(where, value, "an object")
    hints = get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    for key in value:
        if key not in fields:
            raise AlphaflopsError(f"{where}: the key {key[:80]!r} is not allowed: remove it")
    for name, field in fields.items():
        if name not in value and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise AlphaflopsError(f"{where}: {name} is missing")
    return cls(**{name: _build(hints[name], item, f"{where}: {name}") for name, item in value.items()})
