"""Cost models: layers in, milliseconds out; parameters with names, units and bounds."""

from typing import Final

from ..errors import AlphaflopsError
from .formulas import PADDED, PLAIN
from .model import CostModel, Features, Parameter, features

OURS: Final = PADDED
"""The project's own formula."""
BOOSTING: Final = "boosting"
"""Name of the learned model, which has no formula and lives in `alphaflops.fitting`."""
ANALYTIC: Final[dict[str, CostModel]] = {model.name: model for model in (*PLAIN, OURS)}
MODEL_NAMES: Final = (*ANALYTIC, BOOSTING)

__all__ = ["ANALYTIC", "BOOSTING", "MODEL_NAMES", "OURS", "CostModel", "Features", "Parameter", "features", "model"]


def model(name: str) -> CostModel:
    """Give a cost model by name.

    Raises
    ------
    AlphaflopsError
        If there is no formula of that name.
    """
    if name == BOOSTING:
        raise AlphaflopsError(f"model {name!r} is learned and has no formula: score it on a run")
    if name not in ANALYTIC:
        raise AlphaflopsError(f"model {name!r} is unknown: choose from {', '.join(MODEL_NAMES)}")
    return ANALYTIC[name]
