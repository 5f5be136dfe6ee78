r"""The project's own cost formula: a layer as a matrix product that is padded on every side.

A convolution is a product of an M×D by a D×N matrix in each of G groups: M = batch · output positions, N = output
channels and D = input channels · kernel area (the last two per group). A machine works on it in blocks, so that each
side costs a little more than its length, and no product costs less than what keeps all of the machine busy:

.. math::
    t = t_0 + \frac{\mathrm{bytes}}{b} + \frac{\mathrm{weights}_{K>1}}{b_w}
        + \left(\frac{\mathrm{work}(M, N, D, G)}{p}\right)^{e}, \qquad
    \mathrm{work} = \left(G\,(M + 32)(N + 10) + q\right)(D + d)

``bytes`` are input, weights and output, once each. Kernels larger than 1×1 have their weights laid out anew, at b_w.
The power is that of the work's time in ms.

A 3×3 kernel with stride 1, one group and no dilation takes Winograd's F(4×4, 3×3) instead where that is faster: 36
products of P×C by C×N with P = 4×4 patches of the output and C input channels, each ``v`` times as dear; the
transformed input and output, 36 numbers for each patch and channel, are written and read once more.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from .features import Features
from .model import Array, CostModel, Parameter

ROWS: Final = 32.0
COLUMNS: Final = 10.0
"""Padding of rows and columns, half a tile each: a side cut into tiles fills half of the last one on average."""
PRODUCTS: Final = 36
"""Of a 4×4 patch of the output in Winograd's F(4×4, 3×3): one for each number of its 6×6 input."""


def _time_ms(f: Features, values: Sequence[float]) -> Array:
    t0, b, p, d, q, v, e, bw = values

    def time_ms(rows: Array, groups: Array, depth: Array, columns: Array, price: float) -> Array:
        work = (groups * (rows + ROWS) * (columns + COLUMNS) + q) * (depth + d)
        return np.asarray((price * work / p / 1e6) ** e)

    moved = (f.bytes_moved / b + f.weight_bytes * (f.kernel_area > 1) / bw) / 1e6
    time = time_ms(f.rows, f.groups, f.depth, f.columns, 1.0)
    if f.winograd.any():
        w = f.take(f.winograd)
        transforms = 2 * PRODUCTS * w.number_bytes * w.patches * (w.in_channels + w.columns) / b / 1e6
        products = time_ms(w.patches, np.full(len(w), PRODUCTS), w.in_channels, w.columns, v)
        time[f.winograd] = np.minimum(time[f.winograd], transforms + products)
    return np.asarray(t0 + moved + time)


PADDED: Final = CostModel(
    "padded",
    "padded matrix product, bytes and a constant",
    r"t = t_0 + \frac{\mathrm{bytes}}{b} + \frac{\mathrm{weights}_{K>1}}{b_w} + "
    r"\left(\frac{\mathrm{work}}{p}\right)^{e}, \quad \mathrm{work} = \left(G\,(M + 32)(N + 10) + q\right)(D + d)",
    (
        Parameter("t0", "ms", 1e-5, 10.0, 0.01, "time of a call that does nothing"),
        Parameter("b", "GB/s", 0.5, 2e4, 200.0, "bytes moved per second"),
        Parameter("p", "GMAC/s", 1.0, 1e6, 2e3, "multiply-accumulates per second"),
        Parameter("d", "", 0.01, 1e4, 10.0, "depth that the start and end of a product are worth"),
        Parameter("q", "", 1.0, 1e8, 10.0, "outputs that are worth the idle part of a machine that lacks work"),
        Parameter("v", "", 0.05, 20.0, 2.0, "price of a product in Winograd's algorithm against a direct one"),
        Parameter("e", "", 0.3, 1.5, 1.0, "exponent of time in work: below 1, larger layers run faster"),
        Parameter("bw", "GB/s", 0.2, 2e4, 200.0, "weights of larger kernels laid out anew per second"),
    ),
    _time_ms,
)
"""Eight numbers for each machine and two for all, chosen on the development machines alone."""
