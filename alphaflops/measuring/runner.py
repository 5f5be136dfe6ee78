"""The loop over a grid: every row on disk before the next begins, and a finished run out of the journal at the end."""

import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AlphaflopsError
from ..layers import from_row
from ..runs import Run
from . import header as headers
from . import journal as journals
from .devices import Device
from .energy import choose_rows, open_meter
from .finish import finish, seconds_spent
from .opening import choose, opened
from .options import MeasureOptions
from .progress import Progress, Quiet
from .protocol import Protocol
from .sentinel import CALLS, SENTINEL
from .state import State
from .timing import Timing, summarise, time_layer

if TYPE_CHECKING:
    import pandas as pd


FIXED_AT_START = ("experiments", "title", "run_id")
"""Options that only a new run can take."""

HEAT_S = 1.5
"""Work before the first reading of the sentinel: libraries initialise and clocks rise meanwhile (s)."""


class Interrupted(AlphaflopsError):  # noqa: N818 - not an error: the user asked for it
    """The user stopped the run; it can be resumed."""


def run(
    grid: "pd.DataFrame",
    options: MeasureOptions,
    out: Path | str,
    progress: Progress | None = None,
    device: Device | None = None,
) -> Run:
    """Measure a grid of layers into a new folder.

    Parameters
    ----------
    grid : DataFrame
        As from `alphaflops.experiments.grid`: ``row, experiment, figure, line, x`` and the layer's columns.
    options : MeasureOptions
    out : path
        Folder of the run; must not exist or be empty.
    progress : Progress, optional
        Told of each row; nothing is said without one.
    device : Device, optional
        An open device to use instead of the one named in `options`.

    Returns
    -------
    Run
        The finished run, as written to `out`.

    Raises
    ------
    Interrupted
        On Ctrl-C or SIGTERM: the rows so far are kept and `resume` goes on.
    AlphaflopsError
        If the device is not here, an option is out of range, no row is left, the folder exists or cannot be written,
        the disk is full, or the device died.
    """
    out = Path(out)
    name = device.name if device else choose(options.device)
    if options.experiments:
        grid = _only(grid, options.experiments)
    if options.energy:
        grid = choose_rows(grid)
    settings = options.settings()
    journals.create(out)
    with journals.locked(out), ExitStack() as stack:
        journals.create(out)  # again, now that nobody else can write
        device = device or stack.enter_context(opened(name, settings, options.threads))
        head = headers.build(grid, options, name, out)
        with journals.Journal.begin(out, head) as journal:
            _measure(device, settings, head, (), journal, progress or Quiet())
        return finish(out)


def resume(
    out: Path | str,
    changes: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    device: Device | None = None,
) -> Run:
    """Finish the run in a folder: exactly its missing rows, in its own order.

    Parameters
    ----------
    changes : mapping, optional
        Options given anew (fields of `MeasureOptions`). Any that makes the timings different is refused unless its key
        is in ``allow_different``, and then recorded.

    Raises
    ------
    AlphaflopsError
        As `run`; also if the folder holds no unfinished run, the journal is damaged, or machine, driver, libraries or
        protocol differ from the run's (the key is named).
    """
    out, changes = Path(out), dict(changes or {})
    for name in FIXED_AT_START:
        if name in changes:
            raise AlphaflopsError(f"{name} cannot change while a run is resumed: leave it out or start a new run")
    if not (out / journals.JOURNAL_FILE).exists():
        raise AlphaflopsError(f"{out} holds no unfinished run: nothing to resume")
    with journals.locked(out), ExitStack() as stack:
        found = journals.read(out)
        options = replace(MeasureOptions(**_tuples(found.header["options"])), **changes)
        settings = options.settings()
        name = device.name if device else choose(options.device)
        device = device or stack.enter_context(opened(name, settings, options.threads))
        meta = headers.build(_grid(found.header), options, name, out)["meta"]
        different = headers.check_same(found.header["meta"], meta, options.allow_different)
        with journals.Journal(out, found.size, found.digest) as journal:
            journal.append({"type": "resumed", "started": meta["started"], "different": different})
            _measure(device, settings, found.header, found.entries, journal, progress or Quiet())
        return finish(out)


def _tuples(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}


def _grid(head: Mapping[str, Any]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(head["rows"])


def _only(grid: "pd.DataFrame", experiments: Sequence[str]) -> "pd.DataFrame":
    known = list(dict.fromkeys(grid["experiment"]))
    for name in experiments:
        if name not in known:
            raise AlphaflopsError(f"experiment {name!r} is not in this profile: choose from {', '.join(known)}")
    return grid[grid["experiment"].isin(experiments)]


@contextmanager
def _stoppable(out: Path, done: Mapping[int, Any], total: int) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into one message that says how to go on."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if main else None

    def stop(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    try:
        if main:
            signal.signal(signal.SIGTERM, stop)
        yield
    except KeyboardInterrupt:
        raise Interrupted(
            f"stopped after {len(done)} of {total} layers: go on with alphaflops measure --resume {out}"
        ) from None
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)


def _measure(
    device: Device,
    settings: Protocol,
    head: Mapping[str, Any],
    entries: Sequence[Mapping[str, Any]],
    journal: journals.Journal,
    progress: Progress,
) -> None:
    rows = {row["row"]: row for row in head["rows"]}
    done: dict[int, Any] = {entry["row"]: entry for entry in entries if entry["type"] == "row"}
    before = seconds_spent(entries)
    began = device.clock_ns()

    def elapsed() -> float:
        return before + max(device.clock_ns() - began, 0) / 1e9

    def heat() -> None:
        while elapsed() - before < HEAT_S:
            if time_layer(device, SENTINEL, _sentinel_settings(settings), ("latency",)).status != "ok":
                return

    def sentinel() -> float:
        timing = time_layer(device, SENTINEL, _sentinel_settings(settings), ("latency",))
        if timing.status == "ok":
            reading = round(float(np.median(timing.latency_ns)) / 1e6, 6)
            journal.append({"type": "sentinel", "elapsed_s": round(elapsed(), 3), "median_ms": reading})
        return elapsed()

    with _stoppable(journal.path.parent, done, len(rows)), ExitStack() as stack:
        meter = stack.enter_context(open_meter(device)) if head["meta"]["energy"] else None
        progress.start(len(rows), len(done))
        stack.callback(progress.close)
        heat()
        last = sentinel()
        for place, key in enumerate(head["order"]):
            if key in done:
                continue
            if elapsed() - last > settings.sentinel_s:
                last = sentinel()
            layer, start = from_row(rows[key]), elapsed()
            device.watch.begin()
            timing = time_layer(device, layer, settings)
            entry = {"type": "row", "row": key, "order": place, "elapsed_s": round(start, 3)}
            entry |= _entry(timing, device.watch.end())
            if meter is not None and timing.status == "ok":
                call_s = float(np.median(timing.throughput_ns or timing.latency_ns)) / 1e9
                entry["energy"] = meter.measure(layer, call_s)
            journal.append(entry)
            done[key] = entry
            latency = summarise(np.asarray(timing.latency_ns) / 1e6, settings) if timing.latency_ns else None
            label = f"{rows[key]['experiment']} {rows[key]['line']}, x = {rows[key]['x']}"
            progress.row(label, latency, elapsed() - before)
        sentinel()
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        journal.append({"type": "end", "elapsed_s": round(elapsed(), 3), "finished": finished})


def _entry(timing: Timing, state: State) -> dict[str, Any]:
    """Give what the journal keeps of a timing and of the device's state, as plain values."""
    kept = vars(timing) | {"throughput_ns": [round(ns, 1) for ns in timing.throughput_ns]}
    return kept | state.record() | {"flags": [*timing.flags, *state.flags]}


def _sentinel_settings(settings: Protocol) -> Protocol:
    adaptive = replace(Protocol(), tf32=settings.tf32, memory_format=settings.memory_format)
    return replace(adaptive, smallest=CALLS, largest=CALLS, latency_s=5.0, cold_cache=settings.cold_cache)
