"""Fit cost models to runs, score them on held-out layers, and keep them as calibrations."""

from .calibration import Calibration, calibrate, read_calibration
from .fitting import Fit, bootstrap, fit_model
from .scorecard import scorecard
from .scoring import Score, held_out, random_folds, score

__all__ = [
    "Calibration",
    "Fit",
    "Score",
    "bootstrap",
    "calibrate",
    "fit_model",
    "held_out",
    "random_folds",
    "read_calibration",
    "score",
    "scorecard",
]
