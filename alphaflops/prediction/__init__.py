"""Whole networks on calibrated machines: predicted time, measured time, and the report that shows them."""

from .estimating import calibrations, estimate, estimate_factory, find_calibration, report_on
from .machine import measure_machine, measure_operators
from .operators import OperatorTable, read_operators
from .predict import shared_error, total_interval
from .report import Report
from .timing import measure_network

__all__ = [
    "OperatorTable",
    "Report",
    "calibrations",
    "estimate",
    "estimate_factory",
    "find_calibration",
    "measure_machine",
    "measure_network",
    "measure_operators",
    "read_operators",
    "report_on",
    "shared_error",
    "total_interval",
]
