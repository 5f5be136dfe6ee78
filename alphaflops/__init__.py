"""α-FLOPs and other cost formulas for neural-network layers, and the measurements that test them.

Names are loaded when first used, so that importing the package loads neither torch, pandas nor matplotlib.
"""

from importlib import import_module
from typing import Any

__version__ = "0.2.0"

_HOME = {
    "AlphaflopsError": "errors",
    "Conv2d": "layers",
    "Dense": "layers",
    "Run": "runs",
    "Shape": "network.inputs",
    "alpha": "costs.alpha",
    "alpha_flops": "costs.alpha",
    "published_ms": "costs.alpha",
    "PAPER_T2000": "costs.alpha",
    "REPLICATION_RTX4090": "costs.alpha",
    "as_table": "network",
    "estimate": "prediction",
    "fit": "fitting",
    "grid": "experiments",
    "load": "runs.datasets",
    "measure": "measuring",
    "measure_network": "prediction",
    "read_calibration": "fitting",
    "score": "fitting",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        message = f"module 'alphaflops' has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(import_module(f"alphaflops.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *_HOME]
