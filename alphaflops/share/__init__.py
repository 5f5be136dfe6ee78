"""Runs on their way to others and back: packed by a list of what may leave, checked as a stranger's on return."""

from .importing import import_run, try_chapters
from .packing import pack_run, read_archive, verify_archive
from .plausibility import problems

__all__ = ["import_run", "pack_run", "problems", "read_archive", "try_chapters", "verify_archive"]
