"""Functions that make results: ``(data set, part) -> rows`` for one data set."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..claims import judge
from ..costs import BOOSTING, OURS, CostModel, Parameter, features, model
from ..errors import AlphaflopsError
from ..files import json_bytes, to_json
from ..fitting import fit, score
from ..fitting import sample as drawn
from ..fitting.calibration import LAYERS
from ..fitting.dissect import DRAWS, dissect
from ..fitting.validate import errors, fitted, identical
from ..layers import macs
from ..paths import data_folder
from ..runs import Run, datasets

Rows = list[dict[str, Any]]
SIZES: Final = (15, 30, 60, 120, 250, 500)
"""Layers to calibrate with, in the learning curve."""
LEARNERS: Final = ("macs+t0", "alpha+t0", OURS.name)
REPEATS: Final = 5
SPLITS: Final = 4
FILE: Final = "file"
"""Entry of a row that goes into a file of its own: its path under the data folder, and its text."""
LEAST_JUDGED: Final = 50
"""Layers that must remain for judging."""
CALIBRATED: Final = (OURS.name, "macs+t0", "alpha")
"""Formulas kept for each run; the first one's file bears the run's name alone."""


@lru_cache(maxsize=2)
def sample(name: str) -> Run:
    """Load the usable layers of a set, at most `LAYERS` distinct ones of them, drawn by seed."""
    run = datasets.load(name).ok
    rows = drawn(run.table, LAYERS)
    return run if rows.all() else _part(run, rows)


def _part(run: Run, rows: NDArray[np.bool_]) -> Run:
    return Run(run.meta, run.table[rows].reset_index(drop=True))


def scores(name: str, part: str) -> Rows:
    """Score one model on a set under each validation that its layers allow."""
    entry = datasets.entries()[name]
    validations = (None, "random", "figure", "macs", "rows")
    return score_rows(sample(name), part, validations, role=entry.role, vendor=entry.vendor)


def score_rows(run: Run, name: str, validations: Iterable[Any], **about: str) -> Rows:
    """Score one model on a run under each validation that its layers allow, one row each that begins with `about`."""
    count, rows = None if name == BOOSTING else len(model(name).parameters), []
    for cv in validations:
        with suppress(AlphaflopsError):  # one figure only, or too few layers to hold some out
            found = score(run, name, cv, whole=False).as_dict()
            told = {key: found[key] for key in ("n", "mape_pct", "median_ape_pct", "r2", "spearman", "within_20_pct")}
            rows.append({**about, "model": name, "parameters": count, "cv": cv or "in sample", **told})
    return rows


def terms(name: str, part: str) -> Rows:
    """Score the project's formula on random folds, whole and with each fitted number held where it matters least.

    A number is held at either end of its range, a factor at 1 too; the best of them, where its term vanishes, counts.
    """
    run, rows = sample(name), []

    def error(formula: CostModel) -> float:
        return score(run, formula, "random").mape_pct

    try:
        whole = error(OURS)
    except AlphaflopsError:  # a smoke run has too few layers
        return []
    about = {"role": datasets.entries()[name].role, "model": OURS.name}
    for p in OURS.parameters:
        ends = (p.low, p.high) if p.unit or not p.low < 1 < p.high else (p.low, p.high, 1.0)
        without = min(error(_held(p, end)) for end in ends)
        rows.append({**about, "term": p.name, "meaning": p.meaning, "mape_pct": whole, "without_pct": without})
    return rows


def _held(parameter: Parameter, value: float) -> CostModel:
    at, rest = OURS.parameters.index(parameter), tuple(p for p in OURS.parameters if p != parameter)
    name = f"{OURS.name} without {parameter.name}"
    return replace(OURS, name=name, parameters=rest, formula=lambda f, v: OURS.formula(f, [*v[:at], value, *v[at:]]))


def dissection(name: str, part: str) -> Rows:
    """Give the exponents of time along each dimension, and those that the published α-FLOPs give for these layers."""
    run = datasets.load(name).ok
    entry = datasets.entries()[name.partition(":")[0]]
    source = {"number_type": "fp32", "direction": "forward", **(run.meta.get("source") or {})}
    about = {"vendor": entry.vendor, "role": entry.role, **{key: source[key] for key in ("number_type", "direction")}}
    alpha = Run(run.meta, run.table.assign(latency_ms=model("alpha-published").predict_ms(run.table, {})))
    predicted = exponent_rows(alpha, "alpha-published", 2, **about)
    return [*exponent_rows(run, "measured", **about), *({**row, "low": None, "high": None} for row in predicted)]


def exponent_rows(run: Run, times: str, draws: int = DRAWS, /, **about: str) -> Rows:
    """Dissect a run, one row for each dimension that begins with `about`; none where it has too few layers."""
    with suppress(AlphaflopsError):
        found = dissect(run, draws=draws)
        told = [{"exponent" if key == "value" else key: value for key, value in vars(e).items()} for e in found]
        return [{**about, "times": times, **row, "n": len(run.table)} for row in told]
    return []


def coverage(name: str, part: str) -> Rows:
    """Calibrate on random halves of a set and count how many layers of the other half their intervals hold."""
    run, vendor = sample(name), datasets.entries()[name].vendor
    half, rows = (int(identical(run.table).max()) + 1) // 2, []
    for split in range(SPLITS):
        known = drawn(run.table, half, [0, split])
        with suppress(AlphaflopsError):  # a smoke run has too few layers for halves
            found, judged = fit(_part(run, known), OURS.name, draws=1), _part(run, ~known)
            held = found.predict(judged.table)
            inside = judged.time_ms().between(held["low_ms"], held["high_ms"])
            about = {"vendor": vendor, "model": OURS.name, "split": split, "n": len(judged.table)}
            rows.append({**about, "inside_pct": float(100 * inside.mean()), "level_pct": 100 * found.level})
    return rows


def learning(name: str, part: str) -> Rows:
    """Calibrate models with few layers of a set and judge them on all others; identical layers stay together."""
    run = sample(name)
    f, times = features(run.table), np.asarray(run.time_ms(), dtype=np.float64)
    distinct, rows = int(identical(run.table).max()) + 1, []
    for repeat in range(REPEATS):
        for size in (size for size in SIZES if size <= distinct - LEAST_JUDGED):
            known = drawn(run.table, size, [0, repeat])
            for learner in LEARNERS:
                predict, _ = fitted(learner, f.take(known), times[known])
                error = errors(predict(f.take(~known)), times[~known])["mape_pct"]
                rows.append({"model": learner, "layers": size, "repeat": repeat, "mape_pct": error})
    return rows


def calibrations(name: str, part: str) -> Rows:
    """Fit the bundled formulas to a set; gives their numbers, and the files of the calibrations."""
    run, rows = datasets.load(name), []
    for chosen in CALIBRATED:
        with suppress(AlphaflopsError):  # too few layers
            found = fit(run, chosen)
            fresh: Rows = [{"model": chosen, "parameter": p, **entry} for p, entry in found.parameters.items()]
            fresh[0][FILE] = (f"calibrations/{calibration_file(name, chosen)}", json_bytes(found.as_dict()).decode())
            rows += fresh
    return rows


def calibration_file(run: str, chosen: str) -> str:
    """Name of the file of a calibration."""
    return f"{run}.json" if chosen == CALIBRATED[0] else f"{run}-{chosen.replace('+', '-')}.json"


def operators(name: str, part: str) -> Rows:
    """Give the ends of the factors by which layers in turns correct the calibration of a run, by kind of layer."""
    from ..prediction import read_operators  # which loads torch, as below

    found = read_operators(data_folder() / "operators" / f"{name}.json").factors
    ends = [(kind, *factors(np.zeros((1, 3)))[0]) for kind, factors in found.items()]
    return [{"kind": kind, "low_factor": low / ms, "high_factor": high / ms} for kind, ms, low, high in ends]


def claims(name: str, part: str) -> Rows:
    """Judge every claim on a set, held-out errors taken from the scores."""
    from .tables import read

    known = read("scores")
    held = known[(known["cv"] == "random") & (known["run"] == name)].set_index("model")["mape_pct"]
    run, authors = datasets.load(name), datasets.authors()
    found = judge(run, authors=authors, error_of=lambda _, model: held.get(model, np.nan))
    return [{key: getattr(told, key) for key in ("claim", "verdict", "value", "reason")} for told in found]


def figures(name: str, part: str) -> Rows:
    """Sum up what each figure of the paper shows: layers, times, time per MAC, error of the published formula."""
    run = datasets.load(name).ok
    table = run.table.assign(macs=macs(run.table), predicted_ms=model("alpha-published").predict_ms(run.table, {}))
    return [_figure(experiment, shown) for experiment, shown in table.groupby("experiment", sort=False)]


def _figure(experiment: Any, shown: pd.DataFrame) -> dict[str, Any]:
    cost = shown["latency_ms"] / shown["macs"] * 1e9
    lines = cost.groupby(shown["line"], sort=False)
    return {
        "experiment": experiment,
        "layers": len(shown),
        "total_ms": float(shown["latency_ms"].sum()),
        "ns_per_kmac": float(cost.median()),
        "slowest_over_fastest": float((lines.max() / lines.min()).median()),
        "median_error_pct": float((shown["predicted_ms"] / shown["latency_ms"] - 1).abs().median() * 100),
    }


def networks(name: str, part: str) -> Rows:
    """Predict the networks that were measured on the machine of a run."""
    from ..prediction.machine import comparison, traced

    return list(to_json(comparison(traced(), name).to_dict("records")))
