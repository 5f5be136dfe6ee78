"""From runs to the tidy tables that a chapter draws, and what each layer reaches of what its hardware can do."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from .. import experiments
from ..costs import features, model
from ..costs.alpha import published_ms
from ..errors import AlphaflopsError
from ..fitting import fit_model
from ..layers import COLUMNS, bytes_moved, flops, macs, valid_macs
from ..runs import Run, datasets
from ..runs.datasets import AUTHORS

SHOWN: Final = ("smoke", "quick", "paper")
"""Profiles over the paper's own grid: runs of these are in every chapter."""
STREAMED_BYTES: Final = 40e6
"""Least traffic from which on no cache of these devices holds a layer: it must come from memory (bytes)."""
BEYOND: Final = 1.1
"""Multiple of a peak from which on a layer is called beyond the hardware: clocks and timers are not exact."""
CLASSES: Final = ("1×1 or dense", "larger kernels")


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
    named, known = [runs] if isinstance(runs, str | Path) else list(runs), set(datasets.names())
    wanted = dict.fromkeys([AUTHORS, *reference_runs(), *map(str, named)])
    loaded = [datasets.load(name) if name in known else _distinct(datasets.load(name)) for name in wanted]
    # what was just measured replaces what a folder held before
    held = {run.id: run for run in (*loaded, *map(_distinct, mine))}
    own, shown = held.keys() - known, list[Run]()
    for run in (described(run.ok) for run in held.values()):
        if run.machine in {one.machine for one in shown}:
            run = _named(run, f"your {run.machine}" if own == {run.id} else f"{run.machine} ({run.id})")
        shown.append(run)
    return tuple(shown)


def is_data_set(run: Run) -> bool:
    """Whether a run is the data set of its name, by its hash, and does not merely bear the name."""
    return run.id in datasets.names() and run.sha256 == datasets.load(run.id).sha256


def _distinct(run: Run) -> Run:
    """Give a run another name where it bears that of a data set and is another."""
    if run.id not in datasets.names() or is_data_set(run):
        return run
    return Run.made({**run.meta, "run_id": f"my-{run.id}"}, run.table, run.samples)


def reference_runs() -> list[str]:
    """Names of the bundled runs over the paper's layers, a machine's only once; of a CPU the one on a single core."""
    metas, entries, own = datasets.metas(), datasets.entries(), datasets.registered()
    shown = [name for name in bundled(*SHOWN) if name not in own or own[name].role != "apart"]
    shown = [name for name in shown if metas[name]["protocol"].get("name", "adaptive") == "adaptive"]
    processor = {name: entries[name].device.partition(",")[0] for name in shown}
    single = [n for n in shown if metas[n]["device"] != "cpu" or metas[n]["machine"].get("threads") == 1]
    known = {processor[name] for name in single}
    kept = [name for name in shown if name in single or processor[name] not in known]
    return [name for name in entries if name in kept]


def bundled(*profiles: str) -> list[str]:
    """Names of the bundled runs of some profiles, such as ``fine``, the replication's fine grids; none of joules."""
    runs = datasets.metas()
    return [name for name, meta in runs.items() if meta.get("profile") in profiles and not meta.get("energy")]


def devices(runs: Iterable[Run] = ()) -> dict[str, str]:
    """Name what every data set, and further runs, were timed on."""
    return {run.id: run.machine for run in runs} | {name: e.device for name, e in datasets.entries().items()}


def described(run: Run) -> Run:
    """Name the machine of a bundled run as ``datasets.json`` does, which tells what it really is."""
    entry = datasets.entries().get(run.id)
    return _named(run, entry.device) if entry and run.meta["origin"] == "measured" else run


def _named(run: Run, machine: str) -> Run:
    return Run.made({**run.meta, "machine": {**run.meta["machine"], "name": machine}}, run.table, run.samples)


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
        One row per run and layer: the columns of `rates`, ``macs`` (MAC), ``mflops`` (10⁶ FLOP), ``low_ms,
        high_ms`` (interval of the time, NaN where none is known), ``floor_ms`` (fastest layer of the run) and
        ``predicted_ms`` (α-FLOPs: the published constants on the authors' machine, refitted with a constant elsewhere).

    Raises
    ------
    AlphaflopsError
        If there is no such figure, or no run holds its layers.
    """
    wanted = experiments.grid(figure)[["experiment", "line"]].drop_duplicates()
    parts = [part for run in runs if len(part := _measured(run, wanted))]
    if not parts:
        raise AlphaflopsError(f"no run holds the layers of {figure!r}: measure them")
    return pd.concat(parts, ignore_index=True)


def _measured(run: Run, wanted: pd.DataFrame) -> pd.DataFrame:
    """Give the layers of a run that are on the lines wanted, in their order."""
    table = run.ok.table
    frame = rates(run).assign(
        macs=macs(table),
        mflops=flops(table) / 1e6,
        low_ms=table.get("latency_low_ms", np.nan),
        high_ms=table.get("latency_high_ms", np.nan),
        floor_ms=table["latency_ms"].min(),
    )
    frame = wanted.merge(frame.sort_values("x", kind="stable"))
    return frame if frame.empty else frame.assign(predicted_ms=predicted_ms(run, frame))


def predicted_ms(run: Run, table: pd.DataFrame) -> Any:
    """Time by α-FLOPs of layers of a run's machine (ms), shape ``(n,)``; NaN where the run is too small for a fit."""
    if run.id == AUTHORS:
        return published_ms(table)
    values = fitted(run)
    return model("alpha+t0").predict_ms(table, values) if values else np.full(len(table), np.nan)


@lru_cache(maxsize=16)
def fitted(run: Run) -> dict[str, float]:
    """Fit α-FLOPs and a constant to a run: the constants by name, none where the run is too small."""
    with suppress(AlphaflopsError):
        return fit_model(model("alpha+t0"), features(run.table), np.asarray(run.time_ms(), np.float64)).parameters
    return {}


def equal_flops(frame: pd.DataFrame) -> pd.DataFrame:
    """Pick the layers of the paper's Figure 1a: 327.68 million FLOPs each; `frame` is the sweep of Figure 1."""
    return frame[frame["macs"] == experiments.TABLE_MACS].reset_index(drop=True)


def peaks(run: Run) -> tuple[float, float] | None:
    """Give the data-sheet peaks of a run's device: 10¹² FLOP/s of fp32 and 10⁹ bytes/s; None where they are not known.

    Those of the run's own entry in ``datasets.json``, or of another that names the same device.
    """
    known = datasets.entries()
    entry = known.get(run.id) or next((e for e in known.values() if e.device == run.machine), None)
    if entry is None or entry.peak_tflops is None or entry.peak_gbs is None:
        return None
    return entry.peak_tflops, entry.peak_gbs


def rates(run: Run) -> pd.DataFrame:
    """Compute what each layer of a run reaches.

    Returns
    -------
    DataFrame
        The run's rows: ``run, machine, experiment, line, x``, sizes, ``time_ms``, ``tflops`` (10¹² FLOP/s, 2 per MAC,
        padding counted), ``gbs`` (10⁹ bytes/s of least traffic), ``mbytes`` (10⁶ bytes), ``intensity`` (FLOP per
        byte), ``roof`` (10¹² FLOP/s that the data sheet allows; NaN where no peak is known), ``valid_share`` (products
        that touch data, 0 to 1), ``class`` (one of `CLASSES`) and ``beyond``: whether the layer exceeds the hardware by
        more than a tenth, in arithmetic, or in bytes from memory where no cache can hold it; never where no peak is
        known.
    """
    table, (arithmetic, bandwidth) = run.ok.table, peaks(run) or (np.nan, np.nan)
    seconds, moved, done = table["latency_ms"] / 1e3, bytes_moved(table), flops(table)
    tflops, gbs = done / seconds / 1e12, moved / seconds / 1e9
    return table[["experiment", "line", "x", *COLUMNS]].assign(
        run=run.id,
        machine=run.machine,
        time_ms=table["latency_ms"],
        mbytes=moved / 1e6,
        tflops=tflops,
        gbs=gbs,
        intensity=done / moved,
        roof=np.minimum(arithmetic, bandwidth * done / moved / 1e3),
        valid_share=valid_macs(table) / macs(table),
        beyond=(tflops > BEYOND * arithmetic) | (moved >= STREAMED_BYTES) & (gbs > BEYOND * bandwidth),
        **{"class": np.where((table["k1"] * table["k2"] == 1).to_numpy(), *CLASSES)},
    )


def sizes(row: Any) -> str:
    """Write a layer's sizes in words: ``dense 400 → 400`` or ``3×3 conv on 10×10, 100 → 50``."""
    channels, batch = f"{row['in_channels']} → {row['out_channels']}", row["batch"]
    more = f", batch {batch}" if batch > 1 else ""
    if row["kind"] == "dense":
        return f"dense {channels}{more}"
    return f"{row['k1']}×{row['k2']} conv on {row['height']}×{row['width']}, {channels}{more}"
