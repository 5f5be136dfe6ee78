"""α-FLOPs and other cost formulas for neural-network layers, and the measurements that test them.

Names are loaded when first used, so that importing the package loads neither torch, pandas nor matplotlib.
"""

from importlib import import_module
from typing import Any

__version__ = "0.2.0"

_NAMES = {
    "costs.alpha": ("PAPER_T2000", "REPLICATION_RTX4090", "alpha", "alpha_flops", "published_ms"),
    "errors": ("AlphaflopsError",),
    "experiments": ("grid",),
    "fitting": ("fit", "read_calibration", "score"),
    "layers": ("Conv2d", "Dense"),
    "measuring": ("measure",),
    "network": ("Shape", "as_table"),
    "prediction": ("estimate", "measure_network"),
    "runs": ("Run",),
    "runs.datasets": ("load",),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'alphaflops' has no attribute {name!r}")
    return getattr(import_module(f"alphaflops.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOME]
