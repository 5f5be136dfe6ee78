"""Whole networks on calibrated machines: predicted time, measured time, and the report that shows them."""

from .api import calibrations, estimate, estimate_factory, find_calibration, report_on
from .curves import measure_operators
from .measuring import measure_network, time_call
from .operators import OperatorTable, read_operators
from .predict import shared_error, total_interval
from .report import Report

__all__ = [
    "OperatorTable",
    "Report",
    "calibrations",
    "estimate",
    "estimate_factory",
    "find_calibration",
    "measure_network",
    "measure_operators",
    "read_operators",
    "report_on",
    "shared_error",
    "time_call",
    "total_interval",
]
