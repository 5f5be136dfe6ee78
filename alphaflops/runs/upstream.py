"""Old names of `sources`, until their callers are rewritten."""

from .datasets import load
from .readers import READERS
from .sources import AUTHORS, MIRROR, OWN, DataSet, fetch, local, registered

Source = DataSet
PLOT_NAMES = {"increasing_Cin": "incresing_Cin_100-1000"}

__all__ = ["AUTHORS", "MIRROR", "READERS", "Source", "fetch", "load", "local", "sources"]


def sources() -> dict[str, DataSet]:
    """Give the upstream entries."""
    return {name: entry for name, entry in registered().items() if entry.reader != OWN}
