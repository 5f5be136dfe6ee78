"""Runs on their way to others and back: packed by a list of what may leave, checked as a stranger's on return."""

from .importing import Imported, import_run
from .packing import Packed, pack_run, read_archive, verify_archive
from .plausibility import problems
from .trying import try_chapters

__all__ = ["Imported", "Packed", "import_run", "pack_run", "problems", "read_archive", "try_chapters", "verify_archive"]
