"""The loop over layers: every row on disk before the next begins, and a finished run out of the journal at the end."""

import random
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from ..errors import AlphaflopsError
from ..files import from_json, to_json
from ..files.disk import PREFIX
from ..layers import COLUMNS, as_table, from_row
from ..runs import RUN_FILE, Run
from ..runs.derive import SAME_LAYER, summarise
from ..runs.schema import KEY_COLUMNS, checked_table
from . import journal as journals
from .device import Device, choose, opened
from .energy import choose_rows, counter_of, joules
from .journal import JOURNAL_FILE, Contents, Entry, Header, Journal
from .protocol import Options
from .record import check_same, finish, metadata, now, reopened
from .sampling import heat, sentinel_ms, time_layer

Tell = Callable[[str, str], None]
"""Told ``begin`` when a layer begins and, as soon as it is on disk, ``row`` and how far the run is."""

MOST_DEATHS: Final = 2
"""A row in which the process was killed as often as this is given up."""


class Interrupted(AlphaflopsError):  # noqa: N818 - not an error: the user asked for it
    """The user stopped the run; it can be resumed."""


def rows_of(layers: Any) -> pd.DataFrame:
    """Give what `as_table` takes as rows to measure: keys and sizes, equal rows once.

    Raises
    ------
    AlphaflopsError
        As `as_table`; also if keys are not one printable line or no number.
    """
    table = as_table(layers, "layers")
    unfit = ["row"] if "row" in table and table["row"].duplicated().any() else []
    names = [*KEY_COLUMNS, *COLUMNS]
    rows = checked_table(table.drop(columns=unfit).filter(names), "layers")[names]
    return rows.drop_duplicates(SAME_LAYER).reset_index(drop=True)


def run(
    layers: Any,
    out: Path | str,
    options: Options | None = None,
    tell: Tell = lambda *_: None,
    device: Device | None = None,
) -> Run:
    """Measure layers in this process, into a new folder or one whose missing rows are added.

    Parameters
    ----------
    layers : table, spec or list of specs
        What `alphaflops.layers.as_table` takes; None for those that the folder lacks.
    out : path
        Folder of the run: new, empty, or a run of the same machine and protocol, finished or not.
    device : Device, optional
        An open device to use instead of the one named in `options`.

    Returns
    -------
    Run
        The finished run, as written to `out`: all rows of the folder.

    Raises
    ------
    Interrupted
        On Ctrl-C or SIGTERM: the rows so far are kept and `resume` goes on.
    AlphaflopsError
        If the device is not here, an option is out of range, machine or protocol differ from the folder's (the key is
        named), the folder holds something else or cannot be written, the disk is full, or the device died.
    """
    out, options = Path(out), options or Options()
    rows = None if layers is None else rows_of(layers)
    if rows is not None and options.energy:
        rows = choose_rows(rows)
    settings = options.settings()
    name = device.name if device else choose(options.device)
    with _stoppable(out), journals.locked(out), ExitStack() as stack:
        device = device or stack.enter_context(opened(name, settings, options.threads))
        meta = metadata(options, name, out)
        found, different = _found(out, options, meta)
        before = found.header
        if rows is not None:
            found = _extended(found, rows, options.seed)
        complete = len(found.done) == len(found.header.rows) and found.entries[-1].type == "end"
        if complete and not (out / JOURNAL_FILE).exists():
            return Run.read(out)
        if found.header != before:
            found = journals.begin(out, found.header, found.entries)
        with closing(Journal(out, found)) as journal:
            if not complete:
                if different is not None:
                    journal.append(Entry(type="resumed", started=meta["started"], different=different))
                _measure(device, options, journal, tell)
            return finish(out, journal.found)


def resume(
    out: Path | str,
    changes: Mapping[str, Any] | None = None,
    tell: Tell = lambda *_: None,
    device: Device | None = None,
) -> Run:
    """Finish the run in a folder, in this process: exactly its missing rows, in its own order.

    Parameters
    ----------
    changes : mapping, optional
        Options given anew. Any that makes the timings different is refused unless its key is in ``allow_different``,
        and then recorded.

    Raises
    ------
    AlphaflopsError
        As `run`; also if the folder holds no unfinished run or the journal is damaged.
    """
    out = Path(out)
    given = {**journals.read(out).header.options, **to_json(changes or {})}
    return run(None, out, from_json(Options, given, f"{out / JOURNAL_FILE}: header: options"), tell, device)


def _found(out: Path, options: Options, meta: dict[str, Any]) -> tuple[Contents, dict[str, Any] | None]:
    """Give what a folder holds and the differences to it that are allowed, None if it is new; it must be locked.

    Raises
    ------
    AlphaflopsError
        If it holds anything but a run, or one that must not be mixed with `meta`.
    """
    if (out / JOURNAL_FILE).exists():
        found = journals.read(out)
    elif (out / RUN_FILE).exists():
        finished = Run.read(out)
        check_same(finished.meta, meta, options.allow_different)  # first: what others wrote may lack what follows
        found = reopened(finished, options)
    elif any(path.name != journals.LOCK_FILE and not path.name.startswith(PREFIX) for path in out.iterdir()):
        raise AlphaflopsError(f"{out} exists already and holds no run: choose another folder or remove it")
    else:
        return Contents(Header(journals.VERSION, meta, to_json(options), [])), None
    there = found.header.meta
    for name in ("title", "run_id"):
        if getattr(options, name) not in (None, there.get(name)):
            raise AlphaflopsError(f"{name} cannot change in a run that is there: leave it out or start a new run")
    return found, check_same(there, meta, options.allow_different)


def _extended(found: Contents, rows: pd.DataFrame, seed: int) -> Contents:
    """Add the rows that are not there yet, in random order behind those that are."""
    header = found.header
    if header.rows:
        there = as_table(pd.DataFrame(header.rows), "header of the journal")
        known = {*there[SAME_LAYER].itertuples(index=False, name=None)}
        rows = rows[[key not in known for key in rows[SAME_LAYER].itertuples(index=False, name=None)]]
        if rows["row"].isin(there["row"]).any():
            first = int(there["row"].max()) + 1
            rows = rows.assign(row=range(first, first + len(rows)))
    specs = to_json(rows.to_dict(orient="records"))
    random.Random(seed).shuffle(specs)
    return replace(found, header=replace(header, rows=[*header.rows, *specs]))


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM interrupt as Ctrl-C does; signals reach the main thread only."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if main else None
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _stoppable(out: Path) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into one message that says how to go on."""
    try:
        with interruptible():
            yield
    except KeyboardInterrupt:
        told = f"stopped before a layer was measured into {out}: start again"
        with suppress(AlphaflopsError):
            found = journals.read(out)
            counted = f"stopped after {len(found.done)} of {len(found.header.rows)} layers"
            told = f"{counted}: go on with alphaflops measure --resume {out}"
        raise Interrupted(told) from None


def _measure(device: Device, options: Options, journal: Journal, tell: Tell) -> None:
    header, settings = journal.found.header, options.settings()
    done, deaths = journal.found.done, journal.found.deaths
    todo = [(place, spec) for place, spec in enumerate(header.rows) if spec["row"] not in done]
    before = max((entry.elapsed_s for entry in journal.found.entries), default=0.0)
    began = device.clock_ns()

    def elapsed() -> float:
        return round(before + max(device.clock_ns() - began, 0) / 1e9, 3)

    def reading(time: Callable[..., float | None] = sentinel_ms) -> float:
        if (found := time(device, settings.sentinel_s)) is not None:
            journal.append(Entry(type="reading", elapsed_s=elapsed(), median_ms=found))
        return elapsed()

    counter = counter_of(device) if options.energy else None

    def timed(spec: Mapping[str, Any], place: int) -> Entry:
        row = spec["row"]
        if deaths[row] >= MOST_DEATHS:
            why = f"the measuring process was killed {deaths[row]} times in this layer, as it is where memory is short"
            return Entry(type="row", elapsed_s=elapsed(), row=row, order=place, status="out-of-memory", message=why)
        journal.append(Entry(type="begin", row=row), sync=False)
        tell("begin", "")
        layer, start = from_row(spec), elapsed()
        device.watch.begin()
        found = time_layer(device, layer, settings)
        state, energy = device.watch.end(), {}
        if counter is not None and found.status == "ok":
            call_s = float(np.median(found.throughput_ns or found.latency_ns)) / 1e9
            energy = joules(device, counter, layer, call_s)
        about: dict[str, Any] = {"row": row, "order": place, "state": state, "energy": energy}
        return Entry(type="row", elapsed_s=start, **about, **vars(found))

    try:
        last = reading(heat)
        for taken, (place, spec) in enumerate(todo, start=1):
            if elapsed() - last > settings.sentinel_s:
                last = reading()
            entry = timed(spec, place)
            journal.append(entry)
            found = summarise(np.asarray(entry.latency_ns) / 1e6, settings.name)
            known = f" ± {100 * found.half_width:.1f} %" if np.isfinite(found.half_width) else ""
            ms = f"{found.median:.4g} ms{known}" if found.n else "no time"
            own = f"{spec['kind']}, {spec['in_channels']} to {spec['out_channels']} channels"
            about = f"{spec['experiment']} {spec['line']}, x = {spec['x']}" if spec["line"] else own
            left_s = (elapsed() - before) / taken * (len(todo) - taken)
            tell("row", f"{len(done) + taken}/{len(header.rows)} layers, {left_s:.0f} s left, {about}: {ms}")
        reading()
        journal.append(Entry(type="end", elapsed_s=elapsed(), finished=now()))
    except BaseException:
        with suppress(AlphaflopsError):
            journal.append(Entry(type="pause", elapsed_s=elapsed()))  # stopped in good order: nobody was killed
        raise
