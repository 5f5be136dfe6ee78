"""The book's networks on one machine: what estimates need of it is measured, and predictions stand beside times."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from .. import __version__
from ..costs import OURS
from ..errors import AlphaflopsError
from ..files import export_csv, write_atomic
from ..fitting import Calibration, fit, read_calibration
from ..host import describe
from ..layers import COLUMNS, as_table, from_row
from ..measuring.device import choose, opened
from ..measuring.protocol import for_profile
from ..network import Network, trace
from ..paths import data_folder
from ..runs import Run
from . import curves
from .estimating import report_on
from .operators import OperatorTable, depthwise_terms, layer_times, read_operators, tables
from .timing import ROUNDS, measure_network
from .zoo import NETWORKS, Networks


def choose_networks(names: tuple[str, ...]) -> Networks:
    """Give the book's networks of these names, or all.

    Raises
    ------
    AlphaflopsError
        If a name is unknown.
    """
    for name in names:
        if name not in NETWORKS:
            raise AlphaflopsError(f"network {name!r} is unknown: choose from {', '.join(NETWORKS)}")
    return {name: NETWORKS[name] for name in names or NETWORKS}


def measure_machine(
    run: Run, networks: Networks, *, profile: str, into: Path | None, say: Callable[[str], None]
) -> list[Path]:
    """Measure operators and networks on the machine of a run, and write what the book and `estimate` need of it.

    Parameters
    ----------
    run : Run
        Measured on this machine; it names device and threads.
    networks : mapping
        Name → builder and input.
    profile : str
        How narrow the intervals must be.
    into : Path or None
        Data folder; the project's own by default.
    say : callable
        Told what is being measured.

    Returns
    -------
    list of Path
        ``operators/RUN.json``, ``networks/RUN.csv`` and, where there was none, ``calibrations/RUN.json``.

    Raises
    ------
    AlphaflopsError
        If this is another machine than the run's, or a file cannot be written. Nothing is written before all is
        measured.
    """
    folder, small, settings = into or data_folder(), profile == "smoke", for_profile(profile)
    settings = replace(settings, latency_s=min(settings.latency_s, 0.25))
    chosen, threads = choose(str(run.meta["device"])), run.meta["machine"].get("threads")
    here = describe(chosen, threads)["name"]
    if here != run.machine:
        raise AlphaflopsError(f"run {run.id!r} was measured on {run.machine}, this is {here}: measure networks there")
    how: dict[str, Any] = {"device": chosen, "threads": threads, "profile": profile}
    frames: dict[tuple[str, str, int], pd.DataFrame] = {}
    parts = []
    grid = curves.layer_grid(4 if small else curves.GRID_LAYERS)
    deep = curves.depthwise_grid()[:: 6 if small else 1]
    say("operators and layers")
    with opened(chosen, settings, threads) as device:
        found, windows = curves.curves(device, settings, small=small), curves.pooling(device, settings)
        for part in range(curves.PARTS):  # networks see the same minutes as layers
            parts.append(curves.groups_in_turns(device, [*grid, *deep], 1 if small else ROUNDS, part))
            for name, (make, shape) in networks.items():
                say(f"{name}, {part + 1} of {curves.PARTS}")
                with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
                    torch.manual_seed(0)
                    model = make().eval()
                frames[run.sha256, name, part + 1] = measure_network(model, shape, layers=part == 0, **how)
        about = {"id": run.id, "sha256": run.sha256, "device": device.name, "threads": torch.get_num_threads()}
    about["turns"] = {"rounds": ROUNDS, "parts": curves.PARTS, "together": curves.TOGETHER}
    about["versions"] = {
        "alphaflops": __version__,
        **{name: metadata.version(name) for name in ("torch", "transformers")},
    }
    about["protocol"] = settings.record()
    times = [float(ms) for ms in np.median(parts, axis=0)]
    layers: dict[str, list[Any]] = {str(k): v.tolist() for k, v in as_table(grid).items()} | {"ms": times[: len(grid)]}
    fits = windows | {"depthwise": curves.fit_terms([depthwise_terms(layer) for layer in deep], times[len(grid) :])}
    written = [OperatorTable(about, found, fits, layers).write(folder / "operators" / f"{run.id}.json")]
    written.append(folder / "networks" / f"{run.id}.csv")
    written[-1].parent.mkdir(parents=True, exist_ok=True)
    rows = pd.concat(frames, names=["run_sha256", "network", "part"]).droplevel(-1).reset_index()
    write_atomic(written[-1], export_csv(rows))
    path = folder / "calibrations" / f"{run.id}.json"
    return written if path.is_file() else [*written, fit(run, OURS.name).save(path)]


def measured_networks() -> list[str]:
    """List the runs for whose machine operators and whole networks were measured too, by run id."""
    operators = {path.stem for path in tables()}
    return sorted(path.stem for path in (data_folder() / "networks").glob("*.csv") if path.stem in operators)


def measured(run: str) -> pd.DataFrame:
    """Read the times of networks and of their layers on the machine of a run, as `measure_network` gives them.

    Raises
    ------
    AlphaflopsError
        If no networks were measured for that run.
    """
    if run not in measured_networks():
        here = ", ".join(measured_networks()) or f"none; `alphaflops measure --networks {run}` makes them"
        raise AlphaflopsError(f"no networks were measured for run {run!r}: choose from {here}")
    return pd.read_csv(data_folder() / "networks" / f"{run}.csv")


def traced() -> dict[str, Network]:
    """Trace the forward pass of the networks of the book on the meta device."""
    with torch.device("meta"):
        return {name: trace(make().eval(), shape) for name, (make, shape) in NETWORKS.items()}


def comparison(networks: Mapping[str, Network], run: str) -> pd.DataFrame:
    """Predict every network that was measured on the machine of a run, and put the measured time beside it.

    Returns
    -------
    DataFrame
        ``network``, the totals of a report, ``measured_ms`` (median of the parts) and the parts of `parts`.
    """
    folder, times, rows = data_folder(), measured(run), []
    calibration = read_calibration(folder / "calibrations" / f"{run}.json")
    operators = read_operators(folder / "operators" / f"{run}.json")
    for name, network in networks.items():
        own = times[times["network"] == name].set_index("what")
        if "network" in own.index:
            ms = float(own.loc[["network"], "latency_ms"].median())
            totals = report_on(network, calibration, operators).total()
            del totals["unknown"]  # a list is no entry of a table
            split = parts(own.loc[["layer"]], calibration, operators, totals["predicted_ms"], ms)
            rows.append({"network": name, **totals, "measured_ms": ms, **split})
    return pd.DataFrame(rows)


def parts(
    alone: pd.DataFrame, calibration: Calibration, operators: OperatorTable | None, predicted_ms: float, ms: float
) -> dict[str, float]:
    """Split the time of a network, predicted and measured, into its layers as they are alone, and the rest.

    Parameters
    ----------
    alone : DataFrame
        Measured layers: columns of `alphaflops.layers.COLUMNS`, ``uses, latency_ms, turn_ms``.
    calibration, operators : Calibration, OperatorTable or None
        What predicts the layers.
    predicted_ms, ms : float
        Of the whole network, predicted and measured (ms).

    Returns
    -------
    dict
        ``layers_ms, turns_ms, alone_ms``: sum of the layers as predicted, as measured in turns, and as measured call
        after call; ``rest_ms, remaining_ms``: what the whole takes beyond the layers, predicted and measured (ms).
    """
    layers = [from_row({str(k): v for k, v in row.items()}) for row in alone[list(COLUMNS)].to_dict("records")]
    known = layer_times(calibration, operators, layers)
    times = alone[["turn_ms", "latency_ms"]].assign(layers_ms=[known[layer].predicted_ms for layer in layers])
    turns, called, own = times.mul(alone["uses"], axis=0).sum().tolist()
    parted = {"layers_ms": own, "turns_ms": turns, "alone_ms": called}
    return parted | {"rest_ms": predicted_ms - own, "remaining_ms": ms - turns}
