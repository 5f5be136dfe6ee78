"""Estimate what a network costs on a calibrated machine, from a module or from the name of a factory."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..costs.alpha import alpha_flops
from ..errors import AlphaflopsError
from ..fitting import Calibration, read_calibration
from ..network import COUNTED, Network, trace
from ..network.inputs import Inputs, build, parse_shape
from .operators import NOTHING, OperatorTable, bundled_operators, operator_times, read_operators
from .report import Report, notes_of

if TYPE_CHECKING:
    import torch

Chosen: TypeAlias = Calibration | Path | str | None

GUESSED: Final = {"predicted_ms": float, "low_ms": float, "high_ms": float, "source": str, "outside": bool}
"""Columns of a report with what `alphaflops.prediction.operators.Guess` holds."""


def estimate(
    model: "torch.nn.Module",
    inputs: Inputs,
    calibration: Chosen = None,
    *,
    training: bool = False,
    operators: OperatorTable | Path | str | None = None,
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
    found = read_calibration(calibration) if isinstance(calibration, Path | str) else calibration
    network = trace(model, inputs, backward=training, with_data=with_data)
    if operators is None and found is not None:
        operators = bundled_operators(found.run["sha256"])
    table = read_operators(operators) if isinstance(operators, (Path, str)) else operators
    return report_on(network, found, table)


def report_on(network: Network, calibration: Calibration | None, operators: OperatorTable | None = None) -> Report:
    """Predict a traced network; see `estimate`."""
    frame = network.to_pandas().rename(columns={"name": "operator"})
    frame["alpha_flops"] = _alpha_flops(network)
    found = [NOTHING._replace(source="")] * len(network.operations)
    if calibration is not None:
        found = operator_times(calibration, operators, network)
    frame = frame.join(pd.DataFrame(found, columns=list(GUESSED)).astype(GUESSED))
    frame["share"] = frame["predicted_ms"] / frame["predicted_ms"].sum()
    totals = _totals(network, frame, operators.rho if operators else 1.0)
    name = f"{calibration.run['id']}, {calibration.model}" if calibration is not None else ""
    return Report(network, frame, totals, name, notes_of(network, frame, totals, calibration))


def _alpha_flops(network: Network) -> Any:
    """α · FLOPs of each operator with the authors' constants (FLOP), summed over its layers."""
    flat = [(i, one.count, one.layer) for i, o in enumerate(network.operations) for one in o.layers]
    if not flat:
        return 0.0
    rows, counts, layers = zip(*flat, strict=True)
    return np.bincount(rows, alpha_flops(layers) * np.array(counts), len(network.operations))


def _totals(network: Network, frame: pd.DataFrame, rho: float) -> dict[str, Any]:
    groups = [o.layers or (o.name, o.bytes) for o in network.operations]
    total, low, high = total_interval(frame["predicted_ms"], frame["low_ms"], frame["high_ms"], groups, rho)
    times = {
        "predicted_ms": total,
        "low_ms": low,
        "high_ms": high,
        "uncovered_ms": float(frame.loc[frame["family"] != COUNTED, "predicted_ms"].sum()),
        "outside_share": float(frame.loc[frame["outside"], "share"].sum()),
    }
    return {
        "params": network.params,
        "macs": network.macs,
        "flops": network.flops,
        "alpha_flops": float(frame["alpha_flops"].sum()),
        "bytes": int(frame["bytes"].sum()),
        **(dict.fromkeys(times, float("nan")) if frame["predicted_ms"].isna().all() else times),
        "operators": len(frame),
        "unknown": list(network.unknown),
    }


def total_interval(
    ms: ArrayLike, low: ArrayLike, high: ArrayLike, groups: Sequence[Any], rho: float
) -> tuple[float, float, float]:
    """Sum of predictions with an interval that respects their correlation.

    Errors of a formula are not independent. Identical layers share their error fully, different ones a share ``rho``:

        d² = rho · (Σ d_i)² + (1 − rho) · Σ d_i²

    with ``d_i`` the distance from the prediction of group i to its end. Where ``rho``, the intraclass correlation of a
    run's held-out residuals within the lines of its experiments, is not known, it is 1: the widest interval.

    Parameters
    ----------
    ms, low, high : array_like
        Prediction and interval of each operator, shape ``(n,)`` (ms); NaN rows count as nothing.
    groups : sequence
        Operators with equal entries share their error fully.
    rho : float
        Share of the error's variance that different groups have in common, 0 to 1.

    Returns
    -------
    total, low, high : float
        In ms; the low end is never negative.
    """
    values = np.nan_to_num(np.array([ms, low, high], dtype=np.float64))
    places = {group: place for place, group in enumerate(dict.fromkeys(groups))}
    member = np.array([places[group] for group in groups], dtype=np.intp)
    distances = np.array([np.bincount(member, off) for off in np.abs(values[1:] - values[0])])
    below, above = np.sqrt(rho * distances.sum(axis=1) ** 2 + (1 - rho) * (distances**2).sum(axis=1)).tolist()
    total = float(values[0].sum())
    return total, max(total - below, 0.0), total + above


def estimate_factory(
    factory: str, inputs: Sequence[str], kwargs_json: str = "{}", calibration: Chosen = None, *, training: bool = False
) -> Report:
    """Estimate what a factory builds, in evaluation mode unless `training`.

    Parameters
    ----------
    factory : str
        ``package.module:factory``, also a module in the current folder.
    inputs : sequence of str
        Shapes such as ``"1,3,224,224"`` or ``"1,128:int64"``, or ``name=shape`` for keyword inputs.
    kwargs_json : str
        Arguments of the factory as a JSON object.
    calibration : Calibration, path or str, optional
        As in `estimate`.
    training : bool
        Training mode, forward and backward.

    Raises
    ------
    AlphaflopsError
        For every mistake in the arguments, in one line.
    """
    try:
        kwargs = json.loads(kwargs_json)
    except ValueError as error:
        raise AlphaflopsError(f"arguments {kwargs_json!r} are not valid JSON: {error}") from error
    if not isinstance(kwargs, dict):
        raise AlphaflopsError(f"arguments {kwargs_json!r} are no JSON object: give them by name")
    if not inputs:
        raise AlphaflopsError("no input is given: add one such as 1,3,224,224")
    names, _, shapes = zip(*(text.rpartition("=") for text in inputs), strict=True)
    read = [parse_shape(shape) for shape in shapes]
    if any(names) and not all(names):
        raise AlphaflopsError("some inputs have a name and some do not: name all or none")
    model, notes = build(factory, kwargs)

    def with_data() -> "torch.nn.Module":
        return build(factory, kwargs, data=True)[0].train(training)

    given: Any = dict(zip(names, read, strict=True)) if all(names) else read
    report = estimate(model.train(training), given, calibration, training=training, with_data=with_data)
    return replace(report, notes=(*report.notes, *notes))
