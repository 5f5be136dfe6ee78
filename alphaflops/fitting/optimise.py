"""Fit a cost model to measured times: bounded, robust, from several starts, reproducible by seed; and boosting."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
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
PULL: Final = 2.0
"""Weight of a parameter's start: one that strays by its whole log range adds a residual of so many times `SOFT`, times
the square root of the number of layers. It decides what layers hardly show, as the overhead of a call does where no
small one was measured; what they show well it moves by far less than their noise."""
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
LEVEL: Final = 0.9
"""Share of the bootstrap's draws, and of new layers, inside an interval."""

FEW: Final = 2
"""Different layers for each fitted number below which errors in sample say little."""
MISFIT: Final = 2.0
"""Factor by which half of the layers may be off before a formula is said not to describe them."""
LEAST: Final = 40
"""Layers below which the trees of boosting, of twenty leaves, say nothing."""


@dataclass(frozen=True)
class Fit:
    """Fitted parameters of a model.

    Parameters
    ----------
    parameters : dict of str to float
        Fitted values by name, in their units.
    flags : tuple of str
        What a reader must know: parameters at a bound or not shown by the data, and the `doubts`.
    """

    parameters: dict[str, float]
    flags: tuple[str, ...]


def check_times(times_ms: Any, what: str = "the run") -> Array:
    """Give the times as an array.

    Raises
    ------
    AlphaflopsError
        If a time is NaN, infinite, zero or negative, or there is none.
    """
    times = np.asarray(times_ms, dtype=np.float64)
    for row in np.flatnonzero(~(np.isfinite(times) & (times > 0))):
        raise AlphaflopsError(f"{what}: time {times[row]} ms in row {row}: fits need finite, positive times")
    if times.size == 0:
        raise AlphaflopsError(f"{what} has no measured layers: nothing to fit")
    return times


def fit_model(
    model: CostModel, f: Features, times_ms: Array, *, seed: int = 0, residual: Residual = "relative",
    start: Mapping[str, float] | None = None,
) -> Fit:  # fmt: skip
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
        return Fit({}, doubts(f, times, model.formula(f, ())))
    different = len(np.unique(np.column_stack(list(vars(f).values())), axis=0))
    if different < wanted:
        raise AlphaflopsError(f"{different} layers cannot fix the {wanted} parameters of {model.name!r}: measure more")
    problem = _Problem(model, f, np.log(times))
    x = problem.searched(seed, residual) if start is None else problem.descended(problem.logs(start), residual)[0]
    values = {p.name: float(np.clip(np.exp(v), p.low, p.high)) for p, v in zip(model.parameters, x, strict=True)}
    shown, names = _shown(problem.sensitivities(x)), np.array(list(values))
    flags = [f"{name} is not shown by these layers" for name in names[~shown]]
    flags += [f"{name} is at its bound" for name in names[shown & problem.at_bound(x)]]
    flags += doubts(f, times, model.formula(f, list(values.values())))
    if different < FEW * wanted:
        flags.append(f"{different} different layers for {wanted} parameters: errors in sample say little")
    return Fit(values, tuple(flags))


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


@dataclass(frozen=True, eq=False)
class _Problem:
    """A formula held against measured times at points x, the logarithms of its parameters."""

    model: CostModel
    f: Features
    log_times: Array

    @cached_property
    def bounds(self) -> Array:
        """Lowest, highest and first x, three rows."""
        return np.log([(p.low, p.high, p.start) for p in self.model.parameters]).T

    def logs(self, values: Mapping[str, float]) -> Array:
        return np.log([values[p.name] for p in self.model.parameters])

    def log_ms(self, x: Array) -> Array:
        return np.log(self.model.formula(self.f, list(np.exp(x))))

    def sensitivities(self, x: Array) -> Array:
        """Change of log time per unit of x, shape ``(n, parameters)``, by central differences."""
        steps = STEP * np.eye(len(x))
        return np.column_stack([(self.log_ms(x + step) - self.log_ms(x - step)) / (2 * STEP) for step in steps])

    def at_bound(self, x: Array) -> NDArray[np.bool_]:
        low, high, _ = self.bounds
        return np.asarray(np.minimum(x - low, high - x) < AT_BOUND * (high - low))

    def searched(self, seed: int, residual: Residual) -> Array:
        """Descend from several starts on some layers, and from the best ends on all."""
        rng, (low, high, start) = np.random.default_rng(seed), self.bounds
        rows = np.sort(rng.permutation(len(self.log_times))[:SEARCH_ROWS])
        few = _Problem(self.model, self.f.take(rows), self.log_times[rows])
        candidates = low + (high - low) * rng.random((CANDIDATES, len(low)))
        scores = [float(np.mean(np.abs(few.log_ms(c) - few.log_times))) for c in candidates]
        chosen = [start, *candidates[np.argsort(scores, kind="stable")[:STARTS]]]
        found = sorted((few.descended(x, "log", SEARCH_EVALUATIONS) for x in chosen), key=itemgetter(1))
        return min((self.descended(x, residual) for x, _ in found[:FINALISTS]), key=itemgetter(1))[0]

    def descended(self, x0: Array, residual: Residual, most: int = EVALUATIONS) -> tuple[Array, float]:
        """Descend from a point; gives where it ended and the loss there."""
        from scipy.optimize import least_squares

        low, high, start = self.bounds
        margin = 1e-6 * (high - low)
        weight = PULL * np.sqrt(len(self.log_times)) * SOFT / (high - low)

        def residuals(x: Array) -> Array:
            found = self.log_ms(x) - self.log_times
            return np.concatenate([_relative(found) if residual == "relative" else found, weight * (x - start)])

        done = least_squares(
            residuals, np.clip(x0, low + margin, high - margin), bounds=(low, high), loss="soft_l1", f_scale=SOFT,
            diff_step=STEP, max_nfev=most,
        )  # fmt: skip
        return np.asarray(done.x), float(done.cost)


def _relative(log_ratio: Array) -> Array:
    # Beyond a factor of e the error goes on as a straight line, which does not overflow.
    return np.where(log_ratio < 1, np.expm1(np.minimum(log_ratio, 1)), np.e * log_ratio - 1)


def _shown(jacobian: Array) -> NDArray[np.bool_]:
    return np.asarray(np.sqrt(np.mean(jacobian**2, axis=0)) > UNSEEN)


def bootstrap(
    model: CostModel, f: Features, times_ms: Array, values: dict[str, float], *, draws: int = 200, seed: int = 0,
    residual: Residual = "relative",
) -> dict[str, tuple[float, float]]:  # fmt: skip
    """Interval of each parameter by resampling layers, one Newton step of the robust loss per draw.

    Parameters
    ----------
    values : dict of str to float
        The fitted parameters.
    draws : int
        Resamples of the layers.
    residual : "relative" or "log"
        What the fit made small.

    Returns
    -------
    dict
        ``name -> (low, high)`` in the parameter's unit, cut at its bounds. A parameter at a bound or not shown by the
        data gets its bounds.
    """
    found = {p.name: (p.low, p.high) for p in model.parameters}
    if not found:
        return found
    problem = _Problem(model, f, np.log(check_times(times_ms)))
    x, (low, high, _) = problem.logs(values), problem.bounds
    jacobian, residuals = problem.sensitivities(x), problem.log_ms(x) - problem.log_times
    if residual == "relative":
        jacobian *= np.exp(np.minimum(residuals, 1))[:, None]
        residuals = _relative(residuals)
    spread = 1 + (residuals / SOFT) ** 2
    pulls, curvature = residuals / np.sqrt(spread), spread**-1.5  # of the soft-L1 loss
    free = np.flatnonzero(~problem.at_bound(x) & _shown(jacobian))
    if free.size == 0:
        return found
    rng = np.random.default_rng(seed)
    j, n = jacobian[:, free], len(residuals)
    ridge = np.diag(1e-9 * np.sum(j**2, axis=0))
    steps = []
    for _ in range(draws):
        counts = np.bincount(rng.integers(0, n, n), minlength=n)
        hessian = (j * (counts * curvature)[:, None]).T @ j + ridge
        steps.append(np.linalg.solve(hessian, -j.T @ (counts * pulls)))
    # The one-step mean is not zero where the fit stopped early or the pull acts: only the spread is used.
    tails = np.quantile(steps, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0) - np.median(steps, axis=0)
    ends = np.exp(np.clip(x[free] + tails, low[free], high[free]))
    for k, (first, last) in zip(free, ends.T.tolist(), strict=True):
        found[model.parameters[k].name] = first, last
    return found


def fit_boosting(f: Features, times_ms: Any, *, seed: int = 0) -> Any:
    """Fit scikit-learn's histogram gradient boosting to log times; returns ``features -> ms``.

    The ceiling of what a learned model reaches, without a formula.

    Raises
    ------
    AlphaflopsError
        If a time is not positive and finite, or there are fewer than `LEAST` layers.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    times = check_times(times_ms)
    if len(times) < LEAST:
        raise AlphaflopsError(f"{len(times)} layers are too few for boosting: give at least {LEAST}")
    trees = HistGradientBoostingRegressor(loss="absolute_error", max_iter=300, learning_rate=0.07, random_state=seed)
    trees.fit(_logs(f), np.log(times))
    return lambda other: np.exp(trees.predict(_logs(other)))


def _logs(f: Features) -> Array:
    # of sizes alone, whatever layers they are of: a size that is 1 in all of them is still a size
    return np.column_stack([c if c.dtype == bool else np.log(c) for c in vars(f).values()])
