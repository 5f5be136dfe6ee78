"""Times of a network's operators, each with an interval and the name of what it rests on.

Operators with layers take the calibration's formula. Batched products of one call (attention heads, ``bmm``) run as one
kernel: they are timed as one dense layer over all their vectors, plus the further matrices' bytes at the calibration's
bandwidth. Products of different calls (the steps of an LSTM, both gradients of a convolution) add up.

What no calibrated formula covers takes its bytes at the calibration's bandwidth, unless it was measured alone on the
machine of the calibration's run; no network enters such an `OperatorTable`:

- Normalisation, activation and element-wise work are bound by memory, at a bandwidth that depends on the operator and
  on whether its data fit a cache: one curve per operator, milliseconds against bytes touched.
- Pooling windows and depthwise convolutions, which no figure of the paper contains, take a few fitted numbers.
- Layers of ordinary sizes, timed in turns as in a network, correct the formula; see `alphaflops.prediction.correction`.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeGuard

import numpy as np

from ..costs import features
from ..errors import AlphaflopsError
from ..files import from_json, read_json, to_json, write_atomic
from ..fitting import Calibration, read_calibration
from ..fitting.intervals import layer_class
from ..layers import Conv2d, Dense, Layer, as_table
from ..network import COUNTED, Network, Operation
from ..network.families import named_family
from ..network.formulas import Repeated
from ..paths import data_folder
from .correction import Factors, fit_factors, log_sizes

SCHEMA: Final = 5
KIND: Final = "alphaflops-operators"
MEASURED_AS: Final = {
    "native_batch_norm": "batch_norm", "_native_batch_norm_legit_no_training": "batch_norm", "clamp_min": "relu",
    "native_layer_norm": "layer_norm", "_softmax": "softmax", "_safe_softmax": "softmax", "log_softmax": "softmax",
    "_log_softmax": "softmax", "max_pool2d_with_indices": "max_pool2d", "_adaptive_avg_pool2d": "mean", "sub": "add",
    "rsub": "add", "div": "mul", "copy": "clone", "_to_copy": "clone", "clamp": "hardtanh",
}  # fmt: skip
"""Operators that do the work of a measured one under another name."""
OWN_CURVE: Final = 1.5
"""Half-width, as a factor, granted to an operator on its own curve: shapes other than the measured one."""
BANDWIDTH_SPREAD: Final = 2.0
"""Half-width, as a factor, of a time that rests on bytes over a bandwidth alone."""


class Guess(NamedTuple):
    """Time with an interval (ms), where it comes from, and whether it is for layers beyond the calibrated region."""

    predicted_ms: float = math.nan
    low_ms: float = math.nan
    high_ms: float = math.nan
    source: str = "none"
    outside: bool = False


@dataclass(frozen=True)
class Curve:
    """Time of one operator against the bytes that it touches, both increasing."""

    bytes: list[float]
    ms: list[float]

    def at(self, moved: int) -> float:
        """Time at a number of bytes (ms), between the measured sizes on straight lines of logarithms."""
        x, y, at = np.log(self.bytes), np.log(self.ms), math.log(max(moved, 1))
        beyond = max(at - x[-1], 0)  # the largest size: there time grows with the bytes
        return float(np.exp(np.interp(at, x, y) + beyond))


@dataclass(frozen=True)
class OperatorTable:
    """Measured curves of one machine.

    Parameters
    ----------
    run : dict
        ``id, sha256, device, threads, protocol, turns, versions``: the run that the table belongs to, and how the
        operators were timed.
    curves : dict
        Operator → `Curve`.
    fits : dict
        ``"depthwise"``, ``"max"`` and ``"avg"`` (pooling windows) → term → fitted number, and ``low_factor``,
        ``high_factor``: where 90 % of the measured cases lie.
    layers : dict
        Random layers of ordinary sizes: columns of `alphaflops.layers.COLUMNS`, and ``ms``, their times in turns.
    reference : Calibration or None
        The run's own calibration, which the layers in turns correct; not part of the file.
    """

    run: Mapping[str, Any]
    curves: Mapping[str, Curve]
    fits: Mapping[str, Mapping[str, float]]
    layers: Mapping[str, list[Any]]
    reference: Calibration | None = None

    @cached_property
    def factors(self) -> Mapping[str, Factors]:
        """What the layers in turns say of the run's own calibration, by kind of layer."""
        return fit_factors(self.reference, self.layers) if self.reference else {}

    def time(self, name: str, family: str, moved: int, taps: int = 0) -> Guess:
        """Time of an operator that touches `moved` bytes, and `taps` elements through pooling windows.

        An operator that was measured, alone or under another name, lies on its own curve, give or take `OWN_CURVE`.
        Others get the median of their family's curves, from the fastest to the slowest.
        """
        if taps and self.fits:
            return self.fitted("avg" if "avg" in name else "max", pooling_terms(moved, taps), "pooling fit")
        plain = name.rstrip("_")  # of an operator that works in place
        if curve := self.curves.get(MEASURED_AS.get(plain, plain)):
            return _around(curve.at(moved), OWN_CURVE, "operator curve")
        alike = [one for operator, one in self.curves.items() if (named_family(operator) or "pointwise") == family]
        times = [one.at(moved) for one in alike or self.curves.values()]
        return Guess(float(np.median(times)), min(times), max(times), "family curve")

    def fitted(self, kind: str, terms: Mapping[str, float], source: str) -> Guess:
        """Time that is linear in some terms."""
        fit = self.fits[kind]
        ms = sum(fit[name] * value for name, value in terms.items())
        return Guess(ms, ms * fit["low_factor"], ms * fit["high_factor"], source)

    def write(self, path: Path) -> Path:
        """Write what was measured as JSON, a line for each part; give the path."""
        measured = {name: to_json(getattr(self, name)) for name in ("run", "curves", "fits", "layers")}
        content = {"kind": KIND, "schema": SCHEMA} | measured
        lines = [f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in content.items()]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())
        return path


def _around(ms: float, factor: float, source: str) -> Guess:
    return Guess(ms, ms / factor, ms * factor, source)


def pooling_terms(moved: int, taps: int) -> dict[str, float]:
    """Give what the time of pooling is linear in: 1, GB, billions of elements that its windows look at."""
    return {"t0_ms": 1.0, "ms_per_gbyte": moved / 1e9, "ms_per_gtap": taps / 1e9}


def depthwise_terms(layer: Conv2d) -> dict[str, float]:
    """Give what a depthwise convolution's time is linear in: 1, GMAC, GB, billions of output rows times taps."""
    rows = math.prod(layer.output_shape[:3]) * math.prod(layer.sides)
    work = {"ms_per_gmac": layer.macs, "ms_per_gbyte": layer.bytes_moved, "ms_per_gtap_row": rows}
    return {"t0_ms": 1.0} | {name: amount / 1e9 for name, amount in work.items()}


def is_depthwise(layer: Layer) -> TypeGuard[Conv2d]:
    """Whether each group of a convolution has one input channel, and there is more than one group."""
    return isinstance(layer, Conv2d) and layer.groups > 1 and layer.in_channels == layer.groups


def tables() -> list[Path]:
    """Files of the bundled tables, which bear the names of their runs."""
    return sorted((data_folder() / "operators").glob("*.json"))


def read_operators(path: Path | str) -> OperatorTable:
    """Read a table, with the calibration of its run if that lies in the folder beside.

    Raises
    ------
    AlphaflopsError
        If a file cannot be read or is no table of this schema.
    """
    content = read_json(path)
    if (content.pop("kind", None), content.pop("schema", None)) != (KIND, SCHEMA):
        raise AlphaflopsError(f"{path} is no operator table of schema {SCHEMA}: measure the operators again")
    table = from_json(OperatorTable, content, str(path))
    for name, curve in table.curves.items():
        if not curve.ms or len(curve.bytes) != len(curve.ms) or min(*curve.bytes, *curve.ms) <= 0:
            raise AlphaflopsError(f"{path}: the curve of {name!r} is damaged")
    beside = Path(path).parent.parent / "calibrations" / Path(path).name
    own = read_calibration(beside) if beside.is_file() else None
    return replace(table, reference=own if own and own.run["sha256"] == table.run.get("sha256") else None)


def bundled_operators(run_sha256: str) -> OperatorTable | None:
    """Give the bundled table that belongs to a run, known by its hash; None where there is none."""
    found = (_read_once(path, path.stat().st_mtime_ns) for path in tables())
    return next((table for table in found if table.run.get("sha256") == run_sha256), None)


@lru_cache(maxsize=8)
def _read_once(path: Path, _changed_ns: int) -> OperatorTable:
    return read_operators(path)


def timed_as(name: str, one: Repeated) -> tuple[Layer, int]:
    """Layer to time and how many times to count it: products of many pairs of matrices fold into one dense layer."""
    if isinstance(one.layer, Dense) and (name in ("bmm", "baddbmm") or "attention" in name):
        return replace(one.layer, batch=one.layer.batch * one.count), 1
    return one.layer, one.count


def layer_times(calibration: Calibration, table: OperatorTable | None, layers: Sequence[Layer]) -> dict[Layer, Guess]:
    """Time of each distinct layer by itself, with a calibration and the operators of its machine if they are known.

    Where the table belongs to the calibration's run, what layers in turns take is a factor on the calibration's times.
    """
    distinct = list(dict.fromkeys(layers))
    if not distinct:
        return {}
    found = calibration.predict(distinct).assign(source="calibrated")[[*Guess._fields]]
    # The factors say what the run's own calibration misses: they fit no other formula, quantity or run.
    if table and table.reference and _about(table.reference) == _about(calibration):
        f = features(as_table(distinct))
        kinds, ms = layer_class(f), calibration.formula_ms(f)
        for kind, factors in table.factors.items():
            rows = kinds == kind
            found.loc[rows, ["predicted_ms", "low_ms", "high_ms"]] = ms[rows, None] * factors(log_sizes(f)[rows])
            found.loc[rows, "source"] = "corrected"
    known = {layer: Guess(*row) for layer, row in zip(distinct, found.to_numpy(dtype=object).tolist(), strict=True)}
    if table:
        own = {layer: depthwise_terms(layer) for layer in distinct if is_depthwise(layer)}
        known |= {layer: table.fitted("depthwise", terms, "depthwise fit") for layer, terms in own.items()}
    return known


def _about(calibration: Calibration) -> tuple[Any, ...]:
    return calibration.model, calibration.run["sha256"], calibration.run.get("quantity")


def operator_times(calibration: Calibration, table: OperatorTable | None, network: Network) -> list[Guess]:
    """Time of each operator of a network, with a calibration and the operators of its machine if they are known."""
    known = layer_times(calibration, table, [timed_as(o.name, one)[0] for o in network.operations for one in o.layers])
    bandwidth_gbs = float(calibration.values.get("b", math.nan))

    def time(operation: Operation) -> Guess:
        if operation.family == COUNTED:
            return _products(operation, known, bandwidth_gbs)
        if operation.family == "unknown" or (not table and math.isnan(bandwidth_gbs)):
            return Guess()
        if table:
            return table.time(operation.name, operation.family, operation.bytes, operation.taps)
        return _around(operation.bytes / bandwidth_gbs / 1e6, BANDWIDTH_SPREAD, "bytes over bandwidth")

    return [time(operation) for operation in network.operations]


def _products(operation: Operation, known: Mapping[Layer, Guess], bandwidth_gbs: float) -> Guess:
    if not operation.layers:  # nothing to multiply, or products of no layer
        return Guess() if operation.macs else Guess(0.0, 0.0, 0.0, "calibrated")
    total, outside, source = np.zeros(3), False, ""
    for one in operation.layers:
        layer, count = timed_as(operation.name, one)
        guess, folded = known[layer], count != one.count
        total += count * np.array(guess[:3])
        outside |= guess.outside
        source = "equivalent layer" if one.proxy or folded else guess.source
        if folded and isinstance(layer, Dense):  # the further matrices are read once each
            further = (one.count - 1) * layer.in_features * layer.out_features * layer.dtype_bytes
            total += np.nan_to_num(further / bandwidth_gbs / 1e6)
    ms, low, high = total.tolist()
    return Guess(ms, low, high, source, outside)
