"""From the operators of a network to milliseconds, each with an interval and the name of what it rests on.

Operators with layers take the calibration's formula. Batched products of one call (attention heads, ``bmm``) run as one
kernel: they are timed as one dense layer over all their vectors, plus the further matrices' bytes at the calibration's
bandwidth. Products of different calls (the steps of an LSTM, both gradients of a convolution) add up. Depthwise
convolutions take the fit of an `OperatorTable` where the machine has one, since no figure of the paper contains them;
all other operators take its curves, or their bytes at the calibration's bandwidth.

A calibration is fitted to layers timed alone, at the paper's sizes. Where its run has an `OperatorTable`, what layers
of ordinary sizes take in turns gives a factor on its predictions; see `alphaflops.prediction.correction`.

**Interval of a total.** Errors of a formula are not independent: a machine on which one 3×3 layer is slower than
predicted is slow on its neighbours too. Identical layers share their error fully, different ones a share ``rho``:

    d² = rho · (Σ d_i)² + (1 − rho) · Σ d_i²

with ``d_i`` the distance from the prediction of group i to its end. ``rho`` is the intraclass correlation of a run's
held-out residuals within the lines of its experiments, see `shared_error`; where it is not known it is 1, which gives
the widest interval.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..costs import OURS, features
from ..layers import Conv2d, Dense, Layer, as_table
from ..network import Network, Operation
from ..network.formulas import Repeated
from ..network.trace import COUNTED
from .operators import Guess, OperatorTable, is_depthwise

if TYPE_CHECKING:
    from ..fitting import Calibration
    from ..runs import Run

Known: TypeAlias = dict[Layer, tuple[Guess, bool]]

NOTHING = Guess(float("nan"), float("nan"), float("nan"), "none")
BANDWIDTH_SPREAD = 2.0
"""Half-width, as a factor, of a time that rests on bytes over a bandwidth alone."""


def timed_as(name: str, one: Repeated) -> tuple[Layer, int]:
    """Layer to time and how many times to count it: products of many pairs of matrices fold into one dense layer."""
    if isinstance(one.layer, Dense) and (name in ("bmm", "baddbmm") or "attention" in name):
        return replace(one.layer, batch=one.layer.batch * one.count), 1
    return one.layer, one.count


class Predictor:
    """Predict operators with one calibration, and one operator table if there is one.

    Parameters
    ----------
    calibration : Calibration
        Anything with ``predict``, ``formula_ms`` and ``values`` as a `Calibration` has them.
    operators : OperatorTable or None
        Curves of the same machine.
    """

    def __init__(self, calibration: "Calibration", operators: OperatorTable | None) -> None:
        self.calibration, self.operators = calibration, operators
        self.bandwidth_gbs = float(calibration.values.get("b", float("nan")))

    def network(self, network: Network) -> list[tuple[Guess, bool]]:
        """Time of each operator, and whether one of its layers lies outside the calibrated region."""
        known = self._times([timed_as(o.name, one)[0] for o in network.operations for one in o.layers])
        return [self._operation(operation, known) for operation in network.operations]

    def each(self, layers: Sequence[Layer]) -> list[Guess]:
        """Time of each layer by itself."""
        known = self._times(layers)
        return [known[layer][0] for layer in layers]

    def _times(self, layers: Sequence[Layer]) -> Known:
        """Time of each distinct layer, and whether it lies outside the calibrated region."""
        distinct, table = list(dict.fromkeys(layers)), self.operators
        if not distinct:
            return {}
        found = self.calibration.predict(distinct)
        ends, source = found[["predicted_ms", "low_ms", "high_ms"]].to_numpy(dtype=np.float64), "calibrated"
        correction, own = table.correction if table else None, self.calibration.run
        # The factor says what the run's own calibration misses: it fits no other formula, quantity or run.
        wanted = (self.calibration.model, own["sha256"], own.get("quantity"))
        if table and correction and (correction.model, table.run["sha256"], "latency") == wanted:
            f = features(as_table(distinct))
            ends, source = correction.correct(f, self.calibration.formula_ms(f), ends), "corrected"
        known: Known = {}
        for layer, (ms, low, high), outside in zip(distinct, ends.tolist(), found["outside"], strict=True):
            if table is not None and isinstance(layer, Conv2d) and is_depthwise(layer):
                known[layer] = table.depthwise_ms(layer), False
            else:
                known[layer] = Guess(ms, low, high, source), bool(outside)
        return known

    def _operation(self, operation: Operation, known: Known) -> tuple[Guess, bool]:
        if operation.family == COUNTED:
            return self._layers(operation, known)
        if operation.family == "unknown":
            return NOTHING, False
        if self.operators is not None:
            return self.operators.time(operation.name, operation.family, operation.bytes, operation.taps), False
        if not np.isfinite(self.bandwidth_gbs):
            return NOTHING, False
        ms = operation.bytes / self.bandwidth_gbs / 1e6
        return Guess(ms, ms / BANDWIDTH_SPREAD, ms * BANDWIDTH_SPREAD, "bytes over bandwidth"), False

    def _layers(self, operation: Operation, known: Known) -> tuple[Guess, bool]:
        if not operation.layers:  # nothing to multiply, or products of no layer
            return (NOTHING if operation.macs else Guess(0.0, 0.0, 0.0, "calibrated")), False
        total, outside, source = np.zeros(3), False, "calibrated"
        for one in operation.layers:
            layer, count = timed_as(operation.name, one)
            guess, beyond = known[layer]
            total += count * guess.ends
            outside |= beyond
            folded = count != one.count
            source = "equivalent layer" if one.proxy or folded else guess.source
            if folded and isinstance(layer, Dense):  # the further matrices are read once each
                further = (one.count - 1) * layer.in_features * layer.out_features * layer.dtype_bytes
                total += np.nan_to_num(further / self.bandwidth_gbs / 1e6)
        ms, low, high = (float(value) for value in total)
        return Guess(ms, low, high, source), outside


def total_interval(
    ms: ArrayLike, low: ArrayLike, high: ArrayLike, groups: Sequence[Any], rho: float
) -> tuple[float, float, float]:
    """Sum of predictions with an interval that respects their correlation.

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
    places: dict[Any, int] = {}
    member = np.array([places.setdefault(group, len(places)) for group in groups], dtype=np.intp)
    total = float(values[0].sum())
    ends = []
    for end in values[1:]:
        distance = np.bincount(member, np.abs(end - values[0]))
        ends.append(float(np.sqrt(rho * distance.sum() ** 2 + (1 - rho) * (distance**2).sum())))
    return total, max(total - ends[0], 0.0), total + ends[1]


def shared_error(log_ratio: ArrayLike, groups: ArrayLike) -> float:
    """Intraclass correlation of residuals: the share of their variance that layers of one group have in common.

    Parameters
    ----------
    log_ratio : array_like
        Logarithm of measured over predicted time, held out, shape ``(n,)``.
    groups : array_like
        Group of each layer, such as the line of its experiment, shape ``(n,)``.

    Returns
    -------
    float
        One-way analysis-of-variance estimator (Donner and Koval, 1980, Biometrics 36, 19–25), cut to 0…1.
    """
    residuals, names = np.asarray(log_ratio, dtype=np.float64), np.asarray(groups)
    members: list[NDArray[np.float64]] = [residuals[names == name] for name in np.unique(names)]
    n, k = len(residuals), len(members)
    if k < 2 or n <= k:
        return 1.0
    sizes = np.array([len(m) for m in members])
    between = sum(len(m) * (m.mean() - residuals.mean()) ** 2 for m in members) / (k - 1)
    within = sum(((m - m.mean()) ** 2).sum() for m in members) / (n - k)
    typical = (n - (sizes**2).sum() / n) / (k - 1)
    spread = between + (typical - 1) * within
    return float(np.clip((between - within) / spread, 0, 1)) if spread > 0 else 1.0


def shared_error_of(run: "Run", name: str = OURS.name) -> float:
    """Share of a model's error that the layers of one line of an experiment have in common on a run.

    Residuals are held out by figure, as new networks are.

    Parameters
    ----------
    run : Run
        Measured layers.
    name : str
        Cost model.
    """
    from ..fitting.validate import out_of_fold

    good = run.ok
    times = np.asarray(good.time_ms("latency"), dtype=np.float64)
    predicted = out_of_fold(name, features(good.table), times, good.table, "figure")
    lines = good.table["experiment"].astype(str) + " " + good.table["line"].astype(str)
    return shared_error(np.log(times / predicted), lines.to_numpy())
