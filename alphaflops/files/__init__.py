"""The one place that opens foreign bytes and writes files: bounded reading, whole-or-nothing writing, escaping.

Here is what strangers wrote: JSON, in which every byte, key, number and type is checked before anything uses it, and
text, which is data, in the forms in which it may stand in a page, on a terminal, in a figure or a spreadsheet.
Everything raises `AlphaflopsError` with one line that names the file and what is wrong with it.
"""

import dataclasses
import json
import math
import re
import reprlib
from collections.abc import Mapping
from functools import cache
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args, get_origin, get_type_hints

from ..errors import AlphaflopsError
from .archive import pack_arrays, pack_zip, read_arrays, read_zip
from .disk import SUMS, changed, read_bytes, reason, sha256, sums, write_atomic, write_folder, writing

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "PRINTABLE", "SUMS", "changed", "check", "export_csv", "from_json", "json_bytes", "markdown", "mathtext",
    "one_line", "pack_arrays", "pack_zip", "parse_json", "read_arrays", "read_bytes", "read_json", "read_zip",
    "reason", "sha256", "sums", "terminal", "to_json", "write_atomic", "write_folder", "writing",
]  # fmt: skip

T = TypeVar("T")
_WORDS: Final = {str: "text", int: "an integer", float: "a number"}
_SHOWN: Final = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = 80

PRINTABLE: Final = (
    r"[ -~\u00a1-\u00ac\u00ae-\u024f\u0370-\u04ff\u2010-\u2027\u2030-\u205e\u2070-\u209c\u20ac\u2122\u2190-\u22ff]"
)
"""One character that fonts have: Latin, Greek, Cyrillic, punctuation, arrows, mathematics; no control, no direction."""

_NOT_PRINTABLE: Final = re.compile(f"[^{PRINTABLE[1:]}")
_MARKUP: Final = re.compile(r"[^\w ,.()/+=;\u00a1-\uffff-]|_")
_COMPUTED: Final = re.compile(r"\s*[=+\-@|\t\r]")


def one_line(text: object, most: int = 200) -> str:
    """Give a text as one printable line of at most `most` characters: what a record may hold."""
    line = _NOT_PRINTABLE.sub("?", " ".join(str(text).split()))
    return line if len(line) <= most else line[: most - 1] + "…"


def markdown(text: object) -> str:
    """Give a text for Markdown, MyST, HTML and notebooks so that it is shown and never obeyed.

    Every sign that could begin markup, a role, a link, a formula or a table cell becomes a numbered entity, which
    each of these formats shows as the sign. Not for code spans, which show entities as they are.
    """
    return _MARKUP.sub(lambda sign: f"&#{ord(sign[0])};", one_line(text, 10_000))


def terminal(text: object) -> str:
    """Give a text for a terminal: control codes and signs that turn the direction are shown, not sent."""
    shown = (sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in str(text))
    return "".join(shown).encode("utf-8", "replace").decode()


def mathtext(text: object) -> str:
    """Give a text for a figure: a dollar begins no formula."""
    return one_line(text, 10_000).replace("$", r"\$")


def export_csv(table: "pd.DataFrame") -> bytes:
    """Give a table as the bytes of a CSV file for others; text that a spreadsheet would compute gets an apostrophe."""

    def plain(value: object) -> object:
        return f"'{value}" if isinstance(value, str) and _COMPUTED.match(value) else value

    text: str = table.rename(columns=plain).map(plain).to_csv(index=False, lineterminator="\n")
    return text.encode()


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
    if len(value := dict(pairs)) < len(pairs):
        raise ValueError("a key occurs twice in one object")
    return value


def parse_json(data: bytes, where: str) -> dict[str, Any]:
    """Read the bytes of a JSON object that can be written again, naming `where` in errors; see `read_json`."""
    try:
        value = json.loads(
            data.decode(), parse_float=_float, parse_constant=_float, parse_int=_integer, object_pairs_hook=_object
        )
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


@cache
def _strict() -> Any:
    from jsonschema import Draft4Validator, Draft202012Validator, validators

    return validators.extend(Draft202012Validator, type_checker=Draft4Validator.TYPE_CHECKER)


def check(value: Any, schema: Mapping[str, Any], where: str, needed: bool = False) -> None:
    """Check a value against a JSON Schema with the library jsonschema; 1.0 and true are no integers.

    A rule's ``description`` is what its error expects. A bare host without the library reads its own files unchecked;
    where `needed`, as for a stranger's files, its absence is an error.

    Raises
    ------
    AlphaflopsError
        Naming the first key that is missing, unknown or wrong.
    """
    try:
        strict = _strict()
    except ImportError as error:
        if needed:
            raise AlphaflopsError(f"{where} is checked with the library jsonschema: pip install jsonschema") from error
        return
    found = min(strict(schema).iter_errors(value), key=lambda error: len(error.absolute_path), default=None)
    if found is None:
        return
    path = one_line(".".join(str(part) for part in found.absolute_path), 120)
    rule, under = found.schema, f" in {path}" if path else ""
    if found.validator == "required":
        missing = next(key for key in rule["required"] if key not in found.instance)
        raise AlphaflopsError(f"{where}: {path + '.' if path else ''}{missing} is missing")
    if found.validator == "additionalProperties":
        odd = (key for key in found.instance if key not in rule.get("properties", ()))
        name = next(key for key in odd if not any(re.search(one, key) for one in rule.get("patternProperties", ())))
        raise AlphaflopsError(f"{where}: the key {_SHOWN.repr(name)}{under} is not allowed: remove it")
    wanted = rule.get("description") or _wanted(found.validator, found.validator_value)
    raise AlphaflopsError(f"{where}: {path or 'it'} is {_SHOWN.repr(found.instance)}: expected {wanted}")


def _wanted(rule: str, value: Any) -> str:
    if rule in ("type", "enum"):
        return " or ".join(str(choice) for choice in (value if isinstance(value, list) else [value]))
    return f"{rule} {value}".replace("minimum", "at least").replace("maximum", "at most")


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
    _expect(isinstance(value, dict), where, value, "an object")
    hints, known = get_type_hints(cls), signature(cls).parameters
    for key in value:
        if key not in known:
            raise AlphaflopsError(f"{where}: the key {key[:80]!r} is not allowed: remove it")
    for name, parameter in known.items():
        if name not in value and parameter.default is parameter.empty:
            raise AlphaflopsError(f"{where}: {name} is missing")
    return cls(**{name: _build(hints[name], item, f"{where}: {name}") for name, item in value.items()})


def _expect(sound: bool, where: str, value: Any, wanted: str) -> None:
    if not sound:
        shown = type(value).__name__ if isinstance(value, dict | list) else repr(value)[:80]
        raise AlphaflopsError(f"{where} is {shown}: expected {wanted}")


def _build(hint: Any, value: Any, where: str) -> Any:
    origin, inner = get_origin(hint) or hint, get_args(hint)
    if hint is Any or (value is None and type(None) in inner):
        return value
    if type(None) in inner:
        return _build(inner[0], value, where)
    if origin is Literal:
        known = any(type(value) is type(choice) and value == choice for choice in inner)
        _expect(known, where, value, " or ".join(map(str, inner)))
        return value
    if origin in (tuple, list):
        fixed = origin is tuple and inner[-1] is not ...
        sound = isinstance(value, list) and (not fixed or len(inner) == len(value))
        _expect(sound, where, value, f"a list of {len(inner)}" if fixed else "a list")
        hints = inner if fixed else [inner[0]] * len(value)
        return origin(_build(h, item, f"{where}[{at}]") for at, (h, item) in enumerate(zip(hints, value, strict=True)))
    if dataclasses.is_dataclass(origin):
        return from_json(hint, value, where)
    if issubclass(origin, Mapping):
        _expect(isinstance(value, dict), where, value, "an object")
        return {key: _build(inner[1], item, f"{where}.{key}") for key, item in value.items()}
    sound = type(value) is hint or (hint is float and type(value) is int)
    _expect(sound, where, value, _WORDS.get(hint, hint.__name__))
    return hint(value)
