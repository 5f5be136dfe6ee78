r"""The project's own cost formula: a layer as tiles of a matrix product, with bytes and a call overhead.

A convolution is a product of an M×K by a K×N matrix in each of G groups, with M = batch · output positions,
N = output channels and K = input channels · kernel area (the last two per group). Hardware computes it in tiles of
``a`` rows by ``b`` columns; a tile costs its products plus the fetching of its two edges. Then

.. math::
    \mathrm{tiles}(M, N, K, G) &= \min_{a,b}\ \sqrt{\left(G\lceil M/a\rceil\lceil N/b\rceil\right)^2 + P^2}\;
        (K + k_0)\,\frac{ab + c\,(a + b)}{1 + c/64} \\
    z &= \Big(\big(\mathrm{tiles}/p\big)^{8} + \big(\mathrm{missed}(A)/b\big)^{8}\Big)^{1/8}
        + \mathrm{missed}(W)/b,\qquad \mathrm{missed}(x) = x^2/(x + s) \\
    t &= \left(t_0^{\,q} + z^{\,q}\right)^{1/q}

with A and W the bytes of activations and weights. The tiles have 32, 64 or 128 rows and columns; a dense layer may also
use one row. Kernels larger than 1×1 compute at ``d·p``, lay their weights out anew at each call (``W/b_w`` in place of
``missed(W)/b``), and skip a share of the products that meet padding: K becomes
:math:`K\,(\mathrm{valid\ MACs}/\mathrm{MACs})^v`. For dense and 1×1 layers P = 0. A 3×3 convolution with stride 1 takes
the faster of that and Winograd's F(4×4, 3×3): 36 products of (4×4 patches × Cin) by (Cin × Cout) at ``w·p``, a quarter
of the arithmetic, with the transformed input, weights and output as further traffic.
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
    Parameter("q", "", 1.0, 20.0, 1.0, "1: the overhead adds to the work; large: it hides behind the work"),
    Parameter("b", "GB/s", 0.5, 2e4, 100.0, "bandwidth for activations, and for weights of dense and 1×1 layers"),
    Parameter("bw", "GB/s", 0.2, 2e4, 100.0, "bandwidth for the weights of larger kernels"),
    Parameter("p", "GMAC/s", 1.0, 1e6, 1e3, "multiply-accumulates per second on full tiles"),
    Parameter("d", "", 0.05, 5.0, 1.0, "speed of kernels larger than 1×1 against dense and 1×1 layers"),
    Parameter("P", "tiles", 1.0, 2000.0, 30.0, "tiles that must be there for full speed (kernels larger than 1×1)"),
    Parameter("v", "", 0.01, 1.0, 0.1, "share of the padding's products that is skipped"),
    Parameter("c", "", 0.01, 300.0, 1.0, "cost of fetching a tile's edge, dense and 1×1 layers (columns)"),
    Parameter("ck", "", 0.01, 300.0, 16.0, "cost of fetching a tile's edge, larger kernels (columns)"),
    Parameter("k0", "", 0.01, 1000.0, 16.0, "depth that a tile's start and end are worth (products)"),
    Parameter("w", "", 0.02, 2.0, 0.25, "speed of Winograd's products against dense and 1×1 layers"),
    Parameter("s", "MB", 0.001, 300.0, 1.0, "cache: traffic of so many bytes costs half"),
)
"""Every number the formula can take; a `Structure` fixes some of them for all machines."""


@dataclass(frozen=True, eq=False)
class Structure:
    """What the formula fixes for all machines, the rest being fitted.

    Parameters
    ----------
    fixed : mapping of str to float
        Parameters that are constants; those not named are fitted.
    dense_heights, conv_heights, widths : tuple of int
        Tile sizes to choose from: rows of dense layers, rows of convolutions, columns.
    overlap : float
        Exponent that joins arithmetic and activation traffic: 1 adds them, large takes the larger.
    winograd : bool
        Whether 3×3 kernels may use Winograd's algorithm.
    """

    fixed: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    dense_heights: tuple[int, ...] = (1, 32, 64, 128)
    conv_heights: tuple[int, ...] = (32, 64, 128)
    widths: tuple[int, ...] = (32, 64, 128)
    overlap: float = 8.0
    winograd: bool = True

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
        tiles = np.hypot(self.tiles, full) if full else self.tiles
        return np.asarray((tiles * ((self.area + edge * self.edges) / (1 + edge / 64))).min(axis=0) * depth)


def make(name: str, title: str, structure: Structure) -> CostModel:
    """Build the formula with a structure as a cost model whose parameters are those left to fit."""
    free = tuple(p for p in PARAMETERS if p.name not in structure.fixed)

    def formula(f: Features, values: Sequence[float]) -> Array:
        x = dict(structure.fixed) | dict(zip((p.name for p in free), values, strict=True))
        return _time_ms(f, x, structure)

    return CostModel(name, title, EQUATION, free, formula)


EQUATION = (
    r"t = \left(t_0^{\,q} + z^{\,q}\right)^{1/q},\quad z = \Big((\mathrm{tiles}/p)^8 + "
    r"(\mathrm{missed}(A)/b)^8\Big)^{1/8} + \mathrm{missed}(W)/b"
)


@dataclass(frozen=True, eq=False)
class _Part:
    """Layers of one class: where they stand in the table, their features and their tilings."""

    where: NDArray[np.int64]
    f: Features
    tiling: Tiling
    fast: NDArray[np.int64]
    patches: Tiling


@lru_cache(maxsize=32)
def _parts(f: Features, s: Structure) -> dict[str, _Part]:
    classes = {"dense": f.dense, "pointwise": f.pointwise, "large": ~(f.dense | f.pointwise)}
    parts = {}
    for name, mask in classes.items():
        where = np.flatnonzero(mask)
        if where.size:
            g = f.take(where)
            heights = s.dense_heights if name == "dense" else s.conv_heights
            tiling = Tiling.of(g.rows, g.columns, g.groups, heights, s.widths)
            fast = np.flatnonzero(g.winograd & s.winograd)
            patches = Tiling.of(g.patches[fast], g.columns[fast], 36.0, s.conv_heights, s.widths)
            parts[name] = _Part(where, g, tiling, fast, patches)
    return parts


def _time_ms(f: Features, x: Mapping[str, float], s: Structure) -> Array:
    z = np.empty(len(f))
    for name, part in _parts(f, s).items():
        g = part.f
        if name == "large":
            z[part.where] = _large_kernels(part, x, s)
        else:
            work = part.tiling.work(g.depth + x["k0"], x["c"], 0.0)
            joined = _join(work / x["p"], _missed(g.activation_bytes, x) / x["b"], s.overlap)
            z[part.where] = joined + _missed(g.weight_bytes, x) / x["b"]
    z /= 1e6
    return np.asarray(z * (1 + (x["t0"] / z) ** x["q"]) ** (1 / x["q"]))


def _large_kernels(part: _Part, x: Mapping[str, float], s: Structure) -> Array:
    f, w = part.f, part.fast
    depth = f.depth * (f.valid_macs / f.macs) ** x["v"] + x["k0"]
    speed = x["d"] * x["p"]
    traffic = _missed(f.activation_bytes, x)
    z = _join(part.tiling.work(depth, x["ck"], x["P"]) / speed, traffic / x["b"], s.overlap)
    if w.size:
        work = part.patches.work(f.in_channels[w] + x["k0"], x["ck"], x["P"])
        # Transformed input, weights and output, each written once and read once.
        numbers = f.patches[w] * (f.in_channels[w] + f.columns[w]) + f.in_channels[w] * f.columns[w]
        moved = traffic[w] + 72 * f.number_bytes[w] * numbers
        z[w] = np.minimum(z[w], _join(work / (x["w"] * x["p"]), moved / x["b"], s.overlap))
    return np.asarray(z + f.weight_bytes / x["bw"])


def _missed(moved: Array, x: Mapping[str, float]) -> Array:
    return np.asarray(moved * (moved / (moved + 1e6 * x["s"])))


def _join(first: Array, second: Array, power: float) -> Array:
    # The larger one is factored out: the fourth power of a nanosecond count overflows nothing but loses digits.
    if power == 1:
        return np.asarray(first + second)
    top = np.maximum(first, second)
    return np.asarray(top * ((first / top) ** power + (second / top) ** power) ** (1 / power))
