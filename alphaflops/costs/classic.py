"""The usual measures of cost as models: weights, MACs, α-FLOPs, a roofline, each with and without a constant."""

from collections.abc import Sequence

import numpy as np

from .alpha import PAPER_T2000, REPLICATION_RTX4090, AlphaConstants
from .features import Features
from .model import Array, CostModel, Parameter

T0 = Parameter("t0", "ms", 1e-5, 100.0, 0.05, "time of a call that does nothing")
SCALE = Parameter("scale", "ms/MMAC", 1e-6, 100.0, 0.01, "time per million multiply-accumulates")
PEAK = Parameter("p", "GMAC/s", 0.1, 1e6, 1e3, "multiply-accumulates per second")
BANDWIDTH = Parameter("b", "GB/s", 0.1, 1e5, 100.0, "bytes moved per second")
ALPHA = (
    SCALE,
    Parameter("beta_1", "", 1e-6, 1.0, 0.02, "β for 1×1 kernels and dense layers"),
    Parameter("gamma_1", "", 0.01, 1.5, 0.99, "γ for 1×1 kernels and dense layers"),
    Parameter("beta_k", "", 1e-6, 1.0, 0.001, "β for larger kernels"),
    Parameter("gamma_k", "", 0.01, 1.5, 0.56, "γ for larger kernels"),
)


def _alpha_ms(f: Features, values: Sequence[float], scale_k: float | None = None, side: bool = False) -> Array:
    scale, beta_1, gamma_1, beta_k, gamma_k = values
    one = f.kernel_area == 1
    s_k = np.log(f.kernel_area) * (0.5 if side else 1.0) + 1
    beta, gamma = np.where(one, beta_1, beta_k), np.where(one, gamma_1, gamma_k)
    # A kernel larger than its input gives S < S_K; beyond S_K the factor only falls.
    factor = ((s_k + beta * (f.spatial - s_k)) / f.spatial) ** gamma
    return np.asarray(np.where(one, scale, scale if scale_k is None else scale_k) * factor * f.macs / 1e6)


def _published(constants: AlphaConstants) -> CostModel:
    c = constants
    name, title = {
        PAPER_T2000: ("alpha-published", "α-FLOPs, published (Quadro T2000)"),
        REPLICATION_RTX4090: ("alpha-rtx4090", "α-FLOPs, replication (RTX 4090)"),
    }[constants]

    def formula(f: Features, values: Sequence[float]) -> Array:
        return _alpha_ms(f, (c.scale_1, c.beta_1, c.gamma_1, c.beta_k, c.gamma_k), c.scale_k, c.side)

    return CostModel(name, title, r"t = c\,\alpha_K(S)\,\mathrm{MACs}", (), formula)


CLASSIC = (
    CostModel(
        "params",
        "weights",
        r"t = c\,\mathrm{params}",
        (Parameter("scale", "ms/M", 1e-6, 1e4, 0.1, "time per million weights"),),
        lambda f, v: v[0] * f.params / 1e6,
    ),
    CostModel("macs", "FLOPs", r"t = c\,\mathrm{MACs}", (SCALE,), lambda f, v: v[0] * f.macs / 1e6),
    CostModel(
        "macs+t0",
        "FLOPs and a constant",
        r"t = t_0 + c\,\mathrm{MACs}",
        (T0, SCALE),
        lambda f, v: v[0] + v[1] * f.macs / 1e6,
    ),
    _published(PAPER_T2000),
    _published(REPLICATION_RTX4090),
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
        "alpha+t0+bytes",
        "α-FLOPs, bytes and a constant",
        r"t = t_0 + \mathrm{bytes}/b + c\,\alpha_K(S)\,\mathrm{MACs}",
        (T0, BANDWIDTH, *ALPHA),
        lambda f, v: v[0] + f.bytes_moved / v[1] / 1e6 + _alpha_ms(f, v[2:]),
    ),
)
"""Models from weights to a roofline, in the order in which they are shown; the first three are the references."""
