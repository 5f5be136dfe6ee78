"""A run: what was measured on which machine, as metadata, one row per layer, and the samples everything follows from.

A run folder holds ``layers.csv`` (one row per layer: sizes, status, state of the device), ``samples.npz`` (raw
samples), ``SHA256SUMS`` (checkable with ``sha256sum -c``) and ``run.json`` (metadata, written last).
"""

from .run import RUN_FILE, SAMPLES_FILE, SUMS_FILE, TABLE_FILE, Run, changed_files
from .schema import FORMAT_VERSION, KEY_COLUMNS, KNOWN_COLUMNS, STATUSES

__all__ = [
    "FORMAT_VERSION",
    "KEY_COLUMNS",
    "KNOWN_COLUMNS",
    "RUN_FILE",
    "SAMPLES_FILE",
    "STATUSES",
    "SUMS_FILE",
    "TABLE_FILE",
    "Run",
    "changed_files",
]
