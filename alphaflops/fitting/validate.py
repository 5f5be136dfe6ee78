"""How well a model predicts a run: errors in sample, and on layers held out at random, by figure or by size."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..costs import BOOSTING, OURS, CostModel, Features, features, model
from ..errors import AlphaflopsError
from ..files import to_json
from ..layers import COLUMNS
from ..runs import Run
from .optimise import Array, Fit, Residual, check_times, doubts, fit_boosting, fit_model

CV: TypeAlias = Literal["random", "figure", "macs", "rows"] | None
FOLDS: Final = 5
COMPARED: Final = ("macs", "macs+t0", "alpha-published", "alpha", "roofline+t0", OURS.name)
"""Formulas that every comparison shows, fitted in sample except the published one."""


@dataclass(frozen=True)
class Score:
    """Errors of one model on one run, of predicted against measured time.

    Parameters
    ----------
    run, model : str
        Names.
    n : int
        Layers.
    mape_pct, median_ape_pct : float
        Mean and median absolute percentage error (%).
    r2 : float
        Coefficient of determination in milliseconds; NaN where all times are equal.
    spearman : float
        Rank correlation; NaN where a side is constant.
    within_10_pct, within_20_pct : float
        Share of layers predicted within 10 % and 20 % (%).
    per_experiment : dict
        ``name -> {"n", "mape_pct", "median_ape_pct"}``.
    cv : str or None
        The validation, see `score`.
    parameters : dict of str to float
        Fitted on the whole run, also where the errors are held-out ones; empty where that was not asked for.
    flags : tuple of str
        Doubts that this fit raised.
    """

    run: str
    model: str
    n: int
    mape_pct: float
    median_ape_pct: float
    r2: float
    spearman: float
    within_10_pct: float
    within_20_pct: float
    per_experiment: dict[str, dict[str, float]]
    cv: str | None
    parameters: dict[str, float]
    flags: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Give the score as plain values that JSON has; what is not finite becomes None."""
        return plain(to_json(self))


def plain(found: Mapping[str, Any]) -> dict[str, Any]:
    """Give numbers as JSON has them: what is not finite becomes None."""
    known = {key: plain(value) if isinstance(value, dict) else value for key, value in found.items()}
    return {key: None if isinstance(value, float) and not np.isfinite(value) else value for key, value in known.items()}


def _off_pct(predicted_ms: Array, times_ms: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(100 * np.abs(predicted_ms / times_ms - 1))


def errors(predicted_ms: Array, times_ms: Array) -> dict[str, float]:
    """Give MAPE and median APE, R², Spearman and the shares within 10 and 20 %.

    Parameters
    ----------
    predicted_ms, times_ms : ndarray
        Predicted and measured times, shape ``(n,)`` (ms).
    """
    from scipy.stats import spearmanr

    ape = _off_pct(predicted_ms, times_ms)
    largest = max(float(times_ms.max()), float(predicted_ms.max()))  # squares of what is left cannot overflow
    measured, given = times_ms / largest, predicted_ms / largest
    spread = float(np.sum((measured - measured.mean()) ** 2)) if np.ptp(times_ms) > 0 else 0.0
    varied = all(np.ptp(values) > 0 for values in (predicted_ms, times_ms))
    return {
        "mape_pct": float(ape.mean()),
        "median_ape_pct": float(np.median(ape)),
        "r2": 1 - float(np.sum((measured - given) ** 2)) / spread if spread > 0 else float("nan"),
        "spearman": float(spearmanr(predicted_ms, times_ms).statistic) if varied else float("nan"),
        "within_10_pct": float(100 * np.mean(ape <= 10)),
        "within_20_pct": float(100 * np.mean(ape <= 20)),
    }


def identical(table: pd.DataFrame, folds: int = 0) -> NDArray[np.int64]:
    """Give each distinct layer of a table a number, shape ``(n,)``: layers that occur twice share it.

    Raises
    ------
    AlphaflopsError
        If there are fewer distinct layers than `folds`.
    """
    groups = np.asarray(table.groupby(list(COLUMNS), sort=False).ngroup(), dtype=np.int64)
    if folds and (distinct := int(groups.max()) + 1) < folds:
        raise AlphaflopsError(f"{distinct} distinct layers cannot be split into {folds} folds: measure more")
    return groups


def random_folds(table: pd.DataFrame, *, seed: int = 0) -> NDArray[np.int64]:
    """Assign each layer to a fold at random, shape ``(n,)``; identical layers share their fold.

    Raises
    ------
    AlphaflopsError
        If there are fewer distinct layers than folds.
    """
    groups = identical(table, FOLDS)
    return np.asarray(np.random.default_rng(seed).permutation(int(groups.max()) + 1)[groups] % FOLDS)


def held_out(table: pd.DataFrame, cv: CV, *, seed: int = 0) -> list[NDArray[np.bool_]]:
    """Give the mask of the layers held out in each round.

    "random" and "figure" hold every layer out once. "macs" and "rows" hold out the smallest fifth of the distinct
    layers, then the largest, by MACs or by rows: what lies between needs no extrapolation.

    Raises
    ------
    AlphaflopsError
        If the validation is unknown, there are too few layers, or leaving a figure out leaves nothing.
    """
    if cv in ("macs", "rows"):
        groups, sizes = identical(table, FOLDS), getattr(features(table.drop_duplicates([*COLUMNS])), cv)
        order, part = np.argsort(sizes, kind="stable"), len(sizes) // FOLDS
        return [np.isin(groups, end) for end in (order[:part], order[-part:])]
    if cv == "random":
        labels = random_folds(table, seed=seed)
    elif cv == "figure":
        names, labels = np.unique(table["experiment"].to_numpy(dtype=str), return_inverse=True)
        if len(names) == 1:
            raise AlphaflopsError(f"all layers belong to experiment {str(names[0])!r}: cv 'figure' needs two")
    else:
        raise AlphaflopsError(f"cv {cv!r} is unknown: choose random, figure, macs or rows")
    return [labels == label for label in range(int(labels.max()) + 1)]


def sample(table: pd.DataFrame, most: int, seed: int | Sequence[int] = 0) -> NDArray[np.bool_]:
    """Mask of at most so many distinct layers of a table, drawn by seed; layers that occur twice stay together."""
    groups = identical(table)
    return np.isin(groups, np.random.default_rng(seed).permutation(int(groups.max()) + 1)[:most])


def formula_of(name: str | CostModel) -> CostModel | None:
    """Give a formula by its name, or as it is; None for the learned model, which has none."""
    return name if isinstance(name, CostModel) else None if name == BOOSTING else model(name)


def fitted(
    name: str | CostModel, f: Features, times_ms: Array, *, seed: int = 0, told: bool = True,
    residual: Residual = "relative", start: Mapping[str, float] | None = None,
) -> tuple[Callable[[Features], Array], Fit]:  # fmt: skip
    """Fit a model, by name or given as a formula; returns how it predicts (features to ms) and the fit.

    A learned model takes a while to predict its own layers, which its doubts need: `told` says whether they are wanted.
    `residual` and `start` are those of `fit_model`; a learned model always makes log residuals small.
    """
    if (formula := formula_of(name)) is None:
        learned = fit_boosting(f, times_ms, seed=seed)
        return learned, Fit({}, doubts(f, times_ms, learned(f)) if told else ())
    found = fit_model(formula, f, times_ms, seed=seed, residual=residual, start=start)
    time_ms, vector = formula.formula, formula.vector(found.parameters)
    return lambda other: time_ms(other, vector), found


def out_of_fold(
    name: str | CostModel, f: Features, times_ms: Array, table: pd.DataFrame, cv: CV, *, seed: int = 0
) -> Array:
    """Predict each layer by a model that saw neither its fold nor the same layer elsewhere, shape ``(n,)`` (ms).

    NaN for layers that the validation never holds out. Of random folds, which differ by a few layers only, each starts
    where the fit of the one before it ended.

    Raises
    ------
    AlphaflopsError
        If the validation is unknown, or holding a part out leaves too few layers.
    """
    predicted, same, start = np.full(len(times_ms), np.nan), identical(table), None
    for mask in held_out(table, cv, seed=seed):
        known = ~np.isin(same, same[mask])
        if not known.any():
            raise AlphaflopsError(f"cv {cv!r} holds every layer out at once: the rest has the same layers")
        predict, found = fitted(name, f.take(known), times_ms[known], seed=seed, told=False, start=start)
        if cv == "random":
            start = found.parameters
        predicted[mask] = predict(f.take(mask))
    return predicted


def score(
    run: Run, name: str | CostModel, cv: CV = None, *, quantity: str = "latency", seed: int = 0, whole: bool = True
) -> Score:
    """Score a model on a run.

    Parameters
    ----------
    run : Run
        Measured layers; rows that failed are left out.
    name : str or CostModel
        One of `alphaflops.costs.MODEL_NAMES`, or a formula of one's own.
    cv : None, "random", "figure", "macs" or "rows"
        In sample, on five random folds over distinct layers, leaving each experiment out in turn, or leaving out the
        smallest and the largest fifth of the layers by MACs or by rows, which alone are judged then.
    quantity : "latency" or "throughput"
        Which time.
    whole : bool
        Whether held-out errors come with the parameters that the whole run gives, which takes one more fit.

    Raises
    ------
    AlphaflopsError
        For an unknown model or validation, unusable times, or too few layers.
    """
    good, formula = run.ok, formula_of(name)
    times, f = check_times(good.time_ms(quantity), good.id), features(good.table)
    in_sample = cv is None or (formula is not None and not formula.parameters)
    fit = Fit({}, ())
    if in_sample or whole:
        predict, fit = fitted(name, f, times, seed=seed)
    predicted = predict(f) if in_sample else out_of_fold(name, f, times, good.table, cv, seed=seed)
    judged = np.isfinite(predicted)
    predicted, times, figures = predicted[judged], times[judged], good.table["experiment"].to_numpy(dtype=str)[judged]
    off = pd.DataFrame({"off": _off_pct(predicted, times)}).groupby(figures, sort=False)
    per: Any = off.agg(n=("off", "size"), mape_pct=("off", "mean"), median_ape_pct=("off", "median")).to_dict("index")
    found, label = errors(predicted, times), formula.name if formula else BOOSTING
    return Score(
        good.id, label, len(times), **found, per_experiment=per, cv=cv, parameters=fit.parameters, flags=fit.flags
    )


def compare(runs: Sequence[Run], quantity: str = "latency") -> list[dict[str, Any]]:
    """Compare runs with the first of them.

    Parameters
    ----------
    runs : sequence of Run
        Two or more.
    quantity : "latency" or "throughput"
        Which time.

    Returns
    -------
    list of dict
        One per run: ``run, machine, layers``, ``shared`` (layers also in the first run), ``time_ratio`` (median over
        those of its time divided by the first run's), ``t0_ms`` (overhead in `macs+t0`) and the MAPE (%) of each model.

    Raises
    ------
    AlphaflopsError
        If there are fewer than two runs, or one lacks the quantity.
    """
    if len(runs) < 2:
        raise AlphaflopsError(f"{len(runs)} run given: name two or more to compare")
    rows, first = [], _times(runs[0], quantity)
    for run in runs:
        shared = (_times(run, quantity) / first).dropna()
        scores = {name: score(run, name, quantity=quantity) for name in COMPARED}
        about = {"run": run.id, "machine": run.machine, "layers": len(run.ok.table), "shared": len(shared)}
        about |= {"time_ratio": float(shared.median()), "t0_ms": scores["macs+t0"].parameters["t0"]}
        rows.append(plain(about | {f"{name} %": round(found.mape_pct, 2) for name, found in scores.items()}))
    return rows


def _times(run: Run, quantity: str) -> Any:
    return run.ok.table.assign(ms=run.ok.time_ms(quantity)).groupby([*COLUMNS])["ms"].median()
