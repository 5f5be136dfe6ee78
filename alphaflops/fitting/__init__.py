"""Fit cost models to runs, score them on held-out layers, and keep them as calibrations."""

from .bundled import BUNDLED_MODELS, has_folds, rewrite
from .calibration import Calibration, calibrate, read_calibration
from .fitting import Fit, bootstrap, fit_model
from .scorecard import scorecard
from .scoring import Score, held_out, random_folds, score

__all__ = [
    "BUNDLED_MODELS",
    "Calibration",
    "Fit",
    "Score",
    "bootstrap",
    "calibrate",
    "fit_model",
    "has_folds",
    "held_out",
    "random_folds",
    "read_calibration",
    "rewrite",
    "score",
    "scorecard",
]
