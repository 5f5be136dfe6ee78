"""A run: metadata and one row per layer, as a frozen record that is checked whenever it is made."""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import layers
from ..errors import AlphaflopsError
from ..zips import read_arrays
from .files import (
    RUN_FILE,
    SAMPLES_FILE,
    SUMS_FILE,
    TABLE_FILE,
    changed_files,
    json_bytes,
    read_json,
    replace_file,
)
from .schema import QUANTITIES, TEXT_COLUMNS, check_meta, checked_table

if TYPE_CHECKING:
    import pandas as pd


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
        contents = {RUN_FILE: json_bytes(self.meta), TABLE_FILE: table_bytes(self.table)}
        if self.samples:
            buffer = io.BytesIO()
            arrays: dict[str, Any] = {k: np.asarray(v, dtype=np.float32) for k, v in self.samples.items()}
            np.savez_compressed(buffer, **arrays)
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


def table_bytes(table: "pd.DataFrame") -> bytes:
    """Give the table as the bytes of its CSV file."""
    text: str = table.to_csv(index=False, lineterminator="\n")
    return text.encode()


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
        types = dict.fromkeys(TEXT_COLUMNS, str)
        table: pd.DataFrame = pd.read_csv(io.BytesIO(raw), dtype=types, keep_default_na=True, **exact_floats())
    except OSError as error:
        raise AlphaflopsError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, pd.errors.ParserError) as error:
        raise AlphaflopsError(f"{path} is no table of layers: {' '.join(str(error).split())}") from error
    return checked_table(table, str(path))


def exact_floats() -> dict[str, Any]:
    """Give the settings of ``pandas.read_csv`` that read floats back exactly; from pandas 3.1 on it always does."""
    import pandas as pd

    older = tuple(int(part) for part in pd.__version__.split(".")[:2]) < (3, 1)
    return {"float_precision": "round_trip"} if older else {}


def _read_samples(path: Path) -> dict[str, NDArray[np.float64]]:
    return read_arrays(path, str(path)) if path.exists() else {}
