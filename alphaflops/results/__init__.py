"""Every number that the book shows and compares, in ``data/results/NAME.csv``, made anew where data or code changed.

`read` gives a table, `refresh` computes what is stale, `check` computes again and says what differs.
"""

from .refreshing import check, refresh, stale
from .tables import RESULTS, absent, read

__all__ = ["RESULTS", "absent", "check", "read", "refresh", "stale"]
