"""What the paper and its replication claim, each judged on a run by a test with thresholds fixed beforehand."""

from .definitions import CLAIMS, FAILS, HOLDS, IN_PART, NOT_MEASURED
from .judge import Verdict, judge, row, table

__all__ = ["CLAIMS", "FAILS", "HOLDS", "IN_PART", "NOT_MEASURED", "Verdict", "judge", "row", "table"]
