"""JSON of strangers: every byte, key and number is checked before anything uses it."""

import json
import math
import re
import reprlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from ..errors import AlphaflopsError
from .disk import read_bytes
from .text import one_line

_SHOWN: Final = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = 80


def json_bytes(value: Any) -> bytes:
    """Give a value as the bytes of a JSON file, keys sorted."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _float(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text[:20]} is no finite number")
    return value


def _integer(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= (value := int(text)) < 2**63:
        raise ValueError(f"{text[:20]}… has more than 64 bits")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key occurs twice in one object")
    return value


def parse_json(data: bytes, where: str) -> dict[str, Any]:
    """Read the bytes of a JSON object that can be written again, naming `where` in errors; see `read_json`."""
    try:
        text = data.decode("utf-8")
        value = json.loads(
            text, parse_float=_float, parse_constant=_float, parse_int=_integer, object_pairs_hook=_object
        )
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()  # half of a pair of characters has no UTF-8
    except (ValueError, RecursionError) as error:
        why = {json.JSONDecodeError: "perhaps truncated", RecursionError: "too deep"}.get(type(error))
        why = why or ("a text is no Unicode" if isinstance(error, UnicodeError) else str(error))
        raise AlphaflopsError(f"{where} cannot be read: it is not valid JSON, {why}") from error
    if not isinstance(value, dict):
        raise AlphaflopsError(f"{where} holds a {type(value).__name__}: expected a JSON object")
    return value


def read_json(path: Path | str) -> dict[str, Any]:
    """Read a JSON object from a file.

    Raises
    ------
    AlphaflopsError
        If it cannot be read, is no JSON object, has a key twice, or holds a number or text that JSON cannot write or 64
        bits cannot hold.
    """
    return parse_json(read_bytes(path), str(path))


@lru_cache(maxsize=1)
def _validators() -> Any:
    """Give the validator class, in which 1.0 and true are no integers; None without the library."""
    try:
        from jsonschema import Draft202012Validator, validators
    except ImportError:
        return None
    strict = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
    return validators.extend(Draft202012Validator, type_checker=strict)


def check(value: Any, schema: Mapping[str, Any], where: str, needed: bool = False) -> None:
    """Check a value against a JSON Schema with the library jsonschema.

    A rule's ``description`` is what its error expects. A bare host without the library reads its own files unchecked;
    where `needed`, as for a stranger's files, its absence is an error.

    Raises
    ------
    AlphaflopsError
        Naming the first key that is missing, unknown or wrong.
    """
    validators = _validators()
    if validators is None:
        if needed:
            raise AlphaflopsError(f"{where} is checked with the library jsonschema: pip install jsonschema")
        return
    error = min(validators(schema).iter_errors(value), key=lambda found: len(found.absolute_path), default=None)
    if error is None:
        return
    path = one_line(".".join(str(part) for part in error.absolute_path), 120)
    rule, under = error.schema, f" in {path}" if path else ""
    if error.validator == "required":
        missing = next(key for key in rule["required"] if key not in error.instance)
        raise AlphaflopsError(f"{where}: {path + '.' if path else ''}{missing} is missing")
    if error.validator == "additionalProperties":
        odd = (key for key in error.instance if key not in rule.get("properties", ()))
        name = next(key for key in odd if not any(re.search(one, key) for one in rule.get("patternProperties", ())))
        raise AlphaflopsError(f"{where}: the key {_SHOWN.repr(name)}{under} is not allowed: remove it")
    wanted = rule.get("description") or _wanted(error.validator, error.validator_value)
    raise AlphaflopsError(f"{where}: {path or 'it'} is {_SHOWN.repr(error.instance)}: expected {wanted}")


def _wanted(rule: str, value: Any) -> str:
    if rule in ("type", "enum"):
        return " or ".join(str(choice) for choice in (value if isinstance(value, list) else [value]))
    return f"{rule} {value}".replace("minimum", "at least").replace("maximum", "at most")
