"""Fit cost models to runs, score them on held-out layers, and keep them as calibrations."""

from .calibration import Calibration, Prediction, fit, read_calibration
from .optimise import Fit, bootstrap, fit_model
from .validate import Score, held_out, random_folds, sample, score

__all__ = [
    "Calibration",
    "Fit",
    "Prediction",
    "Score",
    "bootstrap",
    "fit",
    "fit_model",
    "held_out",
    "random_folds",
    "read_calibration",
    "sample",
    "score",
]
