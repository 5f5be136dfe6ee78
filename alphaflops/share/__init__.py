"""Runs on their way to others and back: packed by a list of what may leave, checked as a stranger's on return."""

from .archives import import_run, pack_run, read_archive, try_chapters, verify_archive
from .plausibility import problems

__all__ = ["import_run", "pack_run", "problems", "read_archive", "try_chapters", "verify_archive"]
