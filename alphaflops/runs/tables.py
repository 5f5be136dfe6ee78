"""A table of a user's own, as spreadsheets of many countries write it, as a run."""

import difflib
import re
from pathlib import Path

from .. import files
from ..errors import AlphaflopsError
from ..layers import as_table
from ..layers.table import SHORT
from .derive import derived
from .run import Run, parse_table
from .schema import FORMAT_VERSION, KNOWN_COLUMNS, checked_table, slug


def from_csv(path: Path) -> Run:
    """Read a table with the layer columns (see `as_table`) and ``latency_ms`` as a run.

    Commas, semicolons and tabs separate, a comma may be the decimal sign of the latter two; a byte order mark, any line
    ends, spaces around names and columns of other names do no harm.

    Raises
    ------
    AlphaflopsError
        Naming the column and row at fault and what to do.
    """
    text = _decoded(files.read_bytes(path), path)
    separator = max(",;\t", key=text.lstrip().partition("\n")[0].count)
    decimal = "," if separator != "," and re.search(r"\d,\d", text) else "."
    raw = parse_table(text.encode(), str(path), sep=separator, decimal=decimal, skipinitialspace=True)
    raw.columns = [str(name).strip() for name in raw.columns]
    if "latency_ms" not in raw:
        near = difflib.get_close_matches("latency_ms", [*raw.columns], 1)
        hint = f"rename {near[0]!r}" if near else "add the time of each layer in milliseconds"
        raise AlphaflopsError(f"{path}: column 'latency_ms' is missing: {hint}")
    known = as_table(raw[[name for name in raw.columns if name in KNOWN_COLUMNS or name in SHORT]], str(path))
    meta = {
        "format_version": FORMAT_VERSION,
        "run_id": slug(path.stem, "table"),
        "origin": "file",
        "title": files.one_line(path.name),
        "device": "unknown",
        "machine": {"name": "unknown"},
        "protocol": {"name": "unknown"},
    }
    return Run.made(meta, derived(checked_table(known, str(path)), {}, meta, str(path)), {})


def _decoded(data: bytes, path: Path) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise AlphaflopsError(f"{path} is no UTF-8 text: save it again as CSV UTF-8")
    return text
