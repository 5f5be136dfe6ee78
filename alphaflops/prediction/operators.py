"""Times of what no calibrated formula covers, measured alone on one machine; no network enters an `OperatorTable`.

- Normalisation, activation and element-wise work are bound by memory, at a bandwidth that depends on the operator and
  on whether its data fit a cache: one curve per operator, milliseconds against bytes touched.
- Pooling windows and depthwise convolutions take a few fitted numbers.
- Layers of ordinary sizes, timed in turns as in a network, correct the formula; see `alphaflops.prediction.correction`.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import AlphaflopsError
from ..layers import Conv2d
from ..network.families import FAMILIES
from ..paths import data_folder
from ..runs import replace_file

SCHEMA: Final = 3
KIND: Final = "alphaflops-operators"
DEPTHWISE_TERMS: Final = ("t0_ms", "ms_per_gmac", "ms_per_gbyte", "ms_per_gtap_row")
POOLING_TERMS: Final = ("t0_ms", "ms_per_gbyte", "ms_per_gtap")
SAME_WORK: Final = {
    "native_batch_norm": "batch_norm",
    "_native_batch_norm_legit_no_training": "batch_norm",
    "native_layer_norm": "layer_norm",
    "_softmax": "softmax",
    "_safe_softmax": "softmax",
    "log_softmax": "softmax",
    "_log_softmax": "softmax",
    "max_pool2d_with_indices": "max_pool2d",
    "_adaptive_avg_pool2d": "mean",
    "sub": "add",
    "rsub": "add",
    "div": "mul",
    "copy": "clone",
    "_to_copy": "clone",
    "clamp": "hardtanh",
    "clamp_min": "relu",
}
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
class OperatorTable:
    """Measured curves of one machine.

    Parameters
    ----------
    run : dict
        ``id, device, threads, protocol, turns, versions`` of the measurement; ``rho`` and ``rho_from``: the share of
        its error that layers have in common, see `alphaflops.prediction.machines.with_fits`.
    curves : dict
        Operator → ``{"bytes": [...], "ms": [...]}``, both increasing in size.
    families : dict
        Operator → its family.
    depthwise : dict
        `DEPTHWISE_TERMS` → fitted number, and ``low_factor``, ``high_factor``: where 90 % of the measured layers lie.
    pooling : dict
        ``"max"`` and ``"avg"`` → `POOLING_TERMS` → fitted number, and the two factors.
    layers : dict
        Random layers of ordinary sizes: columns of `alphaflops.layers.COLUMNS`, and ``ms``, their times in turns.
    formula : dict
        ``model`` and ``parameters`` of the formula fitted to these layers; empty where they are too few.
    """

    run: Mapping[str, Any]
    curves: Mapping[str, Mapping[str, Sequence[float]]]
    families: Mapping[str, str]
    depthwise: Mapping[str, float]
    pooling: Mapping[str, Mapping[str, float]]
    layers: Mapping[str, Sequence[Any]]
    formula: Mapping[str, Any] = field(default_factory=dict)

    def time(self, name: str, family: str, moved: int, taps: int = 0) -> Guess:
        """Time of an operator that touches `moved` bytes, and `taps` elements through pooling windows.

        An operator that was measured, alone or under another name, lies on its own curve, give or take `OWN_CURVE`.
        Others get the median of their family's curves, from the fastest to the slowest.
        """
        if taps and self.pooling:
            kind = "avg" if "avg" in name else "max"
            return _sum_of(self.pooling[kind], POOLING_TERMS, (1.0, moved / 1e9, taps / 1e9), "pooling fit")
        plain = name.rstrip("_")  # of an operator that works in place
        known = SAME_WORK.get(plain, plain)
        if known in self.curves:
            ms = self._on_curve(known, moved)
            return Guess(ms, ms / OWN_CURVE, ms * OWN_CURVE, "operator curve")
        alike = [c for c in self.curves if self.families[c] == family] or list(self.curves)
        times = [self._on_curve(curve, moved) for curve in alike]
        return Guess(float(np.median(times)), min(times), max(times), "family curve")

    def _on_curve(self, name: str, moved: int) -> float:
        curve = self.curves[name]
        x, y = np.log(curve["bytes"]), np.log(curve["ms"])
        at = math.log(max(moved, 1))
        if at > x[-1]:  # beyond the largest size time grows with the bytes
            return float(np.exp(y[-1] + at - x[-1]))
        return float(np.exp(np.interp(at, x, y)))

    def depthwise_ms(self, layer: Conv2d) -> Guess:
        """Time of a depthwise convolution (ms)."""
        return _sum_of(self.depthwise, DEPTHWISE_TERMS, depthwise_terms(layer), "depthwise fit")

    def write(self, path: Path | str) -> Path:
        """Write as JSON and give the path."""
        path = Path(path)
        content = {"kind": KIND, "schema": SCHEMA} | {key: getattr(self, key) for key in _KEYS}
        lines = [f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in content.items()]
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())
        return path


def _sum_of(fitted: Mapping[str, float], names: Sequence[str], terms: Sequence[float], source: str) -> Guess:
    ms = sum(fitted[name] * value for name, value in zip(names, terms, strict=True))
    return Guess(ms, ms * fitted["low_factor"], ms * fitted["high_factor"], source)


OWN_CURVE: Final = 1.5
"""Half-width, as a factor, granted to an operator on its own curve: shapes other than the measured one."""

_KEYS = ("run", "curves", "families", "depthwise", "pooling", "layers", "formula")


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
    path = Path(path)
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise AlphaflopsError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise AlphaflopsError(f"{path} is no operator table: it is not valid JSON") from error
    if not isinstance(content, dict) or (content.get("kind"), content.get("schema")) != (KIND, SCHEMA):
        raise AlphaflopsError(f"{path} is no operator table of schema {SCHEMA}: measure the operators again")
    if missing := [key for key in _KEYS if key not in content]:
        raise AlphaflopsError(f"{path} is no whole operator table: {missing[0]!r} is missing")
    for name, curve in content["curves"].items():
        if len(curve["bytes"]) != len(curve["ms"]) or min([1.0, *curve["bytes"], *curve["ms"]]) <= 0:
            raise AlphaflopsError(f"{path}: the curve of {name!r} is damaged")
    if content["formula"] and set(content["formula"]) != {"model", "parameters"}:
        raise AlphaflopsError(f"{path}: the formula is damaged")
    return OperatorTable(**{key: content[key] for key in _KEYS})


def family_by_name(name: str) -> str:
    """Family of a measured operator."""
    return next((family for family, names in FAMILIES.items() if name in names), "pointwise")
