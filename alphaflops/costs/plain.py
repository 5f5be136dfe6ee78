"""Plain cost formulas, from FLOPs to a power law: what any better one must beat."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from .alpha import PAPER_T2000, REPLICATION_RTX4090, AlphaConstants
from .features import Features
from .model import Array, CostModel, Parameter

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


def _published(name: str, title: str, constants: AlphaConstants) -> CostModel:
    return CostModel(
        name,
        title,
        r"t = c\,\alpha_K(S)\,\mathrm{MACs}",
        (),
        lambda f, v: constants.time_ms(f.rows, f.kernel_area, f.macs),
    )


PLAIN: Final = (
    CostModel("macs", "FLOPs", r"t = c\,\mathrm{MACs}", (SCALE,), lambda f, v: v[0] * f.macs / 1e6),
    CostModel(
        "macs+t0",
        "FLOPs and a constant",
        r"t = t_0 + c\,\mathrm{MACs}",
        (T0, SCALE),
        lambda f, v: v[0] + v[1] * f.macs / 1e6,
    ),
    _published("alpha-published", "α-FLOPs, published (Quadro T2000)", PAPER_T2000),
    _published("alpha-rtx4090", "α-FLOPs, replication (RTX 4090)", REPLICATION_RTX4090),
    CostModel("alpha", "α-FLOPs, refitted", r"t = c\,\alpha_K(S)\,\mathrm{MACs}", ALPHA, _alpha_ms),
    CostModel(
        "alpha+t0",
        "α-FLOPs and a constant",
        r"t = t_0 + c\,\alpha_K(S)\,\mathrm{MACs}",
        (T0, *ALPHA),
        lambda f, v: v[0] + _alpha_ms(f, v[1:]),
    ),
    CostModel(
        "roofline+t0",
        "roofline (sum) and a constant",
        r"t = t_0 + \mathrm{bytes}/b + \mathrm{MACs}/p",
        (T0, BANDWIDTH, PEAK),
        lambda f, v: v[0] + f.bytes_moved / v[1] / 1e6 + f.macs / v[2] / 1e6,
    ),
    CostModel(
        "power",
        "bytes, a power of each dimension and a constant",
        r"t = t_0 + \mathrm{bytes}/b + c\,S^s K^k C_{in}^{\,i} C_{out}^{\,o}",
        (
            T0,
            BANDWIDTH,
            Parameter("c", "ms", 1e-6, 1e4, 0.1, "time of S = 1000, K = 9 and 100 channels in and out, bytes apart"),
            Parameter("s", "", 0.05, 3.0, 0.9, "exponent of S, output positions of all inputs"),
            Parameter("k", "", 0.05, 3.0, 1.0, "exponent of K, the kernel's area"),
            Parameter("i", "", 0.05, 3.0, 0.9, "exponent of the input channels of a group"),
            Parameter("o", "", 0.05, 3.0, 0.9, "exponent of the output channels"),
        ),
        _power_ms,
    ),
)
"""In the order in which they are shown."""
