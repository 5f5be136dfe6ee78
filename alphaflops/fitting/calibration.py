"""A calibration: a cost model fitted to one run, with intervals, region and scores, kept as plain JSON."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, overload

import numpy as np
import pandas as pd

from .. import __version__
from ..costs import OURS, Features, features, model
from ..errors import AlphaflopsError
from ..files import from_json, json_bytes, one_line, read_json, to_json, write_atomic
from ..layers import Conv2d, Dense, as_table
from ..numbers import number
from ..paths import data_folder
from ..runs import Run
from .intervals import Band, Region, bands, few_for_intervals, interval_ms
from .optimise import LEVEL, Array, bootstrap, check_times
from .validate import CV, Score, errors, fitted, out_of_fold, plain, sample, score

SCHEMA: Final = 2
KIND: Final = "alphaflops-calibration"
LAYERS: Final = 2000
"""Most distinct layers that a fit looks at, drawn by seed: more move no number by as much as its interval."""


@dataclass(frozen=True)
class Prediction:
    """Time of one layer: what it most likely takes, and the interval that holds new layers as often as asked.

    Attributes
    ----------
    ms, low_ms, high_ms : float
        Time and ends of its interval (ms).
    outside : bool
        Whether the layer lies beyond what was measured.
    """

    ms: float
    low_ms: float
    high_ms: float
    outside: bool

    def __repr__(self) -> str:
        beyond = ", beyond what was measured" if self.outside else ""
        return f"{number(self.ms, 3)} ms ({number(self.low_ms, 3)} to {number(self.high_ms, 3)}){beyond}"


@dataclass(frozen=True, repr=False)
class Calibration:
    """A cost model with the numbers of one machine.

    Attributes
    ----------
    model, equation : str
        Name on the command line and the formula in LaTeX.
    run : dict
        ``id, sha256, machine, quantity, n`` of what it was fitted on.
    parameters : dict
        ``name -> {"value", "low", "high", "unit", "meaning"}``: fitted value and 90 % bootstrap interval.
    flags : tuple of str
        Doubts that the fit raised.
    level : float
        Share of new layers that the prediction intervals should hold.
    bands : tuple of Band
        Prediction intervals by region.
    region : Region
        What was measured.
    scores : dict
        ``"in_sample"`` and ``"random"`` → errors (%) of the formula.
    versions : dict
        Of this library, NumPy, SciPy and Python.
    """

    model: str
    equation: str
    run: Mapping[str, Any]
    parameters: Mapping[str, Mapping[str, Any]]
    flags: tuple[str, ...]
    level: float
    bands: tuple[Band, ...]
    region: Region
    scores: Mapping[str, Mapping[str, float | None]]
    versions: Mapping[str, str]

    @property
    def values(self) -> dict[str, float]:
        """Parameters by name, without intervals."""
        return {name: float(entry["value"]) for name, entry in self.parameters.items()}

    def formula_ms(self, f: Features) -> Array:
        """Time that the formula itself gives for features of layers (ms), shape ``(n,)``."""
        formula = model(self.model)
        return formula.formula(f, formula.vector(self.values))

    def predict_ms(self, layers: Any) -> Array:
        """Most likely time of each layer (ms), shape ``(n,)``: the middle of its interval."""
        return self.predict(as_table(layers))["predicted_ms"].to_numpy()

    @overload
    def predict(self, layers: Conv2d | Dense) -> Prediction: ...
    @overload
    def predict(self, layers: Any) -> pd.DataFrame: ...
    def predict(self, layers: Any) -> "Prediction | pd.DataFrame":
        """Predict layers with intervals.

        Parameters
        ----------
        layers : Conv2d, Dense, list of these, DataFrame or mapping
            Whatever `alphaflops.as_table` takes.

        Returns
        -------
        Prediction or DataFrame
            The first for a single spec; else ``predicted_ms, low_ms, high_ms, outside``, one row per layer, with the
            index of a given table.
        """
        table = as_table(layers)
        f = features(table)
        low, middle, high = interval_ms(self.bands, f, self.formula_ms(f))
        outside = self.region.outside(f, table)
        if isinstance(layers, Conv2d | Dense):
            return Prediction(float(middle[0]), float(low[0]), float(high[0]), bool(outside[0]))
        columns = {"predicted_ms": middle, "low_ms": low, "high_ms": high, "outside": outside}
        return pd.DataFrame(columns, index=table.index)

    def score(self, run: Run, cv: CV = None) -> Score | dict[str, float]:
        """Errors of these predictions on a run (%), or with `cv` those of the formula fitted to that run, held out."""
        quantity = str(self.run["quantity"])
        if cv is not None:
            return score(run, self.model, cv, quantity=quantity)
        return errors(self.predict_ms(run.ok.table), check_times(run.ok.time_ms(quantity), run.id))

    def save(self, path: Path | str) -> Path:
        """Write as JSON.

        Raises
        ------
        AlphaflopsError
            If the file cannot be written.
        """
        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise AlphaflopsError(f"{path} cannot be written: {error.strerror}") from error
        write_atomic(path, json_bytes(self.as_dict()))
        return path

    def as_dict(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {"kind": KIND, "schema": SCHEMA, **to_json(self)}

    def __repr__(self) -> str:
        numbers = ", ".join(f"{name} {number(value, 3)}" for name, value in self.values.items())
        held_out = self.scores["random"]["mape_pct"]
        error = "" if held_out is None else f", {number(held_out, 3)} % off on held-out layers"
        return f"<Calibration {self.model} on {self.run['id']}: {numbers or 'no numbers'}{error}>"

    def _repr_html_(self) -> str:
        frame = pd.DataFrame(list(self.parameters.values()), index=list(self.parameters))
        told = repr(self).strip("<>").replace("<", "&lt;")
        return f"<p>{told}</p>{frame.to_html(float_format=lambda x: number(x, 3)) if len(frame) else ''}"


def fit(run: Run, name: str = OURS.name, quantity: str = "latency", *, seed: int = 0, draws: int = 200) -> Calibration:
    """Fit a model to a run, with parameter and prediction intervals.

    Parameters
    ----------
    run : Run
        Measured layers; rows that failed are left out, and of more than `LAYERS` distinct ones so many are drawn.
    name : str
        One of `alphaflops.costs.ANALYTIC`.
    quantity : "latency" or "throughput"
        Which time.
    seed, draws : int
        Of the starts, folds and resamples; resamples behind the parameters' intervals.

    Raises
    ------
    AlphaflopsError
        For an unknown or learned model, unusable times, or too few layers.
    """
    import scipy

    good, formula = run.ok, model(name)
    every, whole = check_times(good.time_ms(quantity), good.id), features(good.table)
    drawn = sample(good.table, LAYERS)
    times, f, table = every[drawn], whole.take(drawn), good.table[drawn]
    predict, found = fitted(name, f, times, seed=seed)
    held = out_of_fold(name, f, times, table, "random", seed=seed)
    ends = bootstrap(formula, f, times, found.parameters, draws=draws, seed=seed)
    parameters = {
        p.name: {"value": value, "low": ends[p.name][0], "high": ends[p.name][1], "unit": p.unit, "meaning": p.meaning}
        for p, value in zip(formula.parameters, found.parameters.values(), strict=True)
    }
    versions = {"alphaflops": __version__, "numpy": np.__version__, "scipy": scipy.__version__}
    return Calibration(
        model=name,
        equation=formula.equation,
        run={"id": good.id, "sha256": run.sha256, "machine": good.machine, "quantity": quantity, "n": len(every)},
        parameters=parameters,
        flags=found.flags + few_for_intervals(len(times)),
        level=LEVEL,
        bands=bands(f, held, times),
        region=Region.of(whole, good.table),
        scores={"in_sample": plain(errors(predict(f), times)), "random": plain(errors(held, times))},
        versions={**versions, "python": platform.python_version()},
    )


def calibrations() -> list[str]:
    """Names of the bundled calibrations."""
    return sorted(path.stem for path in (data_folder() / "calibrations").glob("*.json"))


def read_calibration(name: Path | str) -> Calibration:
    """Read a calibration from its file, or a bundled one by its name, such as ``cpu-1core``.

    Raises
    ------
    AlphaflopsError
        If there is none (the message lists those present), the file cannot be read, is of another schema, or names a
        model or parameters that this version does not have.
    """
    places = (Path(name), data_folder() / "calibrations" / f"{name}.json")
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        here = ", ".join(calibrations()) or "none; `alphaflops fit RUN --out FILE` makes one"
        raise AlphaflopsError(f"calibration {str(name)!r} is not here: give a file or one of {here}")
    content = read_json(path)
    if content.pop("kind", None) != KIND:
        raise AlphaflopsError(f"{path} is no calibration: its kind is not {KIND!r}")
    if (schema := content.pop("schema", None)) != SCHEMA:
        raise AlphaflopsError(f"{path} has schema {schema!r}, this version reads {SCHEMA}: fit the run again")
    found = from_json(Calibration, content, str(path))
    missing = {"id", "sha256", "machine", "quantity", "n"} - {*found.run} | {"in_sample", "random"} - {*found.scores}
    if not found.bands or found.bands[0].layer_class != "all":
        missing |= {"a first band for all layers"}
    try:
        formula = model(found.model)
        formula.vector(found.values)
        if missing:
            raise AlphaflopsError(f"{min(missing)} is missing")
        return replace(found, parameters={p.name: found.parameters[p.name] for p in formula.parameters})
    except (AlphaflopsError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise AlphaflopsError(f"{path} is damaged or of another version: {one_line(error)}") from error
