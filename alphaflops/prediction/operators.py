"""Times of what no calibrated formula covers, measured alone on one machine; no network enters an `OperatorTable`.

- Normalisation, activation and element-wise work are bound by memory, at a bandwidth that depends on the operator and
  on whether its data fit a cache: one curve per operator, milliseconds against bytes touched.
- Pooling windows and depthwise convolutions take a few fitted numbers.
- Layers of ordinary sizes, timed in turns as in a network, correct the formula; see `alphaflops.prediction.correction`.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import AlphaflopsError
from ..files import from_json, json_bytes, read_json, to_json, write_atomic
from ..layers import Conv2d
from ..paths import data_folder
from .correction import Correction

SCHEMA: Final = 4
FITS: Final = ".fits.json"
"""Ending of the file beside a table with what follows from it and the run's calibration."""
KIND: Final = "alphaflops-operators"
DEPTHWISE_TERMS: Final = ("t0_ms", "ms_per_gmac", "ms_per_gbyte", "ms_per_gtap_row")
POOLING_TERMS: Final = ("t0_ms", "ms_per_gbyte", "ms_per_gtap")
_SAME_WORK: Final = {
    "batch_norm": ("native_batch_norm", "_native_batch_norm_legit_no_training"),
    "layer_norm": ("native_layer_norm",),
    "softmax": ("_softmax", "_safe_softmax", "log_softmax", "_log_softmax"),
    "max_pool2d": ("max_pool2d_with_indices",),
    "mean": ("_adaptive_avg_pool2d",),
    "add": ("sub", "rsub"),
    "mul": ("div",),
    "clone": ("copy", "_to_copy"),
    "hardtanh": ("clamp",),
    "relu": ("clamp_min",),
}
MEASURED_AS: Final = {other: name for name, others in _SAME_WORK.items() for other in others}
"""Operators that do the work of a measured one under another name."""


@dataclass(frozen=True)
class Guess:
    """Time of one operator with an interval (ms), and where it comes from."""

    ms: float
    low_ms: float
    high_ms: float
    source: str

    @property
    def ends(self) -> NDArray[np.float64]:
        """Time, low end and high end, shape ``(3,)`` (ms)."""
        return np.array([self.ms, self.low_ms, self.high_ms])


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
    families : dict
        Operator → its family.
    depthwise : dict
        `DEPTHWISE_TERMS` → fitted number, and ``low_factor``, ``high_factor``: where 90 % of the measured layers lie.
    pooling : dict
        ``"max"`` and ``"avg"`` → `POOLING_TERMS` → fitted number, and the two factors.
    layers : dict
        Random layers of ordinary sizes: columns of `alphaflops.layers.COLUMNS`, and ``ms``, their times in turns.
    rho : float
        Share of the formula's error that different layers have in common, see `alphaflops.prediction.predict`.
    correction : Correction or None
        What the layers in turns say of the run's calibration.
    """

    run: Mapping[str, Any]
    curves: Mapping[str, Curve]
    families: Mapping[str, str]
    depthwise: Mapping[str, float]
    pooling: Mapping[str, Mapping[str, float]]
    layers: Mapping[str, list[Any]]
    rho: float = 1.0
    correction: Correction | None = None

    def time(self, name: str, family: str, moved: int, taps: int = 0) -> Guess:
        """Time of an operator that touches `moved` bytes, and `taps` elements through pooling windows.

        An operator that was measured, alone or under another name, lies on its own curve, give or take `OWN_CURVE`.
        Others get the median of their family's curves, from the fastest to the slowest.
        """
        if taps and self.pooling:
            kind = "avg" if "avg" in name else "max"
            return _sum_of(self.pooling[kind], POOLING_TERMS, (1.0, moved / 1e9, taps / 1e9), "pooling fit")
        plain = name.rstrip("_")  # of an operator that works in place
        known = MEASURED_AS.get(plain, plain)
        if known in self.curves:
            ms = self.curves[known].at(moved)
            return Guess(ms, ms / OWN_CURVE, ms * OWN_CURVE, "operator curve")
        alike = [c for c in self.curves if self.families[c] == family] or list(self.curves)
        times = [self.curves[curve].at(moved) for curve in alike]
        return Guess(float(np.median(times)), min(times), max(times), "family curve")

    def depthwise_ms(self, layer: Conv2d) -> Guess:
        """Time of a depthwise convolution (ms)."""
        return _sum_of(self.depthwise, DEPTHWISE_TERMS, depthwise_terms(layer), "depthwise fit")

    def write(self, path: Path | str) -> Path:
        """Write what was measured as JSON, a line for each part, and what was fitted beside it; give the first path."""
        path = Path(path)
        content = {"kind": KIND, "schema": SCHEMA} | to_json(self)
        fits = {key: content.pop(key) for key in ("rho", "correction")}
        lines = [f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in content.items()]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())
        write_atomic(path.with_suffix(FITS), json_bytes(fits))
        return path


def _sum_of(fitted: Mapping[str, float], names: Sequence[str], terms: Sequence[float], source: str) -> Guess:
    ms = sum(fitted[name] * value for name, value in zip(names, terms, strict=True))
    return Guess(ms, ms * fitted["low_factor"], ms * fitted["high_factor"], source)


OWN_CURVE: Final = 1.5
"""Half-width, as a factor, granted to an operator on its own curve: shapes other than the measured one."""


def depthwise_terms(layer: Conv2d) -> tuple[float, float, float, float]:
    """Give what a depthwise convolution's time is linear in: 1, GMAC, GB, billions of output rows times taps."""
    batch, channels, height, _ = layer.output_shape
    row = layer.row()
    rows = batch * channels * height * row["k1"] * row["k2"]
    return 1.0, layer.macs / 1e9, layer.bytes_moved / 1e9, rows / 1e9


def is_depthwise(layer: object) -> bool:
    """Whether each group of a convolution has one input channel, and there is more than one group."""
    return isinstance(layer, Conv2d) and layer.groups > 1 and layer.in_channels == layer.groups


def operators_folder() -> Path:
    """Folder of the bundled tables."""
    return data_folder() / "operators"


def read_operators(path: Path | str) -> OperatorTable:
    """Read a table.

    Raises
    ------
    AlphaflopsError
        If the file cannot be read or is no table of this schema.
    """
    content = read_json(Path(path))
    if (content.pop("kind", None), content.pop("schema", None)) != (KIND, SCHEMA):
        raise AlphaflopsError(f"{path} is no operator table of schema {SCHEMA}: measure the operators again")
    fits = Path(path).with_suffix(FITS)
    content |= read_json(fits) if fits.is_file() else {}
    table = from_json(OperatorTable, content, str(path))
    for name, curve in table.curves.items():
        if not curve.ms or len(curve.bytes) != len(curve.ms) or min(*curve.bytes, *curve.ms) <= 0:
            raise AlphaflopsError(f"{path}: the curve of {name!r} is damaged")
    return table


def bundled_operators(run_sha256: str) -> OperatorTable | None:
    """Give the bundled table that belongs to a run, known by its hash; None where there is none."""
    for path in sorted(operators_folder().glob("*.json")):
        if not path.name.endswith(FITS):
            files = (path, path.with_suffix(FITS))
            table = _read_once(path, *(file.stat().st_mtime_ns for file in files if file.is_file()))
            if table.run.get("sha256") == run_sha256:
                return table
    return None


@lru_cache(maxsize=8)
def _read_once(path: Path, *_changed_ns: int) -> OperatorTable:
    return read_operators(path)
