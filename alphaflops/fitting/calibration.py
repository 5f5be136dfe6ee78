"""A calibration: a cost model fitted to one run, with intervals, region and scores, kept as plain JSON."""

import json
import math
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .. import __version__
from ..costs import BOOSTING, Features, features, model
from ..errors import AlphaflopsError
from ..layers import Table
from ..runs import replace_file
from .fitting import Array, bootstrap, check_times
from .intervals import CLASSES, HABITS, LEVEL, SIZES, Band, Region, bands, few_for_intervals, interval_ms
from .scoring import errors, fitted, out_of_fold

if TYPE_CHECKING:
    import pandas as pd

    from ..runs import Run

SCHEMA: Final = 1
KIND: Final = "alphaflops-calibration"
KEYS: Final = ("model", "equation", "run", "parameters", "flags", "level", "bands", "region", "scores", "versions")


@dataclass(frozen=True)
class Calibration:
    """A cost model with the numbers of one machine.

    Parameters
    ----------
    model, equation : str
        Name on the command line and the formula in LaTeX ("" for boosting).
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
        ``"in_sample"`` and ``"random"`` → errors (%).
    versions : dict
        Of this library, NumPy, SciPy and Python.
    predictor : callable, optional
        ``features -> ms`` of a learned model; it cannot be written.
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
    predictor: Callable[[Features], Array] | None = None

    @property
    def values(self) -> dict[str, float]:
        """Parameters by name, without intervals."""
        return {name: float(entry["value"]) for name, entry in self.parameters.items()}

    def predict_ms(self, table: Table) -> Array:
        """Time of each layer (ms), shape ``(n,)``."""
        f = features(table)
        if self.predictor is not None:
            return self.predictor(f)
        formula = model(self.model)
        return formula.formula(f, formula.vector(self.values))

    def predict(self, table: Table) -> "pd.DataFrame":
        """Predict layers with intervals.

        Returns
        -------
        DataFrame
            ``predicted_ms, low_ms, high_ms, outside``, one row per layer, indexed like the table if it is a frame.
        """
        import pandas as pd

        f, predicted = features(table), self.predict_ms(table)
        low, high = interval_ms(self.bands, f, predicted)
        columns = {"predicted_ms": predicted, "low_ms": low, "high_ms": high, "outside": self.region.outside(f, table)}
        return pd.DataFrame(columns, index=getattr(table, "index", None))

    def write(self, path: Path | str) -> Path:
        """Write as JSON.

        Raises
        ------
        AlphaflopsError
            If the model is learned, or the file cannot be written.
        """
        check_written(self.model)
        path = Path(path)
        text = json.dumps(self.as_dict(), indent=1, allow_nan=False, ensure_ascii=False)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, (text + "\n").encode())
        except OSError as error:
            raise AlphaflopsError(f"{path} cannot be written: {error.strerror}") from error
        return path

    def as_dict(self) -> dict[str, Any]:
        """Give the JSON form; the open end of a range of times becomes null."""
        plain = {key: getattr(self, key) for key in KEYS if key not in ("bands", "region")}
        entries = [asdict(b) | {"to_ms": None if math.isinf(b.to_ms) else b.to_ms} for b in self.bands]
        return {"kind": KIND, "schema": SCHEMA} | plain | {"bands": entries, "region": asdict(self.region)}


def check_written(name: str) -> None:
    """Refuse a model whose calibration cannot be written.

    Raises
    ------
    AlphaflopsError
        If the model is learned.
    """
    if name == BOOSTING:
        raise AlphaflopsError(f"model {name!r} is learned and has no JSON form: fit it where it is needed")


def calibrate(run: "Run", name: str, *, quantity: str = "latency", seed: int = 0, draws: int = 200) -> Calibration:
    """Fit a model to a run, with parameter and prediction intervals.

    Parameters
    ----------
    run : Run
        Measured layers; rows that failed are left out.
    name : str
        One of `alphaflops.costs.MODEL_NAMES`.
    quantity : "latency" or "throughput"
        Which time.
    seed, draws : int
        Of the starts, folds and resamples; resamples behind the parameters' intervals.

    Raises
    ------
    AlphaflopsError
        For an unknown model, unusable times, or too few layers.
    """
    good = run.ok
    times, f = check_times(good.time_ms(quantity), good.id), features(good.table)
    predict, fit = fitted(name, f, times, seed=seed)
    held = out_of_fold(name, f, times, good.table, "random", seed=seed)
    formula = None if name == BOOSTING else model(name)
    ends = bootstrap(formula, f, times, fit.parameters, draws=draws, seed=seed) if formula else {}
    parameters = {
        p.name: {"value": value, "low": low, "high": high, "unit": p.unit, "meaning": p.meaning}
        for p, value, (low, high) in zip(
            formula.parameters if formula else (), fit.parameters.values(), ends.values(), strict=True
        )
    }
    return Calibration(
        model=name,
        equation=formula.equation if formula else "",
        run={"id": good.id, "sha256": run.sha256, "machine": good.machine, "quantity": quantity, "n": len(times)},
        parameters=parameters,
        flags=fit.flags + few_for_intervals(len(times)),
        level=LEVEL,
        bands=bands(f, held, times),
        region=Region.of(f, good.table),
        scores={"in_sample": _plain(errors(predict(f), times)), "random": _plain(errors(held, times))},
        versions=_versions(),
        predictor=predict if formula is None else None,
    )


def _plain(found: Mapping[str, float]) -> dict[str, float | None]:
    return {key: value if math.isfinite(value) else None for key, value in found.items()}


def _versions() -> dict[str, str]:
    import scipy

    return {
        "alphaflops": __version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "python": platform.python_version(),
    }


def read_calibration(path: Path | str) -> Calibration:
    """Read a calibration from JSON.

    Raises
    ------
    AlphaflopsError
        If the file cannot be read, is of another schema, or names a model or parameters this version does not have.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise AlphaflopsError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise AlphaflopsError(f"{path} is no calibration: it is not valid JSON, perhaps truncated") from error
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise AlphaflopsError(f"{path} is no calibration: its kind is not {KIND!r}")
    if content.get("schema") != SCHEMA:
        raise AlphaflopsError(
            f"{path} has calibration schema {content.get('schema')!r}, this version reads {SCHEMA}: fit the run again"
        )
    if missing := [key for key in KEYS if key not in content]:
        raise AlphaflopsError(f"{path} is no whole calibration: {missing[0]!r} is missing")
    try:
        found = _rebuild(content)
        model(found.model).vector(found.values)
    except (TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise AlphaflopsError(f"{path} is damaged: {reason}") from error
    except AlphaflopsError as error:
        raise AlphaflopsError(f"{path}: {error}") from error
    return found


def _rebuild(content: Mapping[str, Any]) -> Calibration:
    entries = tuple(_band(entry) for entry in content["bands"])
    if not entries or entries[0].layer_class != "all":
        raise ValueError("bands do not begin with all layers")
    sizes = {
        name: {size: (float(ranges[size][0]), float(ranges[size][1])) for size in SIZES}
        for name, ranges in content["region"]["sizes"].items()
    }
    habits = {name: tuple(int(v) for v in content["region"]["habits"][name]) for name in HABITS}
    for key in ("run", "parameters", "scores", "versions"):
        if not isinstance(content[key], dict):
            raise TypeError(f"{key} is no object")
    return Calibration(
        **{key: content[key] for key in KEYS if key not in ("flags", "bands", "region", "level")},
        flags=tuple(str(flag) for flag in content["flags"]),
        level=float(content["level"]),
        bands=entries,
        region=Region(sizes, habits),
    )


def _band(entry: Mapping[str, Any]) -> Band:
    end = math.inf if entry["to_ms"] is None else float(entry["to_ms"])
    band = Band(
        str(entry["layer_class"]),
        float(entry["from_ms"]),
        end,
        float(entry["low_factor"]),
        float(entry["high_factor"]),
        int(entry["n"]),
    )
    if band.layer_class not in ("all", *CLASSES) or not 0 < band.low_factor <= band.high_factor < math.inf:
        raise ValueError(f"band {band.layer_class!r} makes no interval")
    return band
