"""Estimate what a network costs on a calibrated machine, from a module or from the name of a factory."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch

from ..costs.alpha import alpha_flops
from ..errors import AlphaflopsError
from ..files import parse_json
from ..fitting import Calibration, read_calibration
from ..network import Inputs, Network, trace
from ..network.inputs import build, parse_shape
from .operators import Guess, OperatorTable, bundled_operators, operator_times, read_operators
from .report import Report, notes_of

Chosen: TypeAlias = Calibration | Path | str | None


def estimate(
    model: torch.nn.Module,
    inputs: Inputs,
    calibration: Chosen = None,
    *,
    training: bool = False,
    operators: OperatorTable | Path | str | None = None,
    with_data: Callable[[], torch.nn.Module] | None = None,
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
    nothing = [Guess(source="")] * len(frame)
    found = nothing if calibration is None else operator_times(calibration, operators, network)
    frame = frame.join(pd.DataFrame(found, columns=Guess._fields).astype(Guess.__annotations__))
    frame["share"] = frame["predicted_ms"] / frame["predicted_ms"].sum()
    name = f"{calibration.run['id']}, {calibration.model}" if calibration is not None else ""
    report = Report(network, frame, name)
    return replace(report, notes=notes_of(report, calibration))


def _alpha_flops(network: Network) -> Any:
    """α · FLOPs of each operator with the authors' constants (FLOP), summed over its layers."""
    flat = [(i, one.count, one.layer) for i, o in enumerate(network.operations) for one in o.layers]
    if not flat:
        return 0.0
    rows, counts, layers = zip(*flat, strict=True)
    return np.bincount(rows, alpha_flops(layers) * np.array(counts), len(network.operations))


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
    kwargs = parse_json(kwargs_json.encode(), f"arguments {kwargs_json!r}")
    if not inputs:
        raise AlphaflopsError("no input is given: add one such as 1,3,224,224")
    names, _, shapes = zip(*(text.rpartition("=") for text in inputs), strict=True)
    read = [parse_shape(shape) for shape in shapes]
    if any(names) and not all(names):
        raise AlphaflopsError("some inputs have a name and some do not: name all or none")
    model, notes = build(factory, kwargs)

    def with_data() -> torch.nn.Module:
        return build(factory, kwargs, data=True)[0].train(training)

    given: Any = dict(zip(names, read, strict=True)) if all(names) else read
    report = estimate(model.train(training), given, calibration, training=training, with_data=with_data)
    return replace(report, notes=(*report.notes, *notes))
