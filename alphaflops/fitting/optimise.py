"""Fit a cost model to measured times: bounded, robust, from several starts, reproducible by seed."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..costs import CostModel, Features
from ..errors import AlphaflopsError

Array = NDArray[np.float64]

Residual: TypeAlias = Literal["relative", "log"]
"""What a fit makes small: the relative error, which scores average too, or the logarithm of predicted over measured
time, which leaves as many layers above as below."""
SOFT: Final = 0.1
"""Residual at which the soft-L1 loss turns from squares to absolute values: an error of 10 %."""
PULL: Final = 0.01
"""Weight of a parameter's start, as a residual over its whole log range: it decides only what the data leave open."""
CANDIDATES: Final = 60
STARTS: Final = 6
"""Searches from the best random candidates, besides the one from the parameters' starts."""
SEARCH_ROWS: Final = 600
EVALUATIONS: Final = 60
SEARCH_EVALUATIONS: Final = 20
"""Evaluations of each search on `SEARCH_ROWS` layers, in log residuals, which pull from any distance."""
FINALISTS: Final = 2
"""Searches that go on to all layers."""
STEP: Final = 1e-3
AT_BOUND: Final = 1e-3
UNSEEN: Final = 1e-4
"""Root-mean-square change of log time per unit of a parameter's logarithm below which the data do not show it."""

FEW: Final = 2
"""Different layers for each fitted number below which errors in sample say little."""
MISFIT: Final = 2.0
"""Factor by which half of the layers may be off before a formula is said not to describe them."""


@dataclass(frozen=True)
class Fit:
    """Fitted parameters of a model.

    Parameters
    ----------
    parameters : dict of str to float
        Fitted values by name, in their units.
    flags : tuple of str
        What a reader must know: parameters at a bound or not shown by the data, and the `doubts`.
    loss : float
        Robust loss that was minimised (no unit).
    """

    parameters: dict[str, float]
    flags: tuple[str, ...]
    loss: float


def check_times(times_ms: Any, what: str = "the run") -> Array:
    """Give the times as an array.

    Raises
    ------
    AlphaflopsError
        If a time is NaN, infinite, zero or negative, or there is none.
    """
    times = np.asarray(times_ms, dtype=np.float64)
    bad = np.flatnonzero(~(np.isfinite(times) & (times > 0)))
    if bad.size:
        raise AlphaflopsError(f"{what}: time {times[bad[0]]} ms in row {bad[0]}: fits need finite, positive times")
    if times.size == 0:
        raise AlphaflopsError(f"{what} has no measured layers: nothing to fit")
    return times


def fit_model(
    model: CostModel,
    f: Features,
    times_ms: Array,
    *,
    seed: int = 0,
    residual: Residual = "relative",
    start: Mapping[str, float] | None = None,
) -> Fit:
    """Fit by least squares with a soft-L1 loss, in the logarithm of the parameters.

    Parameters
    ----------
    model : CostModel
        What to fit; a published formula comes back without parameters.
    f : Features
        Layers.
    times_ms : ndarray
        Measured times, shape ``(n,)`` (ms).
    seed : int
        Of the random starts.
    residual : "relative" or "log"
        What becomes small, see `Residual`.
    start : mapping, optional
        Every parameter by name, such as those of a fit to almost the same layers; the only start then.

    Raises
    ------
    AlphaflopsError
        If a time is not positive and finite, or there are fewer different layers than parameters.
    """
    times, wanted = check_times(times_ms), len(model.parameters)
    if not wanted:
        return Fit({}, doubts(f, times, model.formula(f, ())), 0.0)
    different = count_different(f)
    if different < wanted:
        raise AlphaflopsError(f"{different} layers cannot fix the {wanted} parameters of {model.name!r}: measure more")
    x, loss = _search(model, f, np.log(times), np.random.default_rng(seed), residual, start)
    values = _values(model, x)
    flags = _flags(model, f, x) + doubts(f, times, model.formula(f, list(values.values())))
    if different < FEW * wanted:
        flags += (f"{different} different layers for {wanted} parameters: errors in sample say little",)
    return Fit(values, flags, loss)


def count_different(f: Features) -> int:
    """Count the layers that differ from each other in some feature."""
    return len(np.unique(np.column_stack([getattr(f, field.name) for field in fields(f)]), axis=0))


def doubts(f: Features, times_ms: Array, predicted_ms: Array) -> tuple[str, ...]:
    """Say what any model of these layers must be doubted for, fitted, published or learned.

    Parameters
    ----------
    f : Features
        Layers.
    times_ms, predicted_ms : ndarray
        Measured times, and those that the model gives, shape ``(n,)`` (ms).
    """
    found = []
    if np.ptp(np.log(times_ms)) < 1e-6:
        found.append("all times are equal: they show no dependence on size")
    if len(np.unique(f.kernel_area)) == 1:
        found.append(f"one kernel size only (area {f.kernel_area[0]:g}): nothing is known of others")
    if np.median(np.abs(np.log(predicted_ms) - np.log(times_ms))) > np.log(MISFIT):
        found.append(f"half of the layers are off by more than a factor of {MISFIT:g}: this is no model of them")
    return tuple(found)


def _bounds(model: CostModel) -> tuple[Array, Array, Array]:
    low, high, start = (np.log([getattr(p, name) for p in model.parameters]) for name in ("low", "high", "start"))
    return low, high, start


def _values(model: CostModel, x: Array) -> dict[str, float]:
    return {p.name: float(np.clip(np.exp(v), p.low, p.high)) for p, v in zip(model.parameters, x, strict=True)}


def log_residuals(model: CostModel, f: Features, log_times: Array, x: Array) -> Array:
    """Logarithm of predicted over measured time at log parameters ``x``, shape ``(n,)``."""
    return np.asarray(np.log(model.formula(f, list(np.exp(x)))) - log_times)


def _search(
    model: CostModel,
    f: Features,
    log_times: Array,
    rng: np.random.Generator,
    residual: Residual,
    known: Mapping[str, float] | None,
) -> tuple[Array, float]:
    if known is not None:
        x0 = np.log([known[p.name] for p in model.parameters])
        return _descend(model, f, log_times, x0, residual, EVALUATIONS)
    low, high, start = _bounds(model)
    rows = np.sort(rng.permutation(len(log_times))[:SEARCH_ROWS])
    few, few_times = f.take(rows), log_times[rows]
    candidates = low + (high - low) * rng.random((CANDIDATES, len(low)))
    scores = [float(np.mean(np.abs(log_residuals(model, few, few_times, c)))) for c in candidates]
    chosen = [start, *(candidates[i] for i in np.argsort(scores, kind="stable")[:STARTS])]
    found = sorted(
        (_descend(model, few, few_times, x0, "log", SEARCH_EVALUATIONS) for x0 in chosen), key=lambda pair: pair[1]
    )
    found = [_descend(model, f, log_times, x, residual, EVALUATIONS) for x, _ in found[:FINALISTS]]
    return min(found, key=lambda pair: pair[1])


def _descend(
    model: CostModel, f: Features, log_times: Array, x0: Array, residual: Residual, most: int
) -> tuple[Array, float]:
    from scipy.optimize import least_squares

    low, high, start = _bounds(model)
    margin = 1e-6 * (high - low)
    weight = PULL * np.sqrt(len(log_times)) * SOFT / (high - low)

    def residuals(x: Array) -> Array:
        found = log_residuals(model, f, log_times, x)
        return np.concatenate([_relative(found) if residual == "relative" else found, weight * (x - start)])

    done = least_squares(
        residuals,
        np.clip(x0, low + margin, high - margin),
        bounds=(low, high),
        loss="soft_l1",
        f_scale=SOFT,
        diff_step=STEP,
        max_nfev=most,
    )
    return np.asarray(done.x), float(done.cost)


def _relative(log_ratio: Array) -> Array:
    # Beyond a factor of e the error goes on as a straight line, which does not overflow.
    return np.where(log_ratio < 1, np.expm1(np.minimum(log_ratio, 1)), np.e * log_ratio - 1)


def sensitivities(model: CostModel, f: Features, x: Array) -> Array:
    """Change of log time per unit of each log parameter, shape ``(n, parameters)``, by central differences."""
    columns = []
    for i in range(len(x)):
        step = np.zeros(len(x))
        step[i] = STEP
        up, down = (np.log(model.formula(f, list(np.exp(x + sign * step)))) for sign in (1, -1))
        columns.append((up - down) / (2 * STEP))
    return np.column_stack(columns)


def _flags(model: CostModel, f: Features, x: Array) -> tuple[str, ...]:
    low, high, _ = _bounds(model)
    seen = np.sqrt(np.mean(sensitivities(model, f, x) ** 2, axis=0)) > UNSEEN
    flags = [f"{p.name} is not shown by these layers" for p, s in zip(model.parameters, seen, strict=True) if not s]
    near = (x - low < AT_BOUND * (high - low)) | (high - x < AT_BOUND * (high - low))
    flags += [f"{p.name} is at its bound" for p, n, s in zip(model.parameters, near, seen, strict=True) if n and s]
    return tuple(flags)


def bootstrap(
    model: CostModel,
    f: Features,
    times_ms: Array,
    values: dict[str, float],
    *,
    draws: int = 200,
    seed: int = 0,
    level: float = 0.9,
    residual: Residual = "relative",
) -> dict[str, tuple[float, float]]:
    """Interval of each parameter by resampling layers, one Newton step of the robust loss per draw.

    Parameters
    ----------
    values : dict of str to float
        The fitted parameters.
    draws : int
        Resamples of the layers.
    level : float
        Share of the draws inside the interval.
    residual : "relative" or "log"
        What the fit made small.

    Returns
    -------
    dict
        ``name -> (low, high)`` in the parameter's unit, cut at its bounds. A parameter at a bound or not shown by the
        data gets its bounds.
    """
    if not model.parameters:
        return {}
    log_times = np.log(check_times(times_ms))
    x = np.log([values[p.name] for p in model.parameters])
    low, high, _ = _bounds(model)
    jacobian, residuals = sensitivities(model, f, x), log_residuals(model, f, log_times, x)
    if residual == "relative":
        jacobian *= np.exp(np.minimum(residuals, 1))[:, None]
        residuals = _relative(residuals)
    spread = 1 + (residuals / SOFT) ** 2
    pulls, curvature = residuals / np.sqrt(spread), spread**-1.5  # of the soft-L1 loss
    inside = (x - low > AT_BOUND * (high - low)) & (high - x > AT_BOUND * (high - low))
    free = np.flatnonzero(inside & (np.sqrt(np.mean(jacobian**2, axis=0)) > UNSEEN))
    found = {p.name: (p.low, p.high) for p in model.parameters}
    if free.size == 0:
        return found
    rng = np.random.default_rng(seed)
    j, n = jacobian[:, free], len(log_times)
    ridge = np.diag(1e-9 * np.sum(j**2, axis=0))
    steps = []
    for _ in range(draws):
        counts = np.bincount(rng.integers(0, n, n), minlength=n)
        hessian = (j * (counts * curvature)[:, None]).T @ j + ridge
        steps.append(np.linalg.solve(hessian, -j.T @ (counts * pulls)))
    tails = np.quantile(np.array(steps), [(1 - level) / 2, (1 + level) / 2], axis=0)
    # The one-step mean is not zero where the fit stopped early or the pull acts: only the spread is used.
    tails -= np.median(np.array(steps), axis=0)
    for i, k in enumerate(free):
        p = model.parameters[k]
        ends = np.exp(np.clip(x[k] + tails[:, i], low[k], high[k]))
        found[p.name] = (float(ends[0]), float(ends[1]))
    return found
