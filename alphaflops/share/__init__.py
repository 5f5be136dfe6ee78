"""The artifact: runs that can be sent and received, the whole project as one checkable file, and how to cite it."""

from .citation import cite
from .crate import Checked, pack_artifact, verify_crate
from .importing import Imported, import_run
from .plausibility import problems
from .runs import Packed, pack_run, read_run
from .verification import verify_archive

__all__ = [
    "Checked",
    "Imported",
    "Packed",
    "cite",
    "import_run",
    "pack_artifact",
    "pack_run",
    "problems",
    "read_run",
    "verify_archive",
    "verify_crate",
]
