"""What metadata and table of a run must hold: names, types, ranges, and errors that name the row at fault."""

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .. import layers
from ..errors import AlphaflopsError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

FORMAT_VERSION: Final = 1
QUANTITIES: Final = ("latency", "throughput")
STATUSES: Final = ("ok", "out-of-memory", "unsupported", "error")

KEY_COLUMNS: Final = ("row", "experiment", "figure", "line", "x")
TIME_COLUMNS: Final = tuple(f"{q}_{part}" for q in QUANTITIES for part in ("ms", "low_ms", "high_ms", "n"))
ENERGY_COLUMNS: Final = ("energy_j", "energy_gross_j", "energy_source")
STATE_COLUMNS: Final = ("order", "elapsed_s", "temperature_c", "power_w", "sm_clock_mhz", "cpu_mhz", "load", "throttle")
TEXT_COLUMNS: Final = ("experiment", "figure", "line", "status", "message", "flags", "throttle", "energy_source")
KNOWN_COLUMNS: Final = (
    *KEY_COLUMNS,
    *layers.COLUMNS,
    *TIME_COLUMNS,
    "converged",
    "status",
    "message",
    "flags",
    *STATE_COLUMNS,
    *ENERGY_COLUMNS,
)
REQUIRED_COLUMNS: Final = (*layers.COLUMNS, "latency_ms")
REQUIRED_META: Final = ("format_version", "run_id", "origin", "title", "device", "machine", "protocol")

LARGEST_KERNEL: Final = 4096
"""Most taps of a kernel along one side: they are counted one by one."""


def check_meta(meta: Mapping[str, Any], where: str) -> None:
    """Check that metadata can be read by this version.

    Raises
    ------
    AlphaflopsError
        Naming the key that is missing or wrong.
    """
    for key in REQUIRED_META:
        if key not in meta:
            raise AlphaflopsError(f"{where}: {key} is missing from the metadata")
    if meta["format_version"] != FORMAT_VERSION:
        raise AlphaflopsError(
            f"{where}: format_version is {meta['format_version']!r}, this program reads {FORMAT_VERSION}: update it"
        )
    for key in ("run_id", "origin", "title", "device"):
        if not isinstance(meta[key], str):
            raise AlphaflopsError(f"{where}: {key} is {meta[key]!r}: expected text")
    for key in ("machine", "protocol"):
        if not isinstance(meta[key], Mapping):
            raise AlphaflopsError(f"{where}: {key} is {meta[key]!r}: expected an object")
    if not isinstance(meta["machine"].get("name"), str):
        raise AlphaflopsError(f"{where}: machine.name is missing from the metadata")


def checked_table(table: "pd.DataFrame", where: str) -> "pd.DataFrame":
    """Check the columns of a table and give them their types and order.

    Raises
    ------
    AlphaflopsError
        For missing, unknown, non-numeric, NaN or negative columns, naming the first row at fault.
    """
    import pandas as pd

    for name in table.columns:
        if name not in KNOWN_COLUMNS:
            near = difflib.get_close_matches(str(name), KNOWN_COLUMNS, 1)
            hint = f": did you mean {near[0]!r}?" if near else ": remove it"
            raise AlphaflopsError(f"{where}: column {name!r} is unknown{hint}")
    for name in REQUIRED_COLUMNS:
        if name not in table:
            raise AlphaflopsError(f"{where}: column {name!r} is missing")
    if table.empty:
        raise AlphaflopsError(f"{where}: the table has no rows")
    checked = table.copy()
    for name, default in (("row", range(len(table))), ("experiment", "all"), ("figure", ""), ("line", ""), ("x", 0)):
        if name not in checked:
            checked[name] = default
    if "status" not in checked:
        checked["status"] = "ok"
    for name in checked.columns:
        if name in TEXT_COLUMNS:
            checked[name] = checked[name].fillna("").astype(str)
    _check_layers(checked, where)
    for name in ("row", "x", *TIME_COLUMNS, *STATE_COLUMNS, *ENERGY_COLUMNS):
        if name in checked and name not in TEXT_COLUMNS:
            checked[name] = _numbers(checked, name, where)
    _check_values(checked, where)
    if (bad := ~(np.isfinite(checked["row"]) & (checked["row"] % 1 == 0) & (checked["row"].abs() < 2**31))).any():
        raise AlphaflopsError(f"{where}: row is {checked['row'][bad].iloc[0]}: expected an integer")
    if checked["row"].duplicated().any():
        raise AlphaflopsError(f"{where}: row {checked.loc[checked['row'].duplicated(), 'row'].iloc[0]} occurs twice")
    order = [name for name in KNOWN_COLUMNS if name in checked]
    return pd.DataFrame(checked[order]).reset_index(drop=True)


def _first(bad: "NDArray[np.bool_] | pd.Series[bool]") -> int:
    return int(np.flatnonzero(bad)[0])


def _numbers(table: "pd.DataFrame", name: str, where: str) -> "pd.Series[float]":
    import pandas as pd

    try:
        numbers = pd.to_numeric(table[name], errors="coerce")
    except OverflowError as error:  # an integer of more than 308 digits
        raise AlphaflopsError(f"{where}: {name} holds a number that is too large") from error
    if (bad := numbers.isna() & table[name].notna()).any():
        at = _first(bad)
        raise AlphaflopsError(f"{where}: {name} is {table[name].iloc[at]!r} in row {at}: expected a number")
    return numbers


def _check_layers(table: "pd.DataFrame", where: str) -> None:
    for name in layers.COLUMNS:
        if name == "kind":
            if (unknown := ~table[name].isin(["conv2d", "dense"])).any():
                at = _first(unknown)
                raise AlphaflopsError(
                    f"{where}: kind is {table[name].iloc[at]!r} in row {at}: expected conv2d or dense"
                )
            continue
        if name == "bias" and table[name].isin([True, False]).all():
            table[name] = table[name].astype(bool)
            continue
        numbers = _numbers(table, name, where)
        least = 0 if name.startswith("pad_") or name == "bias" else 1
        bad = ~(np.isfinite(numbers) & (numbers >= least) & (numbers == np.floor(numbers)) & (numbers < 2**31))
        if bad.any():
            at = _first(bad)
            raise AlphaflopsError(
                f"{where}: {name} is {numbers.iloc[at]} in row {at}: expected an integer from {least} up"
            )
        if name in ("k1", "k2") and (wide := numbers > LARGEST_KERNEL).any():
            at = _first(wide)
            raise AlphaflopsError(f"{where}: {name} is {numbers.iloc[at]} in row {at}: at most {LARGEST_KERNEL}")
        table[name] = numbers.astype(bool if name == "bias" else np.int64)
    height, width = layers.output_size(table)
    if (empty := (height < 1) | (width < 1)).any():
        raise AlphaflopsError(f"{where}: the kernel in row {_first(empty)} exceeds its padded input")


def _check_values(table: "pd.DataFrame", where: str) -> None:
    unknown = ~table["status"].isin(STATUSES)
    if unknown.any():
        at = _first(unknown)
        raise AlphaflopsError(f"{where}: status is {table['status'].iloc[at]!r} in row {at}: expected {STATUSES}")
    measured = table["status"] == "ok"
    for name in TIME_COLUMNS:
        if name not in table:
            continue
        values = table[name]
        bad = (measured & ~(np.isfinite(values) & (values > 0))) if name == "latency_ms" else values < 0
        if bad.any():
            at = _first(bad)
            raise AlphaflopsError(f"{where}: {name} is {values.iloc[at]} in row {at}: expected a positive number")
