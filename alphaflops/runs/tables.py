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
from .schema import KNOWN_COLUMNS, checked_table, least_meta, slug


def from_csv(path: Path) -> Run:
    """Read a table with the layer columns (see `as_table`) and ``latency_ms`` as a run.

    Commas, semicolons and tabs separate, a comma may be the decimal sign of the latter two; a byte order mark, any line
    ends, spaces around names and columns of other names do no harm.

    Raises
    ------
    AlphaflopsError
        Naming the column and row at fault and what to do.
    """
    text = files.read_bytes(path).decode("utf-8-sig", "replace")
    if "\0" in text or "\ufffd" in text:
        raise AlphaflopsError(f"{path} is no UTF-8 text: save it again as CSV UTF-8")
    separator = max(",;\t", key=text.lstrip().partition("\n")[0].count)
    decimal = "," if separator != "," and re.search(r"\d,\d", text) else "."
    raw = parse_table(text.encode(), str(path), sep=separator, decimal=decimal, skipinitialspace=True)
    raw.columns = [str(name).strip() for name in raw.columns]
    if "latency_ms" not in raw:
        near = difflib.get_close_matches("latency_ms", [*raw.columns], 1)
        hint = f"rename {near[0]!r}" if near else "add the time of each layer in milliseconds"
        raise AlphaflopsError(f"{path}: column 'latency_ms' is missing: {hint}")
    known = as_table(raw[[name for name in raw.columns if name in KNOWN_COLUMNS or name in SHORT]], str(path))
    meta = least_meta(slug(path.stem, "table"), "file", files.one_line(path.name), "unknown", "unknown", "unknown")
    return Run.made(meta, derived(checked_table(known, str(path)), {}, meta, str(path)), {})
