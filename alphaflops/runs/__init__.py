"""A run: what was measured on which machine, as metadata, one row per layer, and the samples everything follows from.

A run folder holds ``layers.csv`` (one row per layer: sizes, status, state of the device), ``samples.npz`` (raw
samples), ``SHA256SUMS`` (checkable with ``sha256sum -c``) and ``run.json`` (metadata, written last). In memory it is a
frozen record that is checked whenever it is made.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import files, layers
from ..errors import AlphaflopsError
from .derive import Verdict, derived, judge
from .schema import DERIVED_COLUMNS, QUANTITIES, STORED_COLUMNS, check_meta, checked_table, declared, parse_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RUN_FILE, TABLE_FILE, SAMPLES_FILE, SUMS_FILE = "run.json", "layers.csv", "samples.npz", files.SUMS
SIZES: Final = {TABLE_FILE: 2**25, SAMPLES_FILE: 2**27, SUMS_FILE: 2**12, RUN_FILE: 2**22}
"""Files of a run in the order in which they are written, and the most bytes that each may have."""

_ARRAYS: Final = dict.fromkeys((*QUANTITIES, *(f"{name}_n" for name in QUANTITIES)), 2**23)
"""Arrays of a run's samples, and the most numbers that each may have."""


@dataclass(frozen=True, eq=False)
class Run:
    """Times of many layers on one machine under one protocol.

    Parameters
    ----------
    meta : dict
        The content of ``run.json``, see ``run.schema.json``: ``format_version, run_id, origin, title, device, machine,
        protocol`` and, for our own measurements, ``software, profile, seed, started, finished, seconds, sentinel``.
    table : DataFrame
        One row per layer: `KEY_COLUMNS`, `layers.COLUMNS`, status and state of the device; times in ms, convergence and
        flags are derived from the samples, see `derived`.
    samples : dict of str to ndarray
        Raw samples (ms) by ``"{quantity}_{row}"``; empty where none were kept, and the table then tells the times.
    """

    meta: Mapping[str, Any]
    table: pd.DataFrame
    samples: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        where = files.one_line(self.meta.get("run_id", "run"), 80)
        check_meta(self.meta, where)
        table = checked_table(self.table, where)
        object.__setattr__(self, "table", derived(table, self.samples, self.meta, where))

    @property
    def id(self) -> str:
        """Name of the run, unique among the runs and data sets."""
        return str(self.meta["run_id"])

    @property
    def machine(self) -> str:
        """Name of the device that was timed; it says so where the run was resumed on other software or hardware."""
        name = str(self.meta["machine"]["name"])
        parts = self.meta.get("resumed", ())
        changed = sorted({key.partition(".")[0] for part in parts for key in part["different"]})
        note = f", resumed with other {' and '.join(changed)}" if changed else ""
        return name if note in name else name + note  # a name that chapters gave may hold the note already

    @property
    def layers(self) -> pd.DataFrame:
        """The columns that describe the layers."""
        return self.table[list(layers.COLUMNS)]

    @property
    def sentinel(self) -> Verdict:
        """How steady the machine was, judged from the sentinel's readings."""
        return judge([reading for _, reading in (self.meta.get("sentinel") or {}).get("curve_s_ms", ())])

    @property
    def ok(self) -> "Run":
        """The same run with the rows that were measured without error."""
        good = self.table[self.table["status"] == "ok"]
        return self.made(self.meta, good.reset_index(drop=True), self.samples)

    @classmethod
    def made(cls, meta: Mapping[str, Any], table: pd.DataFrame, samples: Mapping[str, NDArray[np.float64]]) -> "Run":
        """Make a run of what was checked already: metadata, a table as `derived` gives it, and samples."""
        run = object.__new__(cls)
        vars(run).update(meta=meta, table=table, samples=samples)
        return run

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

    def plot(self, figure: str) -> "Figure":
        """Draw the layers of one figure, with the times that α-FLOPs predict dashed; see `alphaflops.chapters.plot`."""
        drawn: Figure = import_module("alphaflops.chapters").plot(self, figure)  # looked up: imports go down only
        return drawn

    @property
    def sha256(self) -> str:
        """Hash of layers, readings and samples, whatever the run is called: what a calibration names as its origin."""
        found = hashlib.sha256(self._table_bytes())
        for name, values in self._arrays().items():
            found.update(name.encode() + values.tobytes())
        return found.hexdigest()

    @property
    def _sampled(self) -> bool:
        """Whether times follow from samples: there are some, or nothing was measured without error."""
        return bool(self.samples) or not self.table["status"].eq("ok").any()

    def _table_bytes(self) -> bytes:
        stored = STORED_COLUMNS if self._sampled else (*STORED_COLUMNS, *DERIVED_COLUMNS)
        table = self.table[[name for name in self.table.columns if name in stored]]
        return bytes(table.to_csv(index=False, lineterminator="\n"), "utf-8")

    def _arrays(self) -> dict[str, NDArray[Any]]:
        arrays: dict[str, NDArray[Any]] = {}
        for quantity in QUANTITIES if self._sampled else ():
            taken = [np.asarray(self.samples.get(f"{quantity}_{int(row)}", ()), "<f4") for row in self.table["row"]]
            arrays[quantity] = np.concatenate(taken)
            arrays[f"{quantity}_n"] = np.array([len(values) for values in taken], "<i4")
        return arrays

    def files(self) -> dict[str, bytes]:
        """Give the content of the run's files by name, in the order in which they are written: ``run.json`` last.

        Without ``run.json`` a folder is no finished run, so a run is whole as soon as it is there.
        """
        content = {TABLE_FILE: self._table_bytes()}
        if self._sampled:
            content[SAMPLES_FILE] = files.pack_arrays(self._arrays())
        meta = files.json_bytes(self.meta)
        content |= {SUMS_FILE: files.sums({**content, RUN_FILE: meta}), RUN_FILE: meta}
        for name, data in content.items():
            if len(data) > SIZES[name]:
                raise AlphaflopsError(f"{self.id}: {name} has {len(data)} bytes: at most {SIZES[name]} are read again")
        return content

    def write(self, folder: Path | str) -> Path:
        """Write the run as a new folder, whole or not at all.

        Raises
        ------
        AlphaflopsError
            If the folder exists and is not empty, or cannot be written.
        """
        return files.write_folder(folder, self.files())

    @classmethod
    def read(cls, folder: Path | str) -> "Run":
        """Read a finished run, checking schema, checksums and samples.

        Raises
        ------
        AlphaflopsError
            If a file is missing, changed, truncated or against the schema.
        """
        return cls.parse(read_files(folder), str(folder))

    @classmethod
    def parse(cls, content: Mapping[str, bytes], where: str, sent: bool = False) -> "Run":
        """Read a run from the content of its files by name, naming `where` in errors; see `read`.

        One that was `sent` must hold what is needed to judge it, and is refused where its schema cannot be checked.
        """
        meta = whole_meta(content, where)
        if sent:
            files.check(meta, declared("run")["$defs"]["sent"], where, needed=True)
        for name in (TABLE_FILE, *([SAMPLES_FILE] if meta["origin"] == "measured" else [])):
            if name not in content:
                raise AlphaflopsError(f"{where} is no whole run: it has no {name}")
        table = checked_table(parse_table(content[TABLE_FILE], f"{where}/{TABLE_FILE}"), f"{where}/{TABLE_FILE}")
        samples: dict[str, NDArray[np.float64]] = {}
        if SAMPLES_FILE in content:
            if derivable := [name for name in table if name in DERIVED_COLUMNS]:
                raise AlphaflopsError(f"{where}/{TABLE_FILE}: {derivable[0]} follows from the samples: remove it")
            samples = _unpacked(table, content[SAMPLES_FILE], f"{where}/{SAMPLES_FILE}")
        return cls.made(meta, derived(table, samples, meta, where), samples)


def read_files(folder: Path | str) -> dict[str, bytes]:
    """Read the files of a run folder, no links, within their limits.

    Raises
    ------
    AlphaflopsError
        If there is no such folder, or a file cannot be read.
    """
    found = {}
    try:
        paths = {path.name: path for path in Path(folder).iterdir()}
    except (OSError, ValueError) as error:
        why = files.reason(error)
        raise AlphaflopsError(f"{folder} is no folder of a run, does not exist or cannot be read: {why}") from error
    for name in (name for name in SIZES if name in paths):
        if paths[name].is_symlink():
            raise AlphaflopsError(f"{paths[name]} is a link: a run holds plain files alone")
        found[name] = files.read_bytes(paths[name], SIZES[name])
    return found


def whole_meta(content: Mapping[str, bytes], where: str) -> dict[str, Any]:
    """Give the metadata of a run whose files are as they were written, by name.

    Raises
    ------
    AlphaflopsError
        If there is no finished run, a file is changed or missing, or the metadata are against the schema.
    """
    if RUN_FILE not in content:
        raise AlphaflopsError(f"{where} holds no run, or no finished run: it has no {RUN_FILE}")
    if damage := damaged(content):
        raise AlphaflopsError(f"{where}: {'; '.join(damage)}")
    meta: dict[str, Any] = files.parse_json(content[RUN_FILE], f"{where}/{RUN_FILE}")
    check_meta(meta, f"{where}/{RUN_FILE}")
    return meta


def damaged(content: Mapping[str, bytes]) -> list[str]:
    """Say which files of a run do not match its checksums: one phrase per file, none if all is well."""
    if SUMS_FILE not in content:
        return [f"{SUMS_FILE} is missing"]
    return files.changed(content[SUMS_FILE], {name: data for name, data in content.items() if name != SUMS_FILE})


def _unpacked(table: pd.DataFrame, data: bytes, where: str) -> dict[str, NDArray[np.float64]]:
    arrays = files.read_arrays(data, _ARRAYS, where)
    samples: dict[str, NDArray[np.float64]] = {}
    for quantity in QUANTITIES:
        if quantity not in arrays or f"{quantity}_n" not in arrays:
            raise AlphaflopsError(f"{where} is incomplete: it has no {quantity} or no {quantity}_n")
        values, counts = arrays[quantity].astype(np.float64), arrays[f"{quantity}_n"].astype(np.int64)
        if len(counts) != len(table) or (counts < 0).any() or counts.sum() != len(values):
            raise AlphaflopsError(f"{where}: {quantity}_n does not give the samples of {len(table)} rows")
        parts = np.split(values, np.cumsum(counts)[:-1])
        samples |= {f"{quantity}_{int(row)}": part for row, part in zip(table["row"], parts, strict=True) if len(part)}
    return samples
