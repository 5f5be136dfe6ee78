"""What a run records: metadata as it begins, what of them must not change, its files at the end, and checks of both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from .. import __version__, host
from ..errors import AlphaflopsError
from ..files import one_line, to_json, write_atomic, writing
from ..layers import COLUMNS
from ..runs import RUN_FILE, SUMS_FILE, Run, damaged, read_files, schema
from ..runs.schema import ENERGY_COLUMNS, FORMAT_VERSION, QUANTITIES, STATE_COLUMNS, TAKEN_COLUMNS, slug
from . import journal as journals
from .journal import JOURNAL_FILE, Contents, Entry, Header
from .protocol import Options
from .sampling import SENTINEL

CHECKED: Final = ("device", "machine", "software", "protocol", "profile", "seed", "energy")
"""Parts of the metadata that must be the same in all sessions of a run, and in runs that are to be merged."""

UNCHECKED: Final = (
    *("machine.gpu.shared", "software.psutil", "software.zeus", "software.nvidia-ml-py", "software.pandas"),
    *("software.alphaflops", "machine.cpu.memory_gib"),
)
"""Keys among them that say something about the moment, or that no timing depends on; older runs name psutil, Zeus."""


def metadata(options: Options, device: str, folder: Path) -> dict[str, Any]:
    """Describe a run on `device` as it begins, see `alphaflops.runs.Run`."""
    machine, inputs = host.describe(device, options.threads), "standard normal, seeded"
    found = {
        "format_version": FORMAT_VERSION,
        "run_id": options.run_id or slug(folder.resolve().name),
        "origin": "measured",
        "title": one_line(options.title or machine["name"]),
        "device": device.partition(":")[0],
        "machine": machine,
        "software": host.describe_software() | {"alphaflops": __version__},
        "protocol": options.settings().record() | {"dtype": "by row (dtype_bytes)", "inputs": inputs},
        "profile": options.profile,
        "energy": options.energy,
        "seed": options.seed,
        "started": now(),
        "sentinel": {"layer": SENTINEL.row(), "curve_s_ms": []},
    }
    return dict(to_json(found))


def now() -> str:
    """Date and time, as metadata hold it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def check_same(old: Mapping[str, Any], new: Mapping[str, Any], allow: Sequence[str] = ()) -> dict[str, list[Any]]:
    """Refuse to mix two runs that differ in more than `allow`; give the differences that were allowed.

    Parameters
    ----------
    allow : sequence of str
        Dotted keys, or their beginnings: ``software`` allows ``software.torch``.

    Returns
    -------
    dict
        Key → both values.

    Raises
    ------
    AlphaflopsError
        Naming the first key that differs, and both values.
    """
    checked = [{key: meta.get(key) for key in CHECKED} for meta in (old, new)]
    sides = [pd.json_normalize(side).to_dict(orient="records")[0] for side in checked]
    allowed = {}
    for key in map(str, {**sides[0], **sides[1]}):
        before, after = (side.get(key) for side in sides)
        if key in UNCHECKED or before == after:
            continue
        if not any(key == name or key.startswith(name + ".") for name in allow):
            told = f"{key} was {before!r} and is now {after!r}"
            raise AlphaflopsError(f"{told}: these timings do not mix (--allow-different {key} to insist)")
        allowed[key] = [before, after]
    return allowed


def _run(found: Contents) -> Run:
    """Build the run out of a complete journal."""
    entries, meta, done = found.entries, found.header.meta, found.done
    table, samples = [], {}
    for spec in sorted(found.header.rows, key=lambda spec: spec["row"]):
        entry = done[spec["row"]]
        taken = {name: getattr(entry, name) for name in TAKEN_COLUMNS} | {"message": one_line(entry.message)}
        table.append({**entry.state, **entry.energy, **spec, **taken})
        for quantity in QUANTITIES:
            if ns := getattr(entry, f"{quantity}_ns"):
                samples[f"{quantity}_{entry.row}"] = np.asarray(ns, dtype=np.float64) / 1e6
    told = {
        **meta,
        "sentinel": meta["sentinel"] | {"curve_s_ms": [[e.elapsed_s, e.median_ms] for e in entries if e.median_ms]},
        "resumed": [{"started": e.started, "different": e.different} for e in entries if e.type == "resumed"],
        "finished": next((e.finished for e in reversed(entries) if e.finished), None),
        "seconds": round(max(e.elapsed_s for e in entries), 3),
    }
    return Run(told, pd.DataFrame(table), samples)


def reopened(run: Run, options: Options) -> Contents:
    """Give a finished run as the journal that led to it, so that rows can be added."""
    table, meta = run.table.sort_values("order"), {**run.meta}
    rows: list[Any] = table[[*schema.KEY_COLUMNS, *COLUMNS]].to_dict(orient="records")
    entries = [Entry(type="reading", elapsed_s=at, median_ms=ms) for at, ms in meta["sentinel"]["curve_s_ms"]]
    for row in to_json(table.astype(object).where(table.notna(), None).to_dict(orient="records")):
        ns = {f"{name}_ns": 1e6 * run.samples.get(f"{name}_{row['row']}", np.empty(0)) for name in QUANTITIES}
        parts = (("row", *TAKEN_COLUMNS), STATE_COLUMNS, ENERGY_COLUMNS)
        told, state, energy = ({name: row[name] for name in part if name in row} for part in parts)
        entries.append(Entry(type="row", **told, **to_json(ns), state=state, energy=energy))
    entries += [Entry(type="resumed", **part) for part in meta.pop("resumed", ())]
    entries.append(Entry(type="end", elapsed_s=meta.pop("seconds"), finished=meta.pop("finished") or ""))
    return Contents(Header(journals.VERSION, meta, to_json(options), rows), tuple(entries))


def finish(folder: Path, found: Contents) -> Run:
    """Write the files of a completely measured run and remove its journal.

    While they are written ``run.json`` is not there, so nobody takes a part for the whole.

    Raises
    ------
    AlphaflopsError
        If metadata or rows are against the schema of a run, or the files cannot be written; the journal then stays and
        the run can be resumed.
    """
    run = _run(found)
    try:
        with writing(folder):
            (folder / RUN_FILE).unlink(missing_ok=True)
            for name, data in run.files().items():
                write_atomic(folder / name, data)
            written = Run.read(folder)  # with its checksums, before the journal goes
            (folder / JOURNAL_FILE).unlink()
    except AlphaflopsError as error:
        told = f"{error}; all layers are measured and kept, make room and finish with --resume {folder}"
        raise AlphaflopsError(told) from error
    return written


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes
    ----------
    state : str
        ``finished`` or ``unfinished``.
    rows, total : int
        Rows measured, rows in the grid.
    problems : tuple of str
        One phrase for each changed or missing file; empty if every byte is as it was written.
    """

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
    if (folder / JOURNAL_FILE).exists():
        try:
            found = journals.read(folder)
        except AlphaflopsError as error:
            return Verification("unfinished", 0, 0, (str(error),))
        torn = f"{JOURNAL_FILE}: its last line is cut short or changed; resuming measures that row again"
        return Verification("unfinished", len(found.done), len(found.header.rows), (torn,) * found.torn)
    if not any((folder / name).exists() for name in (RUN_FILE, SUMS_FILE)):
        raise AlphaflopsError(f"{folder} holds no run: it has neither {RUN_FILE} nor {JOURNAL_FILE}")
    problems = tuple(damaged(read_files(folder)))
    rows = 0 if problems else len(Run.read(folder).table)
    return Verification("finished", rows, rows, problems)


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
    told["status"] = {name: int((table["status"] == name).sum()) for name in schema.STATUSES}
    for name in ("unconverged", "throttled", "foreign-load", "clock"):
        told[name.replace("-", "_")] = int(table["flags"].str.contains(name).sum())
    for quantity in QUANTITIES:
        half = (table[f"{quantity}_high_ms"] - table[f"{quantity}_low_ms"]) / 2 / table[f"{quantity}_ms"]
        middle = float(half.median())
        told[f"{quantity}_half_width_pct"] = None if middle != middle else round(100 * middle, 3)
    return told | {"sentinel": dict(vars(run.sentinel))}
