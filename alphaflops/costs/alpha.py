r"""The paper's correction of FLOPs, with the constants of its authors and of the 2026 replication.

.. math::
    \alpha_K(S) = \left(\frac{S_K + \beta_K\,(S - S_K)}{S}\right)^{\gamma_K},
    \qquad S_K = \ln K + 1,
    \qquad \text{α-FLOPs} = \alpha_K(S)\cdot\text{FLOPs}

where :math:`K` is the kernel's area for the authors and its side for the replication.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import AlphaflopsError
from ..layers import as_table
from .model import Array, features


def alpha(s: ArrayLike, k: ArrayLike, beta: ArrayLike, gamma: ArrayLike) -> Array:
    r"""Correction factor :math:`\alpha_K(S)` of the paper, its equation for α-FLOPs.

    Parameters
    ----------
    s : array_like
        Spatial size S ≥ 1, see `alphaflops.costs.Features`.
    k : array_like
        Kernel area K ≥ 1 (its side with the replication's constants).
    beta, gamma : array_like
        Constants without unit, one or one per layer. All four broadcast against each other.

    Returns
    -------
    ndarray
        Factor without unit: in (0, 1] where S ≥ S_K, above 1 where a large kernel meets a smaller input; tends to
        :math:`\beta_K^{\gamma_K}` as S grows.

    Raises
    ------
    AlphaflopsError
        If S or K is below 1 or not finite.
    """
    s, k = np.asarray(s, dtype=np.float64), np.asarray(k, dtype=np.float64)
    for name, values in (("S", s), ("K", k)):
        for bad in values[~(np.isfinite(values) & (values >= 1))]:
            raise AlphaflopsError(f"{name} is {bad}: the formula needs finite sizes of at least 1")
    s_k = np.log(k) + 1
    return np.asarray(((s_k + np.asarray(beta) * (s - s_k)) / s) ** np.asarray(gamma))


@dataclass(frozen=True)
class AlphaConstants:
    """Constants of the α-FLOPs formula, with where they come from.

    Parameters
    ----------
    beta_1, gamma_1, scale_1 : float
        β, γ (no unit) and scale (ms per million MAC) for 1×1 kernels and dense layers.
    beta_k, gamma_k, scale_k : float
        The same for larger kernels.
    side : bool
        Whether :math:`S_K` uses the kernel's side rather than its area.
    source : str
        File and commit, or the run, that the constants come from.

    Raises
    ------
    AlphaflopsError
        If a constant is not finite or not positive.
    """

    beta_1: float
    gamma_1: float
    scale_1: float
    beta_k: float
    gamma_k: float
    scale_k: float
    side: bool
    source: str

    def __post_init__(self) -> None:
        for name in ("beta_1", "gamma_1", "scale_1", "beta_k", "gamma_k", "scale_k"):
            if not 0 < (value := getattr(self, name)) < np.inf:
                raise AlphaflopsError(f"{name} is {value}: the formula needs a finite, positive number")

    def factor(self, s: ArrayLike, area: ArrayLike) -> Array:
        """α of layers by spatial size and kernel area, with the constants of their kernels."""
        area = np.asarray(area, dtype=np.float64)
        one = area == 1
        beta, gamma = np.where(one, self.beta_1, self.beta_k), np.where(one, self.gamma_1, self.gamma_k)
        return alpha(s, np.sqrt(area) if self.side else area, beta, gamma)

    def time_ms(self, s: ArrayLike, area: ArrayLike, done: ArrayLike) -> Array:
        """Time of layers by spatial size, kernel area and MACs, ``scale · α · macs / 10⁶`` (ms)."""
        scale = np.where(np.asarray(area) == 1, self.scale_1, self.scale_k)
        return np.asarray(scale * self.factor(s, area) * np.asarray(done) / 1e6)


PAPER_T2000 = AlphaConstants(
    beta_1=0.02, gamma_1=0.99, scale_1=0.0375, beta_k=0.001, gamma_k=0.56, scale_k=0.0375, side=False,
    source="github.com/asperti/alpha_flops_dataset @ eecef84, make_plots.py, beta_gamma and final",
)  # fmt: skip
"""The authors' constants: Quadro T2000, fp32, milliseconds per million MAC."""

REPLICATION_RTX4090 = AlphaConstants(
    beta_1=0.00972514, gamma_1=1.1779239, scale_1=0.00549217, beta_k=0.00785036, gamma_k=1.0601711,
    scale_k=0.00401956, side=True,
    source="github.com/enriquebarba97/alpha-flops-replication @ 203010e, replication.py, alpha_model",
)  # fmt: skip
"""The replication's constants: RTX 4090, PyTorch 2.9.1, milliseconds per million MAC."""


def published_ms(layers: Any, constants: AlphaConstants = PAPER_T2000) -> Array:
    """Time that the published formula predicts for each layer (ms).

    ``scale · α_K(S) · macs / 10⁶``: the released scripts count multiply–accumulates, not 2 FLOPs for each. Layers are
    whatever `alphaflops.as_table` takes.
    """
    f = features(as_table(layers))
    return constants.time_ms(f.rows, f.kernel_area, f.macs)


def alpha_flops(layers: Any, constants: AlphaConstants = PAPER_T2000) -> Array:
    """α-FLOPs of each layer, ``α_K(S) · 2 · macs`` (FLOP); layers are whatever `alphaflops.as_table` takes."""
    f = features(as_table(layers))
    return np.asarray(constants.factor(f.rows, f.kernel_area) * 2 * f.macs)
