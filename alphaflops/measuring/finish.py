"""From a journal to the files of a run and back, and the check that no byte of either has changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import AlphaflopsError
from ..files import one_line, write_atomic
from ..files.disk import reason
from ..layers import COLUMNS
from ..runs import KEY_COLUMNS, RUN_FILE, STATUSES, SUMS_FILE, Run, changed_files
from ..runs.schema import ENERGY_COLUMNS, QUANTITIES, STATE_COLUMNS
from . import journal as journals
from .journal import Contents, Entry, Header

PLAIN = ("status", "order", "elapsed_s", "warmups", "block_calls", "bad_clock")


def build(found: Contents) -> Run:
    """Build the run out of a complete journal.

    Raises
    ------
    AlphaflopsError
        If rows are missing, or metadata or rows are against the schema of a run.
    """
    import pandas as pd

    done, rows = found.done, found.header.rows
    if missing := len(rows) - len(done):
        raise AlphaflopsError(f"{missing} of {len(rows)} layers are not measured yet: resume the run")
    table, samples = [], {}
    for spec in rows:
        entry = done[spec["row"]]
        row = {name: spec[name] for name in (*KEY_COLUMNS, *COLUMNS) if name in spec}
        row |= {name: getattr(entry, name) for name in PLAIN} | {"message": one_line(entry.message)}
        table.append(row | {name: entry.state.get(name) for name in STATE_COLUMNS} | entry.energy)
        for quantity in QUANTITIES:
            if taken := getattr(entry, f"{quantity}_ns"):
                samples[f"{quantity}_{entry.row}"] = np.asarray(taken, dtype=np.float64) / 1e6
    return Run(_meta(found), pd.DataFrame(table), samples)


def _meta(found: Contents) -> dict[str, Any]:
    entries, meta = found.entries, found.header.meta
    resumed = [{"started": e.started, "different": e.different} for e in entries if e.type == "resumed"]
    return {
        **meta,
        "sentinel": meta["sentinel"] | {"curve_s_ms": [[e.elapsed_s, e.median_ms] for e in entries if e.median_ms]},
        "resumed": resumed,
        "finished": next((e.finished for e in reversed(entries) if e.finished), None),
        "seconds": round(max((e.elapsed_s for e in entries), default=0.0), 3),
    }


def reopened(run: Run, options: Mapping[str, Any]) -> Contents:
    """Give a finished run as the journal that led to it, so that rows can be added."""
    rows: list[Any] = run.table[[*KEY_COLUMNS, *COLUMNS]].to_dict(orient="records")
    entries = [Entry("reading", at, median_ms=ms) for at, ms in run.meta["sentinel"]["curve_s_ms"]]
    entries += [Entry("row", **_taken(run, row)) for row in run.table.to_dict(orient="records")]
    entries += [Entry("resumed", **part) for part in run.meta.get("resumed", ())]
    entries += [Entry("end", run.meta["seconds"], finished=run.meta["finished"] or "")]
    order = [int(row) for row in run.table.sort_values("order")["row"]]
    meta = {key: value for key, value in run.meta.items() if key not in ("resumed", "finished", "seconds")}
    return Contents(Header(journals.VERSION, meta, dict(options), rows, order), tuple(entries))


def _taken(run: Run, row: Mapping[Any, Any]) -> dict[str, Any]:
    def told(names: tuple[str, ...]) -> dict[str, Any]:
        return {name: None if row[name] != row[name] else row[name] for name in names if name in row}

    counts = ("row", "order", "warmups", "block_calls", "bad_clock")
    taken: dict[str, Any] = {name: int(row[name]) for name in counts}
    for quantity in QUANTITIES:
        kept = run.samples.get(f"{quantity}_{taken['row']}", np.empty(0))
        taken[f"{quantity}_ns"] = (1e6 * kept).tolist()
    taken |= {"elapsed_s": row["elapsed_s"], "status": row["status"], "message": row["message"]}
    return taken | {"state": told(STATE_COLUMNS), "energy": told(ENERGY_COLUMNS)}


def finish(folder: Path, found: Contents) -> Run:
    """Write the files of a completely measured run and remove its journal.

    While they are written ``run.json`` is not there, so nobody takes a part for the whole.

    Raises
    ------
    AlphaflopsError
        If rows are missing or the files cannot be written; the journal then stays and the run can be resumed.
    """
    run = build(found)
    try:
        (folder / RUN_FILE).unlink(missing_ok=True)
        for name, data in run.files().items():
            write_atomic(folder / name, data)
        written = Run.read(folder)  # with its checksums, before the journal goes
        (folder / journals.JOURNAL_FILE).unlink()
    except (OSError, AlphaflopsError) as error:
        told = f"{folder} cannot be written: {reason(error)}" if isinstance(error, OSError) else str(error)
        raise AlphaflopsError(
            f"{told}; all layers are measured and kept, make room and finish with --resume {folder}"
        ) from error
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
    problems: tuple[str, ...] = ()


def verify(folder: Path | str) -> Verification:
    """Check every byte of a finished or unfinished run against its checksums.

    Raises
    ------
    AlphaflopsError
        If the folder holds no run at all.
    """
    folder = Path(folder)
    if (folder / journals.JOURNAL_FILE).exists():
        try:
            found = journals.read(folder)
        except AlphaflopsError as error:
            return Verification(folder, "unfinished", 0, 0, (str(error),))
        torn = f"{journals.JOURNAL_FILE}: its last line is cut short or changed; resuming measures that row again"
        return Verification(folder, "unfinished", len(found.done), len(found.header.rows), (torn,) * found.torn)
    if not any((folder / name).exists() for name in (RUN_FILE, SUMS_FILE)):
        raise AlphaflopsError(f"{folder} holds no run: it has neither {RUN_FILE} nor {journals.JOURNAL_FILE}")
    problems = tuple(changed_files(folder))
    rows = 0 if problems else len(Run.read(folder).table)
    return Verification(folder, "finished", rows, rows, problems)


def summary(run: Run) -> dict[str, Any]:
    """Summarise a run for ``--json`` and the closing line.

    Returns
    -------
    dict
        ``run, title, machine, device, profile, layers, seconds``, layers by status, ``unconverged, throttled,
        foreign_load, clock`` (numbers of layers), median half-widths in percent, and the sentinel's verdict.
    """
    table = run.table
    told: dict[str, Any] = {"run": run.id, "machine": run.machine, "layers": len(table)}
    told |= {name: run.meta.get(name) for name in ("title", "device", "profile", "seconds")}
    told["status"] = {name: int((table["status"] == name).sum()) for name in STATUSES}
    flags = [words.split(";") for words in table["flags"]]
    for name in ("unconverged", "throttled", "foreign-load", "clock"):
        told[name.replace("-", "_")] = sum(name in words for words in flags)
    for quantity in QUANTITIES:
        half = (table[f"{quantity}_high_ms"] - table[f"{quantity}_low_ms"]) / 2 / table[f"{quantity}_ms"]
        middle = float(half.median())
        told[f"{quantity}_half_width_pct"] = None if middle != middle else round(100 * middle, 3)
    return told | {"sentinel": dict(vars(run.sentinel))}
