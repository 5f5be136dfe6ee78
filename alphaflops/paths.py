"""Where the bundled data lie: in a checkout beside the package, in an installation inside it."""

from pathlib import Path

PACKAGE = Path(__file__).parent
CHECKOUT = PACKAGE.parent


def in_checkout() -> bool:
    """Whether the package is used from a checkout, with notebooks, book and data beside it."""
    return (CHECKOUT / "data" / "datasets.json").is_file()


def data_folder() -> Path:
    """Folder with ``datasets.json``, ``runs/`` and ``calibrations/``."""
    return CHECKOUT / "data" if in_checkout() else PACKAGE / "data"
