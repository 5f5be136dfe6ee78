"""Fit cost models to runs, score them on held-out layers, and keep them as calibrations."""

from .calibration import Calibration, Prediction, fit, read_calibration
from .optimise import fit_model
from .validate import sample, score

__all__ = ["Calibration", "Prediction", "fit", "fit_model", "read_calibration", "sample", "score"]
