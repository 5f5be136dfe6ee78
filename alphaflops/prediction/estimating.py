"""Estimate what a network costs on a calibrated machine, from a module or from the name of a factory.

A formula in milliseconds becomes one in millijoules when its times are replaced by energies; each rate then counts per
joule instead of per second. Nothing is derived from a rated power.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from ..costs import OURS
from ..costs.alpha import alpha_flops
from ..errors import AlphaflopsError
from ..fitting import Calibration, fit, read_calibration
from ..network import Network, trace
from ..network.inputs import Inputs, build, parse_shape
from ..paths import data_folder
from ..runs import Run
from .operators import OperatorTable, bundled_operators, read_operators
from .predict import NOTHING, Predictor, total_interval
from .report import COLUMNS, Report, notes_of

if TYPE_CHECKING:
    import pandas as pd
    import torch

Chosen: TypeAlias = Calibration | Path | str | None

ENERGY: Final = "energy"
"""Quantity of a calibration that predicts millijoules."""


def calibrations() -> list[str]:
    """Names of the bundled calibrations."""
    return sorted(path.stem for path in (data_folder() / "calibrations").glob("*.json"))


def find_calibration(chosen: Calibration | Path | str) -> Calibration:
    """Take a calibration, its file, or the name of a bundled one.

    Raises
    ------
    AlphaflopsError
        If there is none; the message lists those present.
    """
    if isinstance(chosen, Calibration):
        return chosen
    for path in (Path(chosen), data_folder() / "calibrations" / f"{chosen}.json"):
        if path.is_file():
            return read_calibration(path)
    here = ", ".join(calibrations()) or "none; `alphaflops fit RUN --out FILE` makes one"
    raise AlphaflopsError(f"calibration {str(chosen)!r} is not here: give a file or one of {here}")


def default_energy(folder: Path, calibration: Calibration) -> Path | None:
    """File with the joules of the same machine in a folder of calibrations, or None where there is none."""
    path = folder / joules_file(str(calibration.run["id"]))
    return path if path.is_file() else None


def _chosen(chosen: Chosen, joules: bool) -> Calibration | None:
    """Find a calibration, and check that it predicts joules, or times."""
    found = None if chosen is None else find_calibration(chosen)
    if found is not None and (found.run.get("quantity") == ENERGY) != joules:
        instead = (
            "times, not joules: fit an energy run with `alphaflops fit RUN --quantity energy --out FILE`"
            if joules
            else "joules, not times: pass it as energy"
        )
        raise AlphaflopsError(f"calibration of {found.run['id']!r} gives {instead}")
    return found


def estimate(
    model: "torch.nn.Module",
    inputs: Inputs,
    calibration: Chosen = None,
    *,
    training: bool = False,
    operators: OperatorTable | Path | str | None = None,
    energy: Chosen = None,
    with_data: "Callable[[], torch.nn.Module] | None" = None,
) -> Report:
    """Say what one call of a network costs, without running it.

    Parameters
    ----------
    model : torch.nn.Module
        Network, with weights or on the meta device; it is called in its own mode and left as it was.
    inputs : tensor, shape, or a list or mapping of those
        What it is called with.
    calibration : Calibration, path or str, optional
        Machine to predict for; without one the report counts only.
    training : bool
        Forward and backward pass rather than forward alone.
    operators : OperatorTable or path, optional
        Curves for operators that no formula covers; by default those bundled for the calibration's run.
    energy : Calibration, path or str, optional
        A calibration that gives joules, for the column ``energy_j``; by default the bundled one of the same machine.
    with_data : callable, optional
        Gives the same network with weights, for one on the meta device; see `alphaflops.network.trace`.

    Returns
    -------
    Report
        Table, totals and notes.

    Raises
    ------
    AlphaflopsError
        If the network cannot be traced with this input, or the calibration is not here.
    """
    times = _chosen(calibration, joules=False)
    if energy is None and times is not None:
        energy = default_energy(data_folder() / "calibrations", times)
    joules = _chosen(energy, joules=True)
    network = trace(model, inputs, backward=training, with_data=with_data)
    if operators is None and times is not None:
        operators = bundled_operators(str(times.run.get("sha256")))
    table = read_operators(operators) if isinstance(operators, (Path, str)) else operators
    return report_on(network, times, table, joules)


def report_on(
    network: Network,
    calibration: Calibration | None,
    operators: OperatorTable | None = None,
    energy: Calibration | None = None,
) -> Report:
    """Predict a traced network; see `estimate`."""
    frame = network.to_pandas().rename(columns={"name": "operator"})
    frame["alpha_flops"] = _alpha_flops(network)
    unknown = [(replace(NOTHING, source=""), False)] * len(network.operations)
    found = unknown if calibration is None else Predictor(calibration, operators).network(network)
    joules = unknown if energy is None else Predictor(energy, None).network(network)
    frame[["predicted_ms", "low_ms", "high_ms"]] = np.array([guess.ends for guess, _ in found]).reshape(-1, 3)
    frame["source"] = [guess.source for guess, _ in found]
    frame["outside"] = np.array([beyond for _, beyond in found], dtype=bool)
    frame["share"] = frame["predicted_ms"] / frame["predicted_ms"].sum()
    frame["energy_j"] = np.array([guess.ms / 1e3 for guess, _ in joules], dtype=np.float64)
    totals = _totals(network, frame, operators.rho if operators else 1.0)
    name = f"{calibration.run['id']}, {calibration.model}" if calibration is not None else ""
    notes = notes_of(network, frame, totals, calibration)
    if calibration is not None and energy is None:
        notes += (f"no energy: nobody measured joules on the machine of {calibration.run['id']}",)
    return Report(network, frame[list(COLUMNS)], totals, name, notes)


def _alpha_flops(network: Network) -> Any:
    """α · FLOPs of each operator with the authors' constants (FLOP), summed over its layers."""
    flat = [(i, one.count, one.layer) for i, o in enumerate(network.operations) for one in o.layers]
    if not flat:
        return 0.0
    rows, counts, layers = zip(*flat, strict=True)
    return np.bincount(rows, alpha_flops(layers) * np.array(counts), len(network.operations))


def _totals(network: Network, frame: "pd.DataFrame", rho: float) -> dict[str, Any]:
    groups = [o.layers or (o.name, o.bytes) for o in network.operations]
    interval = total_interval(frame["predicted_ms"], frame["low_ms"], frame["high_ms"], groups, rho)
    uncovered = frame.loc[frame["family"] != "multiply", "predicted_ms"].sum()
    times = (*interval, uncovered, frame.loc[frame["outside"], "share"].sum())
    known = frame["predicted_ms"].notna().any()
    names = ("predicted_ms", "low_ms", "high_ms", "uncovered_ms", "outside_share")
    return {
        "params": network.params,
        "macs": network.macs,
        "flops": network.flops,
        "alpha_flops": float(frame["alpha_flops"].sum()),
        "bytes": int(frame["bytes"].sum()),
        **{name: float(value) if known else float("nan") for name, value in zip(names, times, strict=True)},
        "operators": len(frame),
        "unknown": list(network.unknown),
        "energy_j": float(frame["energy_j"].sum(min_count=1)),
    }


def estimate_factory(
    factory: str,
    inputs: Sequence[str],
    kwargs_json: str | None = None,
    calibration: Chosen = None,
    *,
    training: bool = False,
    energy: Chosen = None,
) -> Report:
    """Estimate what a factory builds, in evaluation mode unless `training`.

    Parameters
    ----------
    factory : str
        ``package.module:factory``, also a module in the current folder.
    inputs : sequence of str
        Shapes such as ``"1,3,224,224"`` or ``"1,128:int64"``, or ``name=shape`` for keyword inputs.
    kwargs_json : str, optional
        Arguments of the factory as a JSON object.
    calibration, energy : Calibration, path or str, optional
        As in `estimate`.
    training : bool
        Training mode, forward and backward.

    Raises
    ------
    AlphaflopsError
        For every mistake in the arguments, in one line.
    """
    try:
        kwargs = json.loads(kwargs_json) if kwargs_json else {}
    except ValueError as error:
        raise AlphaflopsError(f"arguments {kwargs_json!r} are not valid JSON: {error}") from error
    if not isinstance(kwargs, dict):
        raise AlphaflopsError(f"arguments {kwargs_json!r} are no JSON object: give them by name")
    if not inputs:
        raise AlphaflopsError("no input is given: add one such as 1,3,224,224")
    named = [text.rpartition("=") for text in inputs]
    shapes = {name or str(i): parse_shape(shape) for i, (name, _, shape) in enumerate(named)}
    names = [name for name, _, _ in named]
    if any(names) and not all(names):
        raise AlphaflopsError("some inputs have a name and some do not: name all or none")
    model, notes = build(factory, kwargs)

    def with_data() -> "torch.nn.Module":
        return build(factory, kwargs, data=True)[0].train(training)

    given: Any = shapes if all(names) else list(shapes.values())
    report = estimate(model.train(training), given, calibration, training=training, energy=energy, with_data=with_data)
    return replace(report, notes=(*report.notes, *notes))


def joules_file(run_id: str) -> str:
    """Name of the file of the calibration with the joules of a machine, from the id of its run."""
    return f"{run_id.removesuffix('-energy')}-joules.json"


def calibrate_energy(run: Run, name: str = OURS.name, *, seed: int = 0, draws: int = 200) -> Calibration:
    """Fit a cost formula to the net energy per call of each layer.

    Parameters
    ----------
    run : Run
        A run made with ``alphaflops measure --energy``; rows without a positive ``energy_j`` are left out.
    name : str
        One of `alphaflops.costs.MODEL_NAMES`.
    seed, draws : int
        As in `alphaflops.fitting.fit`.

    Returns
    -------
    Calibration
        Its ``predicted_ms`` are millijoules; ``run["quantity"]`` is `ENERGY`.

    Raises
    ------
    AlphaflopsError
        If the run has no joules; the reason that it recorded is in the message.
    """
    table = run.ok.table
    joules = table["energy_j"].to_numpy(dtype=np.float64) if "energy_j" in table else np.full(len(table), np.nan)
    known = np.isfinite(joules) & (joules > 0)
    if not known.any():
        reasons = set(table["energy_source"]) if "energy_source" in table else {"it measured times only"}
        raise AlphaflopsError(
            f"run {run.id!r} has no joules ({', '.join(sorted(reasons))}): make one with `alphaflops measure --energy`"
        )
    kept = table[known].assign(latency_ms=1e3 * joules[known])
    found = fit(Run(run.meta, kept), name, seed=seed, draws=draws)
    parameters = {key: {**entry, "unit": _per_joule(str(entry["unit"]))} for key, entry in found.parameters.items()}
    origin = {**found.run, "quantity": ENERGY, "sha256": run.sha256}
    return replace(found, run=origin, parameters=parameters)


def _per_joule(unit: str) -> str:
    return f"mJ{unit[2:]}" if unit.startswith("ms") else f"{unit[:-1]}J" if unit.endswith("/s") else unit
