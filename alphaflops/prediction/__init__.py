"""Whole networks on calibrated machines: predicted time, measured time, and the report that shows them."""

from .estimating import estimate, estimate_factory, report_on
from .operators import OperatorTable, read_operators
from .report import Report
from .timing import measure_network

__all__ = ["OperatorTable", "Report", "estimate", "estimate_factory", "measure_network", "read_operators", "report_on"]
