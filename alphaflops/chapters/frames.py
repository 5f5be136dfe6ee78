"""From runs to the tidy tables that a chapter draws and puts into words."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from .. import experiments, layers
from ..costs import features, model
from ..costs.alpha import published_ms
from ..errors import AlphaflopsError
from ..fitting import fit_model
from ..runs import Run, datasets
from ..runs.datasets import AUTHORS
from .limits import rates

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
        Rows without a time left out; a machine whose name an earlier run has is "your …" or bears the run's id too, so
        that no table mixes the two.

    Raises
    ------
    AlphaflopsError
        If a run is unknown or damaged.
    """
    named = [runs] if isinstance(runs, str | Path) else list(runs)
    loaded = [datasets.load(name) for name in dict.fromkeys([AUTHORS, *reference_runs(), *map(str, named)])]
    held = {run.id: run for run in (*loaded, *mine)}  # what was just measured replaces what a folder held before
    own, shown = held.keys() - set(datasets.names()), list[Run]()
    for run in (described(run.ok) for run in held.values()):
        if run.machine in {one.machine for one in shown}:
            run = _named(run, f"your {run.machine}" if own == {run.id} else f"{run.machine} ({run.id})")
        shown.append(run)
    return tuple(shown)


def reference_runs() -> list[str]:
    """Names of the bundled runs over the paper's layers; of a CPU only the one on a single core, as in the paper."""
    runs = [described(datasets.load(name)) for name in datasets.bundled()]
    shown = [run for run in runs if run.meta.get("profile") in SHOWN]
    shown = [run for run in shown if run.meta["protocol"].get("name", "adaptive") == "adaptive"]
    single = {_processor(run) for run in shown if _threads(run) == 1}
    kept = [run.id for run in shown if _threads(run) == 1 or _processor(run) not in single]
    return sorted(kept, key=lambda name: (name != "cpu-1core", name))


def fine_runs() -> list[str]:
    """Names of the bundled runs over the replication's fine grids."""
    return [name for name in datasets.bundled() if datasets.load(name).meta.get("profile") == "fine"]


def _threads(run: Run) -> int:
    return int(run.meta["machine"].get("threads") or 0) if run.meta["device"] == "cpu" else 1


def _processor(run: Run) -> str:
    return run.machine.partition(",")[0]


def described(run: Run) -> Run:
    """Name the machine of a bundled run as ``datasets.json`` does, which tells what it really is."""
    entry = datasets.entries().get(run.id)
    return _named(run, entry.device) if entry and run.meta["origin"] == "measured" else run


def _named(run: Run, machine: str) -> Run:
    return Run({**run.meta, "machine": {**run.meta["machine"], "name": machine}}, run.table, run.samples)


def sweep(runs: Sequence[Run], figure: str) -> pd.DataFrame:
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
        One row per run and layer: the columns of `limits.rates`, ``macs`` (MAC), ``mflops`` (10⁶ FLOP), ``low_ms,
        high_ms`` (interval of the time, NaN where none is known), ``floor_ms`` (fastest layer of the run) and
        ``predicted_ms`` (α-FLOPs: the published constants on the authors' machine, refitted with a constant elsewhere).

    Raises
    ------
    AlphaflopsError
        If there is no such figure, or no run holds its layers.
    """
    keys = [(e.name, line.label) for e in experiments.select(figure) for line in e.lines]
    places = {key: place for place, key in enumerate(keys)}
    parts = [part for run in runs if len(part := _measured(run, places))]
    if not parts:
        raise AlphaflopsError(f"no run holds the layers of {figure!r}: measure them")
    return pd.concat(parts, ignore_index=True)


def _measured(run: Run, places: Mapping[tuple[str, str], int]) -> pd.DataFrame:
    frame, whole = rates(run), run.ok.table
    keys = zip(frame["experiment"], frame["line"], strict=True)
    frame = frame.assign(place=[places.get(key, -1) for key in keys])
    frame = frame[frame["place"] >= 0].sort_values(["place", "x"], kind="stable").drop(columns="place")
    if frame.empty:
        return frame
    return frame.assign(
        macs=layers.macs(frame),
        mflops=layers.flops(frame) / 1e6,
        low_ms=whole.get("latency_low_ms", np.nan),
        high_ms=whole.get("latency_high_ms", np.nan),
        floor_ms=whole["latency_ms"].min(),
        predicted_ms=predicted_ms(run, frame),
    )


def predicted_ms(run: Run, table: pd.DataFrame) -> Any:
    """Time by α-FLOPs of layers of a run's machine (ms), shape ``(n,)``; NaN where the run is too small for a fit."""
    if run.id == AUTHORS:
        return published_ms(table)
    values = fitted(run)
    return model("alpha+t0").predict_ms(table, values) if values else np.full(len(table), np.nan)


def fitted(run: Run) -> dict[str, float]:
    """Fit α-FLOPs and a constant to a run: the constants by name, none where the run is too small."""
    times = np.asarray(run.time_ms(), dtype=np.float64)
    try:
        return fit_model(model("alpha+t0"), features(run.table), times).parameters
    except AlphaflopsError:
        return {}


def equal_flops(frame: pd.DataFrame) -> pd.DataFrame:
    """Pick the layers of the paper's Figure 1a: 327.68 million FLOPs each; `frame` is the sweep of Figure 1."""
    return frame[frame["macs"] == experiments.TABLE_MACS].reset_index(drop=True)


def per_flop(frame: pd.DataFrame) -> pd.DataFrame:
    """Compare time per FLOP along lines of equal FLOPs, layers beyond the hardware left out.

    Returns
    -------
    DataFrame
        One row per machine and line: ``machine, line, factor`` (largest over least time per FLOP), ``left_out``
        (layers beyond the hardware), ``rises`` (rank correlation of time per FLOP with the swept value).
    """
    rows = []
    for (machine, line), part in frame.groupby(["machine", "line"], sort=False):
        kept = part[~part["beyond"]]
        cost = kept["time_ms"] / kept["mflops"]
        rises = kept["x"].corr(cost, method="spearman", min_periods=3)
        rows.append((machine, line, cost.max() / cost.min(), int(part["beyond"].sum()), rises))
    return pd.DataFrame(rows, columns=["machine", "line", "factor", "left_out", "rises"])


def growth(frame: pd.DataFrame) -> pd.DataFrame:
    """Fit the exponent with which time grows with FLOPs along each line, above the floor of a call.

    Layers faster than `FLOOR` times the run's fastest are left out: their time is the call, whatever they do.

    Returns
    -------
    DataFrame
        One row per machine, experiment and line with enough layers: ``machine, experiment, line, exponent, n`` (layers
        above the floor), ``left_out`` (layers on it).
    """
    rows = []
    for keys, part in frame.groupby(["machine", "experiment", "line"], sort=False):
        above = part[part["time_ms"] > FLOOR * part["floor_ms"]]
        if len(above) >= LEAST_POINTS:
            slope = float(np.polyfit(np.log(above["mflops"]), np.log(above["time_ms"]), 1)[0])
            rows.append((*keys, slope, len(above), len(part) - len(above)))
    return pd.DataFrame(rows, columns=["machine", "experiment", "line", "exponent", "n", "left_out"])
