"""A run: what was measured on which machine, as metadata and one row per layer, in files that can be checked.

A run folder holds ``run.json`` (metadata), ``measurements.csv`` (one row per layer), ``samples.npz`` (raw samples, if
any) and ``SHA256SUMS`` (written last, checkable with ``sha256sum -c``).
"""

import difflib
import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from . import layers
from .errors import AlphaflopsError
from .zips import read_arrays

if TYPE_CHECKING:
    import pandas as pd

FORMAT_VERSION: Final = 1
RUN_FILE, TABLE_FILE, SAMPLES_FILE, SUMS_FILE = "run.json", "measurements.csv", "samples.npz", "SHA256SUMS"
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


@dataclass(frozen=True)
class Run:
    """Times of many layers on one machine under one protocol.

    Parameters
    ----------
    meta : dict
        ``format_version, run_id, origin ("measured" or "upstream"), title, device, machine, protocol`` and, for our own
        measurements, ``software, profile, seed, started, sentinel``; for downloaded sets ``source``.
    table : DataFrame
        One row per layer: `KEY_COLUMNS`, `layers.COLUMNS`, times in ms, status and state of the device.
    samples : dict of str to ndarray
        Raw samples (ms) by ``"{quantity}_{row}"``; empty where none were kept.
    """

    meta: Mapping[str, Any]
    table: "pd.DataFrame"
    samples: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_meta(self.meta, str(self.meta.get("run_id", "run")))
        object.__setattr__(self, "table", checked_table(self.table, str(self.meta["run_id"])))

    @property
    def id(self) -> str:
        """Name of the run, unique among the runs and data sets."""
        return str(self.meta["run_id"])

    @property
    def machine(self) -> str:
        """Name of the device that was timed."""
        return str(self.meta["machine"]["name"])

    @property
    def layers(self) -> "pd.DataFrame":
        """The columns that describe the layers."""
        return self.table[list(layers.COLUMNS)]

    @property
    def ok(self) -> "Run":
        """The same run with the rows that were measured without error."""
        kept = self.table[self.table["status"] == "ok"].reset_index(drop=True)
        return Run(self.meta, kept, self.samples)

    def time_ms(self, quantity: str = "latency") -> "pd.Series[float]":
        """Time of each layer (ms).

        Raises
        ------
        AlphaflopsError
            If the quantity is unknown or this run does not have it.
        """
        if quantity not in QUANTITIES:
            raise AlphaflopsError(f"quantity {quantity!r} is unknown: choose {' or '.join(QUANTITIES)}")
        if f"{quantity}_ms" not in self.table:
            raise AlphaflopsError(f"run {self.id!r} has no {quantity}: it only gives latency")
        return self.table[f"{quantity}_ms"]

    @property
    def sha256(self) -> str:
        """Hash of the table's text: what a calibration names as its origin."""
        return hashlib.sha256(table_bytes(self.table)).hexdigest()

    def write(self, folder: Path | str) -> Path:
        """Write the run as a new folder.

        Raises
        ------
        AlphaflopsError
            If the folder exists and is not empty, or cannot be written.
        """
        folder = Path(folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise AlphaflopsError(f"{folder} exists already: choose another folder or remove it")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.write_files(folder)
        except OSError as error:
            raise AlphaflopsError(f"{folder} cannot be written: {error.strerror}") from error
        return folder

    def write_files(self, folder: Path) -> None:
        """Write the files of the run into an existing folder, each whole or not at all, the checksums last."""
        contents = {RUN_FILE: _json_bytes(self.meta), TABLE_FILE: table_bytes(self.table)}
        if self.samples:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **{k: np.asarray(v, dtype=np.float32) for k, v in self.samples.items()})
            contents[SAMPLES_FILE] = buffer.getvalue()
        sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in contents.items())
        for name, data in {**contents, SUMS_FILE: sums.encode()}.items():
            replace_file(folder / name, data)

    @classmethod
    def read(cls, folder: Path | str) -> "Run":
        """Read a finished run, checking schema and checksums.

        Raises
        ------
        AlphaflopsError
            If a file is missing, changed, truncated or against the schema.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise AlphaflopsError(f"{folder} is no run folder: it does not exist")
        if not (folder / RUN_FILE).exists():
            raise AlphaflopsError(f"{folder} is no finished run: it has no {RUN_FILE}")
        meta = read_json(folder / RUN_FILE)
        check_meta(meta, str(folder / RUN_FILE))
        run = cls(meta, read_table(folder / TABLE_FILE), _read_samples(folder / SAMPLES_FILE))
        if damage := changed_files(folder):
            raise AlphaflopsError(f"{folder}: {'; '.join(damage)}")
        return run


def _json_bytes(value: Any) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def table_bytes(table: "pd.DataFrame") -> bytes:
    """Give the table as the bytes of its CSV file."""
    text: str = table.to_csv(index=False, lineterminator="\n")
    return text.encode()


def replace_file(path: Path, data: bytes) -> None:
    """Write a file so that a reader finds the old bytes or the new ones, never a part."""
    partial = path.with_name(path.name + ".part")
    try:
        with partial.open("wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def changed_files(folder: Path) -> list[str]:
    """Say what in a run folder does not match its checksums: one phrase per file, none if all is well."""
    sums = folder / SUMS_FILE
    if not sums.exists():
        return [f"{SUMS_FILE} is missing"]
    present = [name for name in (RUN_FILE, TABLE_FILE, SAMPLES_FILE) if (folder / name).exists()]
    wanted: dict[str, str] = {}
    for line in sums.read_bytes().decode("utf-8", "replace").splitlines():
        digest, _, name = line.partition("  ")
        wanted[name] = digest
    found = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in present}
    damage = [f"{name} does not match its checksum" for name in present if wanted.get(name) != found[name]]
    damage += [f"{name!r} is listed in {SUMS_FILE} but missing" for name in wanted if name not in present]
    exact = "".join(f"{digest}  {name}\n" for name, digest in wanted.items())
    if not damage and sums.read_bytes() != exact.encode():
        damage.append(f"{SUMS_FILE} has changed")
    return damage


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object, naming the file in any error."""
    try:
        value = json.loads(path.read_bytes().decode("utf-8"))
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not valid JSON, perhaps truncated"
        raise AlphaflopsError(f"{path} cannot be read: {reason}") from error
    if not isinstance(value, dict):
        raise AlphaflopsError(f"{path} holds a {type(value).__name__}: expected a JSON object")
    return value


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


def read_table(path: Path) -> "pd.DataFrame":
    """Read and check a table of measured layers.

    Raises
    ------
    AlphaflopsError
        Naming the file, column and row at fault.
    """
    import pandas as pd

    try:
        raw = path.read_bytes()
        if not raw.endswith(b"\n"):
            raise AlphaflopsError(f"{path} is truncated: its last line is not complete")
        table = pd.read_csv(io.BytesIO(raw), dtype=dict.fromkeys(TEXT_COLUMNS, str), keep_default_na=True)
    except OSError as error:
        raise AlphaflopsError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, pd.errors.ParserError) as error:
        raise AlphaflopsError(f"{path} is no table of layers: {' '.join(str(error).split())}") from error
    return checked_table(table, str(path))


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


def _numbers(table: "pd.DataFrame", name: str, where: str) -> "pd.Series[float]":
    import pandas as pd

    try:
        numbers = pd.to_numeric(table[name], errors="coerce")
    except OverflowError as error:  # an integer of more than 308 digits
        raise AlphaflopsError(f"{where}: {name} holds a number that is too large") from error
    if (bad := numbers.isna() & table[name].notna()).any():
        at = int(np.flatnonzero(bad)[0])
        raise AlphaflopsError(f"{where}: {name} is {table[name].iloc[at]!r} in row {at}: expected a number")
    return numbers


def _check_layers(table: "pd.DataFrame", where: str) -> None:
    for name in layers.COLUMNS:
        if name == "kind":
            if (bad := ~table[name].isin(["conv2d", "dense"])).any():
                at = int(np.flatnonzero(bad)[0])
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
            at = int(np.flatnonzero(bad)[0])
            raise AlphaflopsError(
                f"{where}: {name} is {numbers.iloc[at]} in row {at}: expected an integer from {least} up"
            )
        table[name] = numbers.astype(bool if name == "bias" else np.int64)
    sizes = layers.output_size(table)
    if (bad := (sizes[0] < 1) | (sizes[1] < 1)).any():
        raise AlphaflopsError(f"{where}: the kernel in row {int(np.flatnonzero(bad)[0])} exceeds its padded input")


def _check_values(table: "pd.DataFrame", where: str) -> None:
    unknown = ~table["status"].isin(STATUSES)
    if unknown.any():
        at = int(np.flatnonzero(unknown)[0])
        raise AlphaflopsError(f"{where}: status is {table['status'].iloc[at]!r} in row {at}: expected {STATUSES}")
    measured = table["status"] == "ok"
    for name in TIME_COLUMNS:
        if name not in table:
            continue
        values = table[name]
        bad = (measured & ~(np.isfinite(values) & (values > 0))) if name == "latency_ms" else values < 0
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            raise AlphaflopsError(f"{where}: {name} is {values.iloc[at]} in row {at}: expected a positive number")


def _read_samples(path: Path) -> dict[str, NDArray[np.float64]]:
    return read_arrays(path, str(path)) if path.exists() else {}
