"""Whole networks on calibrated machines: predicted time, measured time, and the report that shows them."""

from .estimating import calibrations, estimate, estimate_factory, find_calibration, report_on
from .operators import OperatorTable, read_operators
from .report import Report
from .timing import measure_network

__all__ = [
    "OperatorTable",
    "Report",
    "calibrations",
    "estimate",
    "estimate_factory",
    "find_calibration",
    "measure_network",
    "read_operators",
    "report_on",
]
