"""The cost formulas: plain ones, from FLOPs to a power law, that any better one must beat, and the project's own."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from .alpha import PAPER_T2000, REPLICATION_RTX4090, AlphaConstants
from .model import Array, CostModel, Features, Parameter

T0: Final = Parameter("t0", "ms", 1e-5, 100.0, 0.05, "time of a call that does nothing")
SCALE: Final = Parameter("scale", "ms/MMAC", 1e-6, 100.0, 0.01, "time per million multiply-accumulates")
PEAK: Final = Parameter("p", "GMAC/s", 0.1, 1e6, 1e3, "multiply-accumulates per second")
BANDWIDTH: Final = Parameter("b", "GB/s", 0.1, 1e5, 100.0, "bytes moved per second")
ALPHA: Final = (
    SCALE,
    Parameter("beta_1", "", 1e-6, 1.0, 0.02, "β for 1×1 kernels and dense layers"),
    Parameter("gamma_1", "", 0.01, 1.5, 0.99, "γ for 1×1 kernels and dense layers"),
    Parameter("beta_k", "", 1e-6, 1.0, 0.001, "β for larger kernels"),
    Parameter("gamma_k", "", 0.01, 1.5, 0.56, "γ for larger kernels"),
)
POWER: Final = (
    Parameter("c", "ms", 1e-6, 1e4, 0.1, "time of S = 1000, K = 9 and 100 channels in and out, bytes apart"),
    Parameter("s", "", 0.05, 3.0, 0.9, "exponent of S, output positions of all inputs"),
    Parameter("k", "", 0.05, 3.0, 1.0, "exponent of K, the kernel's area"),
    Parameter("i", "", 0.05, 3.0, 0.9, "exponent of the input channels of a group"),
    Parameter("o", "", 0.05, 3.0, 0.9, "exponent of the output channels"),
)
REFERENCE: Final = {"S": 1000.0, "K": 9.0, "Cin": 100.0, "Cout": 100.0}
"""Layer whose time is the power law's scale: an arbitrary one in the middle of the sizes, so that numbers are plain."""


def _alpha_ms(f: Features, values: Sequence[float]) -> Array:
    scale, beta_1, gamma_1, beta_k, gamma_k = values
    constants = AlphaConstants(beta_1, gamma_1, scale, beta_k, gamma_k, scale, side=False, source="a fit")
    return constants.time_ms(f.rows, f.kernel_area, f.macs)


def _power_ms(f: Features, values: Sequence[float]) -> Array:
    t0, b, c, *exponents = values
    sizes = (f.rows, f.kernel_area, f.in_channels, f.columns * f.groups)
    logs = [x * np.log(size / one) for x, size, one in zip(exponents, sizes, REFERENCE.values(), strict=True)]
    return np.asarray(t0 + f.bytes_moved / b / 1e6 + c * np.exp(sum(logs)))


PLAIN: Final = (
    CostModel("macs", "FLOPs", r"t = c\,\mathrm{MACs}", (SCALE,), lambda f, v: v[0] * f.macs / 1e6),
    CostModel("macs+t0", "FLOPs and a constant", r"t = t_0 + c\,\mathrm{MACs}", (T0, SCALE),
        lambda f, v: v[0] + v[1] * f.macs / 1e6),
    CostModel("alpha-published", "α-FLOPs, published (Quadro T2000)", r"t = c\,\alpha_K(S)\,\mathrm{MACs}", (),
        lambda f, _: PAPER_T2000.time_ms(f.rows, f.kernel_area, f.macs)),
    CostModel("alpha-rtx4090", "α-FLOPs, replication (RTX 4090)", r"t = c\,\alpha_K(S)\,\mathrm{MACs}", (),
        lambda f, _: REPLICATION_RTX4090.time_ms(f.rows, f.kernel_area, f.macs)),
    CostModel("alpha", "α-FLOPs, refitted", r"t = c\,\alpha_K(S)\,\mathrm{MACs}", ALPHA, _alpha_ms),
    CostModel("alpha+t0", "α-FLOPs and a constant", r"t = t_0 + c\,\alpha_K(S)\,\mathrm{MACs}", (T0, *ALPHA),
        lambda f, v: v[0] + _alpha_ms(f, v[1:])),
    CostModel("roofline+t0", "roofline (sum) and a constant", r"t = t_0 + \mathrm{bytes}/b + \mathrm{MACs}/p",
        (T0, BANDWIDTH, PEAK), lambda f, v: v[0] + f.bytes_moved / v[1] / 1e6 + f.macs / v[2] / 1e6),
    CostModel("power", "bytes, a power of each dimension and a constant",
        r"t = t_0 + \mathrm{bytes}/b + c\,S^s K^k C_{in}^{\,i} C_{out}^{\,o}", (T0, BANDWIDTH, *POWER), _power_ms),
)  # fmt: skip
"""In the order in which they are shown."""

COLUMNS: Final = 16.0
"""Padding of columns, on every machine."""
IDLE_TILES: Final = 4
"""Tiles of (2a)² outputs that are worth the idle part of a machine that lacks work."""
ENDS: Final = 1 / 8
"""Depth that the start and end of a product are worth, in units of a."""
PRODUCTS: Final = 36
"""Of a 4×4 patch of the output in Winograd's F(4×4, 3×3): one for each number of its 6×6 input."""


def _padded_ms(f: Features, values: Sequence[float]) -> Array:
    r"""Give times by the project's own formula: a layer as a matrix product that is padded on every side.

    A convolution is a product of an M×D by a D×N matrix in each of G groups: M = batch · output positions, N = output
    channels and D = C · K, input channels times kernel area (the last three per group). A machine works on it in tiles,
    so that each side costs a little more than its length, rows half a tile, ``a``, since the last one is half full on
    average. No product costs less than what keeps all of the machine busy:

    .. math::
        t &= t_0 + \frac{\mathrm{bytes}}{b} + \frac{\mathrm{weights}_{K>1}}{b_w}
            + \left(\frac{\mathrm{outputs} \cdot \mathrm{depth}}{p}\right)^{e} \\
        \mathrm{outputs} &= G\,(M + a)(N + 16) + 16\,a^2, \qquad \mathrm{depth} = C K^{k} + a/8

    ``bytes`` are input, weights and output, once each. Kernels larger than 1×1 have their weights laid out anew, at
    b_w; the exponent k is 1 where each of their taps costs the same. The power e is that of the work's time in ms.

    A 3×3 kernel with stride 1, one group and no dilation takes Winograd's F(4×4, 3×3) instead where that is faster: 36
    products of P×C by C×N with P = 4×4 patches of the output and C input channels, each ``v`` times as dear; the
    transformed input and output, 36 numbers for each patch and channel, are written and read once more.
    """
    t0, b, p, a, k, v, e, bw = values

    def product_ms(rows: Array, groups: Array | int, depth: Array, columns: Array, price: float = 1.0) -> Array:
        outputs = groups * (rows + a) * (columns + COLUMNS) + IDLE_TILES * (2 * a) ** 2
        return np.asarray((price * outputs * (depth + ENDS * a) / p / 1e6) ** e)

    moved = (f.bytes_moved / b + f.weight_bytes * (f.kernel_area > 1) / bw) / 1e6
    time = product_ms(f.rows, f.groups, f.in_channels * f.kernel_area**k, f.columns)
    if f.winograd.any():
        w = f.take(f.winograd)
        transforms = 2 * PRODUCTS * w.number_bytes * w.patches * (w.in_channels + w.columns) / b / 1e6
        products = product_ms(w.patches, PRODUCTS, w.in_channels, w.columns, v)
        time[f.winograd] = np.minimum(time[f.winograd], transforms + products)
    return np.asarray(t0 + moved + time)


PADDED: Final = CostModel(
    "padded",
    "padded matrix product, bytes and a constant",
    r"t = t_0 + \frac{\mathrm{bytes}}{b} + \frac{\mathrm{weights}_{K>1}}{b_w} + "
    r"\left(\frac{\mathrm{outputs}\,\cdot\,\mathrm{depth}}{p}\right)^{e}, \quad "
    r"\mathrm{outputs} = G\,(M + a)(N + 16) + 16\,a^2, \quad \mathrm{depth} = C K^{k} + a/8",
    (
        Parameter("t0", "ms", 1e-5, 10.0, 0.01, "time of a call that does nothing"),
        Parameter("b", "GB/s", 0.5, 2e4, 200.0, "bytes moved per second"),
        Parameter("p", "GMAC/s", 1.0, 1e6, 2e3, "multiply-accumulates per second"),
        Parameter("a", "", 0.1, 1e4, 30.0, "half a tile: rows that the padding of a product is worth"),
        Parameter("k", "", 0.3, 2.0, 1.0, "exponent of the kernel's area"),
        Parameter("v", "", 0.05, 20.0, 2.0, "price of a product in Winograd's algorithm against a direct one"),
        Parameter("e", "", 0.3, 1.5, 1.0, "exponent of time in work: below 1, larger layers run faster"),
        Parameter("bw", "GB/s", 0.2, 2e4, 200.0, "weights of larger kernels laid out anew per second"),
    ),
    _padded_ms,
)
"""Eight numbers for each machine and three for all, chosen on the development machines alone."""
