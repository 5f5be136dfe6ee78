"""From runs to the tidy tables that are drawn and put into words."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .. import experiments, layers
from ..costs.alpha import published_ms
from ..errors import AlphaflopsError
from ..runs import RUN_FILE, Run, datasets, read_json
from ..runs.upstream import AUTHORS

if TYPE_CHECKING:
    import pandas as pd

SHOWN: Final = ("smoke", "quick", "paper")
"""Profiles over the paper's own grid: bundled runs of these are in every chapter, also one that was imported."""


def reference_runs() -> list[str]:
    """Names of the bundled runs that the book shows by default: our protocol on the paper's grid, whole or thinned."""
    folder = datasets.runs_folder()
    names = [name for name in datasets.bundled() if _is_reference(read_json(folder / name / RUN_FILE))]
    first = ("cpu-1core", "cpu-allcores")
    return sorted(names, key=lambda name: (first.index(name) if name in first else len(first), name))


def with_fine(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Add the bundled runs of the profile ``fine``: only the chapters on the replication and the claims show them."""
    held = {run.id for run in runs}
    fine = [run for name in datasets.bundled() if (run := datasets.load(name)).meta.get("profile") == "fine"]
    return tuple(
        _told_apart([*runs, *(_renamed(run.ok, f"{run.machine}, fine grids") for run in fine if run.id not in held)])
    )


def _renamed(run: Run, machine: str) -> Run:
    return Run({**run.meta, "machine": {**run.meta["machine"], "name": machine}}, run.table, run.samples)


def _is_reference(meta: Mapping[str, Any]) -> bool:
    return meta.get("profile") in SHOWN and meta["protocol"].get("name", "adaptive") == "adaptive"


def load(runs: Iterable[str | Path] = ()) -> tuple[Run, ...]:
    """Load the authors' data, the bundled reference runs and further runs, rows without a time left out.

    Parameters
    ----------
    runs : iterable of str or Path
        Names of runs or data sets, run folders or CSV files to show beside the authors' data and `reference_runs`.

    Raises
    ------
    AlphaflopsError
        If a run is unknown or damaged, or given twice.
    """
    wanted = dict.fromkeys([AUTHORS, *reference_runs(), *map(str, runs)])
    loaded = [datasets.load(name) for name in wanted]
    ids = [run.id for run in loaded]
    for run_id in ids:
        if ids.count(run_id) > 1:
            raise AlphaflopsError(f"run {run_id!r} is given twice: name each run once")
    own = [run.id for run in loaded if run.id not in datasets.names()]
    return tuple(_told_apart((run.ok for run in loaded), own[0] if len(own) == 1 else None))


def _told_apart(runs: Iterable[Run], yours: str | None = None) -> Iterator[Run]:
    """Name a machine apart where an earlier run has it, "your …" or by the run's id: no table then mixes the two."""
    taken: set[str] = set()
    for run in runs:
        if run.machine in taken:
            run = _renamed(run, f"your {run.machine}" if run.id == yours else f"{run.machine} ({run.id})")
        taken.add(run.machine)
        yield run


def machines(runs: Sequence[Run]) -> dict[str, str]:
    """Name each run's machine, with the run's id where two runs share a machine."""
    names = [run.machine for run in runs]
    return {run.id: run.machine if names.count(run.machine) == 1 else f"{run.machine} ({run.id})" for run in runs}


def scale(run: Run) -> float:
    """Factor that turns the published times into this machine's: 1 for the authors' data.

    Elsewhere the formula's shape is compared, not its speed: the factor is the median of measured over published time
    in all layers of the paper that the run holds.
    """
    if run.id == AUTHORS:
        return 1.0
    table = run.table[run.table["experiment"].isin([e.name for e in experiments.PAPER])]
    return float((table["latency_ms"] / published_ms(table)).median())


def sweep(runs: Sequence[Run], experiment: str) -> "pd.DataFrame":
    """Gather one experiment of several runs.

    Parameters
    ----------
    runs : sequence of Run
        Runs as given by `load`; those without this experiment are left out.
    experiment : str
        Name of an experiment of the paper.

    Returns
    -------
    DataFrame
        One row per run and layer: ``run, machine, line, x``, the layer's columns, ``macs`` (MAC), ``bytes`` (least
        traffic), ``time_ms`` (measured latency), ``low_ms, high_ms`` (its interval, NaN where none is known),
        ``scale`` and ``predicted_ms`` (published formula times the scale).

    Raises
    ------
    AlphaflopsError
        If the experiment is unknown or no run holds it.
    """
    import pandas as pd

    wanted = experiments.find(experiment)
    order = {line.label: i for i, line in enumerate(wanted.lines)}
    names = machines(runs)
    parts = []
    for run in runs:
        table = run.table[run.table["experiment"] == experiment]
        table = table[table["line"].isin(list(order))]
        if len(table):
            parts.append(_measured(run, table, names[run.id]))
    if not parts:
        raise AlphaflopsError(f"no run holds {experiment!r}: measure a profile of the paper")
    frame = pd.concat(parts, ignore_index=True)
    frame["order"] = frame["line"].map(order)
    return frame.sort_values(["order", "x"], kind="stable").drop(columns="order").reset_index(drop=True)


def _measured(run: Run, table: "pd.DataFrame", machine: str) -> "pd.DataFrame":
    factor = scale(run)
    unknown = {name: float("nan") for name in ("latency_low_ms", "latency_high_ms") if name not in table}
    table = table.assign(**unknown)
    return table[["line", "x", *layers.COLUMNS]].assign(
        run=run.id,
        machine=machine,
        macs=layers.macs(table),
        bytes=layers.bytes_moved(table),
        time_ms=table["latency_ms"],
        low_ms=table["latency_low_ms"],
        high_ms=table["latency_high_ms"],
        scale=factor,
        predicted_ms=factor * published_ms(table),
    )


def equal_flops(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Pick the layers of the paper's Figure 1a from the frame of ``conv_fixed_progressive``: 327.68 million FLOPs each.

    A thinned run keeps both ends of every line, so this size is always among them.
    """
    return frame[frame["macs"] == experiments.TABLE_MACS].reset_index(drop=True)
