r"""The project's own cost formula: a layer as tiles of a matrix product, with bytes and a call overhead.

A convolution is a product of an M×K by a K×N matrix in each of G groups, with M = batch · output positions,
N = output channels and K = input channels · kernel area (the last two per group). Hardware computes it in tiles of
``a`` rows by ``h`` columns. A tile costs its products and the fetching of its two edges; its start and end cost
products too:

.. math::
    \mathrm{work}(M, N, K, G; P) = \min_{a,h}\ \sqrt{\left(G\lceil M/a\rceil\lceil N/h\rceil\right)^2 + P^2}\;
        \frac{ah + c\,(a + h)}{1 + c/64}\;\left(K^{0.7} + k^{0.7}\right)^{1/0.7}

With A and W the bytes of activations and weights, O those of the output, the time of a layer is

.. math::
    t &= y\left(1 + \frac{y}{2\,(y + l)}\right), \qquad y = \left(t_0^{\,q} + z^{\,q}\right)^{1/q}, \qquad
    z = \max\nolimits_8\!\left(\frac{\mathrm{work}}{p},\ \frac{\mathrm{missed}(A)}{b}\right)
        + \frac{\mathrm{missed}(W)}{b} + \frac{\mathrm{new}(O)}{f} \\
    \mathrm{missed}(x) &= \frac{x^2}{x + s}, \qquad \mathrm{new}(x) = \frac{x^5}{x^4 + m^4}

where :math:`\max_8(x, y) = (x^8 + y^8)^{1/8}`: arithmetic and activation traffic overlap. A cache keeps small tensors;
a buffer beyond ``m`` is taken from the system anew at each call, page by page. A layer that runs for as long as ``l``
or longer is slower than its size says, as a falling clock makes it, by at most half.

**Dense and 1×1 layers** have P = 0. **Larger kernels** compute at ``d·p``; they skip a share of the products that meet
padding, so that K becomes :math:`K\,(\mathrm{valid\ MACs}/\mathrm{MACs})^v`; and they lay their weights out anew, which
adds :math:`\mathrm{new}(W)/f + \mathrm{spread}\cdot W/b_w` with
:math:`\mathrm{spread} = n^{1.5}/(n^{1.5} + u^{1.5})` for n = output channels · kernel area: few lines stay in a cache.

**3×3 kernels** with stride 1 take the fastest of that and two of Winograd's algorithms, whose products run at ``w·p``:

- F(4×4, 3×3): 36 products of (4×4 patches × Cin) by (Cin × Cout), a quarter of the arithmetic. The transformed input
  and output are written and read once more, half of it beside the products; the transformed weights cost
  :math:`2W/b_w`.
- F(2×2, 3×3), fused: one block per 8×16 output positions and 32 output channels, 16,384 products for each input channel
  (16 for each of 32 · 32), no further traffic; P/2 of them fill the device. The blocks of such kernels in NeuSight's
  data are exactly these.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ..errors import AlphaflopsError
from .features import Features
from .model import Array, CostModel, Parameter

PARAMETERS = (
    Parameter("t0", "ms", 1e-5, 10.0, 0.05, "time of a call that does nothing"),
    Parameter("q", "", 1.0, 20.0, 2.0, "1: the overhead adds to the work; large: it hides behind the work"),
    Parameter("b", "GB/s", 0.5, 2e4, 100.0, "bandwidth"),
    Parameter("bw", "GB/s", 0.2, 2e4, 50.0, "rate at which the weights of larger kernels are laid out anew"),
    Parameter("p", "GMAC/s", 1.0, 1e6, 1e3, "multiply-accumulates per second on full tiles"),
    Parameter("d", "", 0.05, 5.0, 0.7, "speed of kernels larger than 1×1 against dense and 1×1 layers"),
    Parameter("P", "tiles", 1.0, 2000.0, 30.0, "tiles that must be there for full speed (kernels larger than 1×1)"),
    Parameter("f", "GB/s", 0.1, 2e4, 100.0, "rate at which large buffers are taken from the system"),
    Parameter("v", "", 0.01, 1.0, 0.3, "share of the padding's products that is skipped"),
    Parameter("c", "", 0.01, 300.0, 1.0, "cost of fetching a tile's edge, dense and 1×1 layers (columns)"),
    Parameter("ck", "", 0.01, 300.0, 4.0, "cost of fetching a tile's edge, larger kernels (columns)"),
    Parameter("k0", "", 0.01, 1000.0, 20.0, "depth that a tile's start and end are worth, dense layers (products)"),
    Parameter("kc", "", 0.01, 1000.0, 8.0, "depth that a tile's start and end are worth, convolutions (products)"),
    Parameter("w", "", 0.02, 2.0, 0.35, "speed of Winograd's products against dense and 1×1 layers"),
    Parameter("s", "MB", 0.001, 300.0, 20.0, "cache: traffic of so many bytes costs half"),
    Parameter("m", "MB", 1.0, 1e4, 64.0, "buffers of so many bytes are half new"),
    Parameter("u", "", 1.0, 1e6, 9000.0, "output channels · kernel area at which half of the relayout is slow"),
    Parameter("l", "ms", 1.0, 1e6, 500.0, "time of a layer that a falling clock slows by a quarter"),
)
"""Every number the formula can take; a `Structure` fixes some of them for all machines."""
FEW = 1.5
"""Exponent with which the relayout of weights becomes slow."""
LONGEST = 0.5
"""Most that a falling clock adds to the time of a long layer, as a share."""
STEEP = 4.0
"""Exponent with which buffers become new."""


@dataclass(frozen=True, eq=False)
class Structure:
    """What the formula fixes for all machines, the rest being fitted.

    Parameters
    ----------
    fixed : mapping of str to float
        Parameters that are constants; those not named are fitted.
    dense_heights, point_heights, large_heights, widths : tuple of int
        Tile sizes to choose from: rows of dense layers, of 1×1 convolutions and of larger kernels, columns of all.
    overlap : float
        Exponent that joins arithmetic and activation traffic: 1 adds them, large takes the larger.
    start : float
        Exponent that joins a tile's depth and the worth of its start: 1 adds them.
    relayout : bool
        Whether the relayout of few output channels and taps is fast.
    transforms : float
        Share of Winograd's further traffic that adds to its products; the rest runs beside them.
    winograd, fused : bool
        Whether 3×3 kernels may use F(4×4, 3×3), and the fused F(2×2, 3×3).
    """

    fixed: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    dense_heights: tuple[int, ...] = (1, 32, 64, 128)
    point_heights: tuple[int, ...] = (32, 64, 128)
    large_heights: tuple[int, ...] = (64, 128)
    widths: tuple[int, ...] = (32, 64, 128)
    overlap: float = 8.0
    start: float = 0.7
    relayout: bool = True
    transforms: float = 0.5
    winograd: bool = True
    fused: bool = True

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.fixed) - {p.name for p in PARAMETERS}):
            known = ", ".join(p.name for p in PARAMETERS)
            raise AlphaflopsError(f"parameter {unknown[0]!r} is unknown: choose from {known}")


@dataclass(frozen=True, eq=False)
class Tiling:
    """Ways to cut matrix products into tiles, all that does not depend on fitted numbers.

    Parameters
    ----------
    tiles : ndarray
        Tiles of each shape for each product, shape ``(shapes, n)``.
    area, edges : ndarray
        Products and edge elements of one tile, shape ``(shapes, 1)``.
    """

    tiles: Array
    area: Array
    edges: Array

    @classmethod
    def of(
        cls, rows: Array, columns: Array, copies: Array | float, heights: Sequence[int], widths: Sequence[int]
    ) -> "Tiling":
        """Cut ``copies`` products of ``rows`` by ``columns``, arrays of shape ``(n,)``, into every shape of tile."""
        shapes = [(a, b) for a in heights for b in widths]
        tiles = [copies * np.ceil(rows / a) * np.ceil(columns / b) for a, b in shapes]
        area, edges = (
            np.array([[v] for v in values], dtype=np.float64)
            for values in ([a * b for a, b in shapes], [a + b for a, b in shapes])
        )
        return cls(np.array(tiles, dtype=np.float64), area, edges)

    def work(self, depth: Array, edge: float, full: float) -> Array:
        """Products that the best shape spends, shape ``(n,)`` (MAC).

        Parameters
        ----------
        depth : ndarray
            Depth of the products, shape ``(n,)``.
        edge : float
            Cost of fetching one row or column of a tile, in products per unit of depth.
        full : float
            Tiles that keep the machine busy; fewer cost as much as that many.
        """
        one = (self.area + edge * self.edges) / (1 + edge / 64)
        # Compared as squares: one root for each product instead of one for each shape.
        return np.asarray(np.sqrt(((self.tiles * self.tiles + full * full) * (one * one)).min(axis=0)) * depth)


def make(name: str, title: str, structure: Structure) -> CostModel:
    """Build the formula with a structure as a cost model whose parameters are those left to fit."""
    free = tuple(p for p in PARAMETERS if p.name not in structure.fixed)

    def formula(f: Features, values: Sequence[float]) -> Array:
        x = dict(structure.fixed) | dict(zip((p.name for p in free), values, strict=True))
        return _time_ms(f, x, structure)

    return CostModel(name, title, EQUATION, free, formula)


EQUATION = (
    r"t = y\left(1 + \tfrac{y}{2\,(y + l)}\right),\quad y = \left(t_0^{\,q} + z^{\,q}\right)^{1/q},\quad "
    r"z = \max\nolimits_8\!\left(\mathrm{work}/p,\ \mathrm{missed}(A)/b\right) + \mathrm{missed}(W)/b + "
    r"\mathrm{new}(O)/f"
)


@dataclass(frozen=True, eq=False)
class _Part:
    """Layers of one class: where they stand in the table, their features and tilings; `fast` may use Winograd."""

    where: NDArray[np.int64]
    f: Features
    tiling: Tiling
    fast: NDArray[np.int64]
    fast_f: Features
    patches: Tiling


@lru_cache(maxsize=32)
def _parts(f: Features, s: Structure) -> dict[str, _Part]:
    classes = {"dense": f.dense, "pointwise": f.pointwise, "large": ~(f.dense | f.pointwise)}
    heights = {"dense": s.dense_heights, "pointwise": s.point_heights, "large": s.large_heights}
    parts = {}
    for name, mask in classes.items():
        where = np.flatnonzero(mask)
        if where.size:
            g = f.take(where)
            fast = np.flatnonzero(g.winograd)
            quick = g.take(fast)
            tiling = Tiling.of(g.rows, g.columns, g.groups, heights[name], s.widths)
            patches = Tiling.of(quick.patches, quick.columns, 36.0, s.large_heights, s.widths)
            parts[name] = _Part(where, g, tiling, fast, quick, patches)
    return parts


def _time_ms(f: Features, x: Mapping[str, float], s: Structure) -> Array:
    z = np.empty(len(f))
    for name, part in _parts(f, s).items():
        g = part.f
        if name == "large":
            z[part.where] = _large_kernels(part, x, s)
        else:
            depth = _power_sum(g.depth, x["k0"] if name == "dense" else x["kc"], s.start)
            work = part.tiling.work(depth, x["c"], 0.0)
            z[part.where] = _join(work / x["p"], _missed(g.activation_bytes, x) / x["b"], s.overlap)
        z[part.where] += _missed(g.weight_bytes, x) / x["b"] + _new(g.output_bytes, x) / x["f"]
    z /= 1e6
    y = z * (1 + (x["t0"] / z) ** x["q"]) ** (1 / x["q"])
    return np.asarray(y * (1 + LONGEST * y / (y + x["l"])))


def _large_kernels(part: _Part, x: Mapping[str, float], s: Structure) -> Array:
    f = part.f
    depth = _power_sum(f.depth * (f.valid_macs / f.macs) ** x["v"], x["kc"], s.start)
    traffic = _missed(f.activation_bytes, x) / x["b"]
    z = _join(part.tiling.work(depth, x["ck"], x["P"]) / (x["d"] * x["p"]), traffic, s.overlap)
    if part.fast.size:
        z[part.fast] = np.minimum(z[part.fast], _winograd(part, traffic[part.fast], x, s))
    lines = (f.columns * f.groups * f.kernel_area) ** FEW
    spread = lines / (lines + x["u"] ** FEW) if s.relayout else 1.0
    return np.asarray(z + spread * f.weight_bytes / x["bw"] + _new(f.weight_bytes, x) / x["f"])


def _winograd(part: _Part, traffic: Array, x: Mapping[str, float], s: Structure) -> Array:
    f, speed = part.fast_f, x["w"] * x["p"]
    depth = _power_sum(f.in_channels, x["kc"], s.start)
    z = np.full(len(f), np.inf)
    if s.winograd:
        # Transformed input and output, 36 numbers for each patch and channel, each written once and read once.
        moved = 72 * f.number_bytes * f.patches * (f.in_channels + f.columns) / x["b"]
        work = part.patches.work(depth, x["ck"], x["P"]) / speed
        beside = _join(work, (1 - s.transforms) * moved, s.overlap)
        z = beside + traffic + s.transforms * moved + 2 * f.weight_bytes / x["bw"]
    if s.fused:
        blocks = np.sqrt((f.blocks * np.ceil(f.columns / 32)) ** 2 + (x["P"] / 2) ** 2)
        z = np.minimum(z, _join(blocks * 16_384 * depth / speed, traffic, s.overlap))
    return z


def _missed(moved: Array, x: Mapping[str, float]) -> Array:
    return np.asarray(moved * (moved / (moved + 1e6 * x["s"])))


def _new(taken: Array, x: Mapping[str, float]) -> Array:
    ratio = (taken / (1e6 * x["m"])) ** STEEP
    return np.asarray(taken * (ratio / (1 + ratio)))


def _power_sum(depth: Array, start: float, power: float) -> Array:
    return np.asarray(depth + start if power == 1 else (depth**power + start**power) ** (1 / power))


def _join(first: Array, second: Array, power: float) -> Array:
    # The larger one is factored out: the eighth power of a nanosecond count overflows nothing but loses digits.
    if power == 1:
        return np.asarray(first + second)
    top = np.maximum(first, second)
    return np.asarray(top * ((first / top) ** power + (second / top) ** power) ** (1 / power))
