"""From a complete journal to the files of a run, and the check that no byte of either has changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AlphaflopsError
from ..files import one_line, write_atomic
from ..layers import COLUMNS
from ..runs import KEY_COLUMNS, STATUSES, Run, changed_files
from . import journal as journals

if TYPE_CHECKING:
    from numpy.typing import NDArray

STATE = ("temperature_c", "power_w", "sm_clock_mhz", "cpu_mhz", "load", "processes", "throttle")


def seconds_spent(entries: Sequence[Mapping[str, Any]]) -> float:
    """Time that a run took so far, pauses between its parts left out (s)."""
    return max((float(entry["elapsed_s"]) for entry in entries if "elapsed_s" in entry), default=0.0)


def table_row(spec: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of one row: what was asked, and the state of the device while it was timed."""
    row = {name: spec[name] for name in (*KEY_COLUMNS, *COLUMNS)}
    row |= {"status": entry["status"], "message": one_line(entry["message"])}
    row |= {name: entry[name] for name in ("order", "elapsed_s", "warmups", "block_calls")}
    row["bad_clock"] = int("clock" in entry["flags"])
    row |= {name: entry[name] for name in STATE}
    if "energy" in entry:
        row |= entry["energy"]
    return row


def build(found: journals.Contents) -> Run:
    """Build the run out of a complete journal.

    Raises
    ------
    AlphaflopsError
        If rows are missing.
    """
    import pandas as pd

    head, entries = found.header, found.entries
    done = {entry["row"]: entry for entry in entries if entry["type"] == "row"}
    if missing := len(head["rows"]) - len(done):
        raise AlphaflopsError(f"{missing} of {len(head['rows'])} layers are not measured yet: resume the run")
    table = pd.DataFrame([table_row(spec, done[spec["row"]]) for spec in head["rows"]])
    samples: dict[str, NDArray[np.float64]] = {}
    for key, entry in sorted(done.items()):
        for quantity in ("latency", "throughput"):
            if entry[f"{quantity}_ns"]:
                samples[f"{quantity}_{key}"] = np.asarray(entry[f"{quantity}_ns"], dtype=np.float64) / 1e6
    return Run(_meta(head["meta"], entries), table, samples)


def _meta(meta: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    readings = [entry for entry in entries if entry["type"] == "sentinel"]
    curve = [[entry["elapsed_s"], entry["median_ms"]] for entry in readings]
    sessions = [{k: entry[k] for k in ("started", "different")} for entry in entries if entry["type"] == "resumed"]
    finished = next((entry["finished"] for entry in reversed(entries) if entry["type"] == "end"), None)
    return {
        **meta,
        "sentinel": {**meta["sentinel"], "curve_s_ms": curve},
        "resumed": sessions,
        "finished": finished,
        "seconds": round(seconds_spent(entries), 3),
    }


def finish(folder: Path) -> Run:
    """Write the files of a completely measured run and remove its journal.

    Raises
    ------
    AlphaflopsError
        If rows are missing or the files cannot be written; the journal then stays and the run can be resumed.
    """
    run = build(journals.read(folder))
    try:
        for name, data in run.files().items():
            write_atomic(folder / name, data)
    except AlphaflopsError as error:
        raise AlphaflopsError(
            f"{error}; all layers are measured and kept, make room and finish with --resume {folder}"
        ) from error
    written = Run.read(folder)  # with its checksums, before the journal goes
    (folder / journals.JOURNAL_FILE).unlink()
    return written


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes
    ----------
    folder : Path
    state : str
        ``finished`` or ``unfinished``.
    rows, total : int
        Rows measured, rows in the grid.
    problems : tuple of str
        One phrase for each changed or missing file; empty if every byte is as it was written.
    """

    folder: Path
    state: str
    rows: int
    total: int
    problems: tuple[str, ...]


def verify(folder: Path | str) -> Verification:
    """Check every byte of a finished or unfinished run against its checksums.

    Raises
    ------
    AlphaflopsError
        If the folder holds no run at all.
    """
    folder = Path(folder)
    if (folder / journals.JOURNAL_FILE).exists():
        return _verify_journal(folder)
    problems = changed_files(folder) if folder.is_dir() and any(folder.glob("*")) else None
    if problems is None or not any((folder / name).exists() for name in ("run.json", "SHA256SUMS")):
        raise AlphaflopsError(f"{folder} holds no run: it has neither run.json nor {journals.JOURNAL_FILE}")
    rows = 0 if problems else len(Run.read(folder).table)
    return Verification(folder, "finished", rows, rows, tuple(problems))


def _verify_journal(folder: Path) -> Verification:
    try:
        found = journals.read(folder)
    except AlphaflopsError as error:
        return Verification(folder, "unfinished", 0, 0, (str(error),))
    wanted = found.header.get("rows")
    if not isinstance(wanted, list):
        return Verification(folder, "unfinished", 0, 0, (f"{journals.JOURNAL_FILE}: its first line names no rows",))
    rows = sum(entry.get("type") == "row" for entry in found.entries)
    torn = f"{journals.JOURNAL_FILE}: its last line is cut short or changed; resuming measures that row again"
    return Verification(folder, "unfinished", rows, len(wanted), (torn,) if found.torn else ())


def summary(run: Run) -> dict[str, Any]:
    """Summarise a run for ``--json`` and the closing line.

    Returns
    -------
    dict
        ``run, title, machine, device, profile, layers, seconds``, layers by status, ``unconverged, throttled,
        foreign_load`` (numbers of layers), median half-widths in percent, and the sentinel's verdict.
    """
    table = run.table
    flags = [words.split(";") for words in table["flags"]]
    counted = {
        name: sum(name in words for words in flags) for name in ("unconverged", "throttled", "foreign-load", "clock")
    }
    widths = {}
    for quantity in ("latency", "throughput"):
        half = (table[f"{quantity}_high_ms"] - table[f"{quantity}_low_ms"]) / 2 / table[f"{quantity}_ms"]
        middle = half.median()
        widths[f"{quantity}_half_width_pct"] = None if middle != middle else round(100 * float(middle), 3)
    names = ("verdict", "readings", "median_ms", "moved", "spread", "worst", "p")
    sentinel = {name: getattr(run.sentinel, name) for name in names}
    return {
        "run": run.id,
        "title": run.meta["title"],
        "machine": run.machine,
        "device": run.meta["device"],
        "profile": run.meta.get("profile"),
        "layers": len(table),
        "seconds": run.meta.get("seconds"),
        "status": {name: int((table["status"] == name).sum()) for name in STATUSES},
        **{name.replace("-", "_"): number for name, number in counted.items()},
        **widths,
        "sentinel": sentinel,
    }
