"""What metadata and table of a run must hold: names, types, ranges, and errors that name the key or row at fault."""

import difflib
import io
import re
import warnings
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from .. import files, layers
from ..errors import AlphaflopsError
from ..layers.table import numbers, refuse

FORMAT_VERSION: Final = 2
QUANTITIES: Final = ("latency", "throughput")
Status: TypeAlias = Literal["ok", "out-of-memory", "unsupported", "error"]
STATUSES: Final = get_args(Status)

KEY_COLUMNS: Final = ("row", "experiment", "figure", "line", "x")
STATE_COLUMNS: Final = ("temperature_c", "power_w", "sm_clock_mhz", "cpu_mhz", "load", "processes", "throttle")
TAKEN_COLUMNS: Final = ("status", "message", "order", "elapsed_s", "warmups", "block_calls", "bad_clock")
ENERGY_COLUMNS: Final = ("energy_j", "energy_gross_j", "energy_source")
STORED_COLUMNS: Final = (*KEY_COLUMNS, *layers.COLUMNS, *TAKEN_COLUMNS, *STATE_COLUMNS, *ENERGY_COLUMNS)
"""Columns of ``layers.csv``: what was asked and what was read while it was timed."""
TIME_COLUMNS: Final = tuple(f"{q}_{part}" for q in QUANTITIES for part in ("ms", "low_ms", "high_ms", "n"))
DERIVED_COLUMNS: Final = (*TIME_COLUMNS, "converged", "flags")
"""Columns that follow from the samples; a file holds them only where there are no samples to take them from."""
TEXT_COLUMNS: Final = ("experiment", "figure", "line", "status", "message", "flags", "throttle", "energy_source")
KNOWN_COLUMNS: Final = (*STORED_COLUMNS, *DERIVED_COLUMNS)
DEFAULTS: Final[dict[str, Any]] = {"experiment": "all", "figure": "", "line": "", "x": 0, "status": "ok"}
"""What a table may leave out, besides ``row``, which counts from 0 then."""

_LINE: Final = re.compile(f"{files.PRINTABLE}{{0,240}}")
FEW_NAMES: Final = "its first line names fewer columns than other lines have fields: remove what stands above it"


@cache
def declared(name: str) -> dict[str, Any]:
    """JSON Schema of ``run.json`` or ``datasets.json``, by its name; the ``$defs`` of ``run`` serve other files too."""
    return files.read_json(Path(__file__).with_name(f"{name}.schema.json"))


def least_meta(run_id: str, origin: str, title: str, device: str, machine: str, protocol: str) -> dict[str, Any]:
    """Give the least metadata that a run has, of these texts."""
    told = {"run_id": run_id, "origin": origin, "title": title, "device": device}
    return {"format_version": FORMAT_VERSION, **told, "machine": {"name": machine}, "protocol": {"name": protocol}}


def check_meta(meta: Mapping[str, Any], where: str) -> None:
    """Check that metadata can be read by this version: every key that anything reads, and the dates in their order.

    Raises
    ------
    AlphaflopsError
        Naming the key that is missing or wrong.
    """
    version = meta.get("format_version", FORMAT_VERSION)
    if type(version) is not int or version != FORMAT_VERSION:
        shown = files.one_line(repr(version), 40)
        raise AlphaflopsError(f"{where}: format_version is {shown}, this program reads {FORMAT_VERSION}: update it")
    files.check(dict(meta), declared("run"), where)
    resumed = [("resumed", part["started"]) for part in meta.get("resumed") or ()]
    told = [("started", meta.get("started")), *resumed, ("finished", meta.get("finished"))]
    dates = [(name, _date(text, f"{where}: {name}")) for name, text in told if text]
    for (first, before), (second, after) in pairwise(dates):
        if after < before:
            raise AlphaflopsError(f"{where}: {second} is {after.isoformat()}, before {first}, {before.isoformat()}")


def _date(text: str, where: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise AlphaflopsError(f"{where} is {text!r}: expected a date such as 2026-01-31T12:00:00+00:00") from error


def check_slug(name: str) -> str:
    """Give a run's name if it is safe as a folder on every system.

    Raises
    ------
    AlphaflopsError
        If it is not 1 to 64 of ``a–z 0–9 . _ -``, begins or ends with a sign, or is reserved.
    """
    if not is_slug(name):
        shown = files.one_line(repr(name), 80)
        raise AlphaflopsError(f"run id {shown} cannot be a folder: use up to 64 of a-z, 0-9, single . _ - (--id NAME)")
    return name


def is_slug(name: str) -> bool:
    """Whether a name is safe as a folder on every system, see `check_slug`."""
    return bool(re.search(declared("run")["$defs"]["id"]["pattern"], name)) and ":" not in name


def slug(text: str, otherwise: str = "run") -> str:
    """Make a run's name out of any text."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:64].strip("-") or otherwise
    return plain if is_slug(plain) else f"{plain}-1"


def checked_table(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Check the columns of a table and give them their types and order; times are checked by `derive`.

    Raises
    ------
    AlphaflopsError
        For missing, unknown, non-numeric or negative columns and text of more than one line, naming the first row.
    """
    for name in (name for name in table.columns if name not in KNOWN_COLUMNS):
        near = difflib.get_close_matches(str(name), KNOWN_COLUMNS, 1)
        hint = f": did you mean {near[0]!r}?" if near else ": remove it"
        raise AlphaflopsError(f"{where}: column {str(name)[:80]!r} is unknown{hint}")
    for name in (name for name in layers.COLUMNS if name not in table):
        raise AlphaflopsError(f"{where}: column {name!r} is missing")
    checked = layers.as_table(table, where)
    defaults = {"row": range(len(table)), **DEFAULTS}
    checked = checked.assign(**{name: value for name, value in defaults.items() if name not in checked})
    others = [name for name in KNOWN_COLUMNS if name in checked and name not in (*layers.COLUMNS, "converged")]
    given = {name: _texts if name in TEXT_COLUMNS else _numbers for name in others}
    checked = checked.assign(**{name: read(checked[name], f"{where}: {name}") for name, read in given.items()})
    row, status = checked["row"], checked["status"]
    refuse(~status.isin(STATUSES), status, f"{where}: status", f"one of {', '.join(STATUSES)}")
    refuse(~((row % 1 == 0) & (row.abs() < 2**31)), row, f"{where}: row", "an integer below 2**31")
    if (twice := row.duplicated()).any():
        raise AlphaflopsError(f"{where}: row {row[twice].iloc[0]} occurs twice")
    return checked[[name for name in KNOWN_COLUMNS if name in checked]].reset_index(drop=True)


def _texts(column: "pd.Series[Any]", where: str) -> "pd.Series[str]":
    texts = column.fillna("").astype(str)
    sound = [text for text in texts.unique() if _LINE.fullmatch(text)]
    refuse(~texts.isin(sound), texts, where, "one printable line of at most 240")
    return texts


def _numbers(column: "pd.Series[Any]", where: str) -> "pd.Series[float]":
    found = numbers(column, where)
    values = found.to_numpy(np.float64, na_value=np.nan)
    odd = (np.isnan(values) & column.notna().to_numpy()) | np.isinf(values) | (column.dtype == bool)
    refuse(odd, column, where, "a number")
    if not where.endswith((": row", ": x")):
        refuse(values < 0, found, where, "a positive number")
    return found


def parse_table(data: bytes, where: str, what: str = "table of layers", **form: Any) -> pd.DataFrame:
    """Parse the text of a CSV file whose floats come back exactly; `form` is how a user's program wrote it.

    Raises
    ------
    AlphaflopsError
        Naming the file, what it is not, and why.
    """
    form |= {"dtype": dict.fromkeys(TEXT_COLUMNS, str), "index_col": False}
    exact = tuple(int(part) for part in pd.__version__.split(".")[:2]) >= (3, 1)  # without being told
    if not exact and form.get("decimal", ".") == ".":
        form["float_precision"] = "round_trip"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # lines with more fields than the first
            table: pd.DataFrame = pd.read_csv(io.BytesIO(data), **form)
    except (pd.errors.ParserWarning, ValueError, OverflowError) as error:
        why = FEW_NAMES if isinstance(error, pd.errors.ParserWarning) else files.one_line(error)
        raise AlphaflopsError(f"{where} is no {what}: {why}") from error
    return table
