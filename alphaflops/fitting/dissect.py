"""FLOPs dissected: how time grows along each dimension of a layer, in what remains after call overhead and traffic."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..costs import features
from ..errors import AlphaflopsError
from ..runs import Run
from .optimise import LEVEL, Array
from .validate import identical

DIMENSIONS: Final = ("S", "K", "Cin", "Cout", "groups", "batch")
"""Output positions of all inputs, kernel area, channels, groups (an exponent of 1 divides the time by them), and the
batch where it is told apart from the positions of one input."""
DRAWS: Final = 100
LEAST: Final = 50
"""Different layers below which exponents say nothing."""
SOFT: Final = 0.3
"""Log residual from which on a layer pulls less: a third off is no noise (no unit)."""
ALONE: Final = 0.05
"""Least share of a dimension's variance that the others do not explain, below which its exponent is theirs as well."""


@dataclass(frozen=True)
class Exponent:
    """How time grows along one dimension.

    Attributes
    ----------
    dimension : str
        One of `DIMENSIONS`.
    value, low, high : float
        Exponent and its interval; 1 is what FLOPs say; NaN where the layers do not show it.
    reason : str
        Why there is none; empty where there is one.
    """

    dimension: str
    value: float = np.nan
    low: float = np.nan
    high: float = np.nan
    reason: str = ""


def dissect(run: Run, *, draws: int = DRAWS, seed: int = 0) -> list[Exponent]:
    """Fit ``t = t0 + bytes / b + c · S^s · K^k · Cin^i · Cout^o / groups^g`` to a run, then again with the batch apart.

    Call overhead and traffic have terms of their own, so that neither can pass for parallelism. Fitted by least squares
    on log residuals with a soft-L1 loss; intervals by resampling distinct layers.

    Parameters
    ----------
    run : Run
        Measured layers; rows that failed are left out.
    draws, seed : int
        Resamples of the layers, and their seed.

    Returns
    -------
    list of Exponent
        One for each of `DIMENSIONS`.

    Raises
    ------
    AlphaflopsError
        If there are fewer than 50 different layers.
    """
    f, same = features(run.ok.table), identical(run.ok.table)
    if (layers := int(same.max()) + 1) < LEAST:
        raise AlphaflopsError(f"run {run.id!r} has {layers} different layers: dissecting it needs {LEAST}")
    times = np.log(run.ok.table["latency_ms"].to_numpy(dtype=float))

    def exponents(sizes: dict[str, Array]) -> list[Exponent]:
        return _exponents({name: np.log(v) for name, v in sizes.items()}, f.bytes_moved, times, same, draws, seed)

    area = f.height * f.width
    channels = {"Cin": f.in_channels * f.groups, "Cout": f.columns * f.groups, "groups": 1 / f.groups}
    together = exponents({"S": f.rows, "K": f.kernel_area, **channels})
    many = area > 1
    if not many.any() or np.ptp(f.batch[many]) == 0:
        return [*together, Exponent("batch", reason="it varies only where it is S: in dense layers")]
    return [*together, exponents({"S": area, "K": f.kernel_area, **channels, "batch": f.batch})[-1]]


def _exponents(
    logs: dict[str, Array], traffic: Array, times: Array, same: NDArray[np.int64], draws: int, seed: int
) -> list[Exponent]:
    hidden = {name: f"one value only: {np.exp(abs(v[0])):.0f}" for name, v in logs.items() if np.ptp(v) == 0}
    varied, layers = [name for name in logs if name not in hidden], int(same.max()) + 1
    x = np.column_stack([logs[name] - logs[name].mean() for name in varied])
    for k, name in enumerate(varied):
        others = np.delete(x, k, axis=1)
        left = x[:, k] - others @ np.linalg.lstsq(others, x[:, k], rcond=None)[0]
        if left.var() < ALONE * x[:, k].var():
            hidden[name] = "it moves with the others"
    whole = _fit(x, traffic, times, np.ones(len(times)), None)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        weights = np.bincount(rng.integers(0, layers, layers), minlength=layers)[same]
        found.append(_fit(x, traffic, times, weights.astype(float), whole)[3:])
    tails = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    shown = dict(zip(varied, np.array([whole[3:], *tails]).T.tolist(), strict=True))
    return [Exponent(n, reason=hidden[n]) if n in hidden else Exponent(n, *shown[n]) for n in logs]


def _fit(x: Array, traffic: Array, times: Array, weights: Array, start: Array | None) -> Array:
    """Give log t0, log of ms per byte, log c, then the exponents, shape ``(3 + dimensions,)``."""
    from scipy.optimize import least_squares

    used = weights > 0
    x, traffic, times, root = x[used], traffic[used], times[used], np.sqrt(weights[used])

    def parts(p: Array) -> tuple[Array, Array, Array]:
        return np.full(len(times), np.exp(p[0])), np.exp(p[1]) * traffic, np.exp(p[2] + x @ p[3:])

    def residuals(p: Array) -> Array:
        return np.asarray(root * (np.log(sum(parts(p))) - times))

    def jacobian(p: Array) -> Array:
        found = parts(p)
        shares = [root * part / sum(found) for part in found]
        return np.column_stack([*shares, shares[2][:, None] * x])

    middle, least = float(np.median(times)), float(times.min())
    low = np.array([least - 9, -60.0, middle - 20, *[-1.0] * x.shape[1]])
    high = np.array([float(np.quantile(times, 0.5)), 0.0, middle + 20, *[3.0] * x.shape[1]])
    first = np.array([least, float(np.median(times - np.log(traffic))) - 1, middle - 0.5, *[0.9] * x.shape[1]])
    at = np.clip(first if start is None else start, low + 1e-6, high - 1e-6)
    done = least_squares(
        residuals, at, jac=jacobian, bounds=(low, high), loss="soft_l1", f_scale=SOFT, x_scale="jac",
        max_nfev=300 if start is None else 20, ftol=1e-10, xtol=1e-10,
    )  # fmt: skip
    return np.asarray(done.x)
