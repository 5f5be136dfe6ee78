"""From runs to the tidy tables that a chapter draws and puts into words."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .. import experiments, layers
from ..costs import features, model
from ..costs.alpha import published_ms
from ..errors import AlphaflopsError
from ..fitting import fit_model
from ..runs import Run, datasets
from ..runs.sources import AUTHORS
from .limits import beyond

if TYPE_CHECKING:
    import pandas as pd

SHOWN: Final = ("smoke", "quick", "paper")
"""Profiles over the paper's own grid: runs of these are in every chapter."""
FLOOR: Final = 2.0
"""Multiple of a run's fastest layer up to which time is mostly the call itself."""
LEAST_POINTS: Final = 4
"""Points above the floor that a line needs for an exponent."""


def load(runs: str | Path | Iterable[str | Path] = (), mine: Iterable[Run] = ()) -> tuple[Run, ...]:
    """Load what a chapter shows: the authors' data, our run of the same layers on one CPU core, and the reader's.

    Parameters
    ----------
    runs : str, Path or several of them
        Names of runs or data sets, run folders or CSV files to show beside the others.
    mine : iterable of Run
        Runs at hand, such as those just measured.

    Returns
    -------
    tuple of Run
        Rows without a time left out; machines of the same name told apart.

    Raises
    ------
    AlphaflopsError
        If a run is unknown or damaged.
    """
    named = [runs] if isinstance(runs, str | Path) else list(runs)
    loaded = [datasets.load(name) for name in dict.fromkeys([AUTHORS, *reference_runs(), *map(str, named)])]
    held = {run.id: run for run in (*loaded, *mine)}  # what was just measured replaces what a folder held before
    known = set(datasets.names())
    own = [name for name in held if name not in known]
    return tuple(_told_apart((run.ok for run in held.values()), own[0] if len(own) == 1 else None))


def reference_runs() -> list[str]:
    """Names of the bundled runs over the paper's layers; of a CPU only the one on a single core, as in the paper."""
    runs = [described(datasets.load(name)) for name in datasets.bundled()]
    shown = [run for run in runs if run.meta.get("profile") in SHOWN and _plain(run)]
    single = {run.machine for run in shown if _threads(run) == 1}
    several = [run.id for run in shown if _threads(run) != 1 and any(_same_cpu(run.machine, name) for name in single)]
    return sorted((run.id for run in shown if run.id not in several), key=lambda name: (name != "cpu-1core", name))


def fine_runs() -> list[str]:
    """Names of the bundled runs over the replication's fine grids."""
    return [name for name in datasets.bundled() if datasets.load(name).meta.get("profile") == "fine"]


def _plain(run: Run) -> bool:
    return bool(run.meta["protocol"].get("name", "adaptive") == "adaptive")


def _threads(run: Run) -> int:
    return int(run.meta["machine"].get("threads") or 0) if run.meta["device"] == "cpu" else 1


def _same_cpu(one: str, other: str) -> bool:
    return one.partition(",")[0] == other.partition(",")[0]


def described(run: Run) -> Run:
    """Name the machine of a bundled run as ``datasets.json`` does, which tells what it really is."""
    entry = datasets.entries().get(run.id)
    return _named(run, entry.device) if entry and run.meta["origin"] == "measured" else run


def _named(run: Run, machine: str) -> Run:
    return Run({**run.meta, "machine": {**run.meta["machine"], "name": machine}}, run.table, run.samples)


def _told_apart(runs: Iterable[Run], yours: str | None = None) -> Iterator[Run]:
    """Name a machine apart where an earlier run has it, "your …" or by the run's id: no table then mixes the two."""
    taken: set[str] = set()
    for run in map(described, runs):
        if run.machine in taken:
            run = _named(run, f"your {run.machine}" if run.id == yours else f"{run.machine} ({run.id})")
        taken.add(run.machine)
        yield run


def sweep(runs: Sequence[Run], figure: str) -> "pd.DataFrame":
    """Gather the measured layers of one figure.

    Parameters
    ----------
    runs : sequence of Run
        As given by `load`; those without these layers are left out.
    figure : str
        A figure of the paper, a letter of the replication or the name of an experiment.

    Returns
    -------
    DataFrame
        One row per run and layer: ``run, machine, gpu, experiment, line, x``, the layer's columns, ``macs`` (MAC),
        ``mflops`` (10⁶ FLOP), ``mbytes`` (10⁶ bytes, least traffic), ``time_ms`` (latency), ``low_ms, high_ms``
        (its interval, NaN where none is known), ``floor_ms`` (fastest layer of the run), ``beyond`` (whether the
        hardware cannot have done all counted products) and ``predicted_ms`` (α-FLOPs: the published constants on the
        authors' machine, refitted with a constant elsewhere).

    Raises
    ------
    AlphaflopsError
        If there is no such figure, or no run holds its layers.
    """
    import pandas as pd

    wanted = experiments.select(figure)
    order = [(e.name, line.label) for e in wanted for line in e.lines]
    parts = [_measured(run, [e.name for e in wanted]) for run in runs]
    frame = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    if frame.empty:
        raise AlphaflopsError(f"no run holds the layers of {figure!r}: measure them")
    place = {key: i for i, key in enumerate(order)}
    keys = zip(frame["experiment"], frame["line"], strict=True)
    frame = frame.assign(order=[place.get(key, -1) for key in keys], shown=frame["run"].map([r.id for r in runs].index))
    frame = frame[frame["order"] >= 0].sort_values(["shown", "order", "x"], kind="stable")
    return frame.drop(columns=["shown", "order"]).reset_index(drop=True)


def _measured(run: Run, names: Sequence[str]) -> "pd.DataFrame":
    whole = run.table
    table = whole[whole["experiment"].isin(names)]
    unknown = {name: float("nan") for name in ("latency_low_ms", "latency_high_ms") if name not in table}
    table = table.assign(**unknown)
    kept: pd.DataFrame = table[["experiment", "line", "x", *layers.COLUMNS]].assign(
        run=run.id,
        machine=run.machine,
        gpu=run.meta["device"] == "cuda",
        macs=layers.macs(table),
        mflops=layers.flops(table) / 1e6,
        mbytes=layers.bytes_moved(table) / 1e6,
        time_ms=table["latency_ms"],
        low_ms=table["latency_low_ms"],
        high_ms=table["latency_high_ms"],
        floor_ms=whole["latency_ms"].min(),
        beyond=beyond(run)[whole["experiment"].isin(names).to_numpy()],
        predicted_ms=predicted_ms(run, table) if len(table) else float("nan"),
    )
    return kept


def predicted_ms(run: Run, table: "pd.DataFrame") -> Any:
    """Time by α-FLOPs of layers of a run's machine (ms), shape ``(n,)``; NaN where the run is too small for a fit."""
    if run.id == AUTHORS:
        return published_ms(table)
    form = model("alpha+t0")
    try:
        values = fit_model(form, features(run.table), np.asarray(run.time_ms(), dtype=np.float64)).parameters
    except AlphaflopsError:
        return np.full(len(table), np.nan)
    return form.predict_ms(table, values)


def equal_flops(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Pick the layers of the paper's Figure 1a: 327.68 million FLOPs each; `frame` is the sweep of Figure 1."""
    return frame[frame["macs"] == experiments.TABLE_MACS].reset_index(drop=True)


def per_flop(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Compare time per FLOP along lines of equal FLOPs, layers beyond the hardware left out.

    Returns
    -------
    DataFrame
        One row per machine and line: ``machine, line, factor`` (largest over least time per FLOP), ``left_out``
        (layers beyond the hardware), ``rises`` (rank correlation of time per FLOP with the swept value).
    """
    import pandas as pd
    from scipy.stats import spearmanr

    rows = []
    for (machine, line), part in frame.groupby(["machine", "line"], sort=False):
        kept = part[~part["beyond"]]
        cost = kept["time_ms"] / kept["mflops"]
        rank = float(spearmanr(kept["x"], cost).statistic) if len(kept) > 2 else float("nan")
        row = {"machine": machine, "line": line, "factor": cost.max() / cost.min()}
        rows.append({**row, "left_out": int(part["beyond"].sum()), "rises": rank})
    return pd.DataFrame(rows)


def growth(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Fit the exponent with which time grows with FLOPs along each line, above the floor of a call.

    Layers faster than `FLOOR` times the run's fastest are left out: their time is the call, whatever they do.

    Returns
    -------
    DataFrame
        One row per machine, experiment and line with enough layers: ``machine, experiment, line, exponent, n`` (layers
        above the floor), ``left_out`` (layers on it).
    """
    import pandas as pd

    rows = []
    for (machine, experiment, line), part in frame.groupby(["machine", "experiment", "line"], sort=False):
        above = part[part["time_ms"] > FLOOR * part["floor_ms"]]
        if len(above) >= LEAST_POINTS:
            slope = np.polyfit(np.log(above["mflops"]), np.log(above["time_ms"]), 1)[0]
            row = {"machine": machine, "experiment": experiment, "line": line, "exponent": float(slope)}
            rows.append({**row, "n": len(above), "left_out": len(part) - len(above)})
    return pd.DataFrame(rows, columns=["machine", "experiment", "line", "exponent", "n", "left_out"])
