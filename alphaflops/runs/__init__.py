"""A run: what was measured on which machine, as metadata and one row per layer, in files that can be checked.

A run folder holds ``run.json`` (metadata), ``measurements.csv`` (one row per layer), ``samples.npz`` (raw samples, if
any) and ``SHA256SUMS`` (written last, checkable with ``sha256sum -c``).
"""

from .files import RUN_FILE, SAMPLES_FILE, SUMS_FILE, TABLE_FILE, changed_files, read_json, replace_file
from .run import Run, exact_floats, read_table
from .schema import FORMAT_VERSION, KEY_COLUMNS, KNOWN_COLUMNS, STATUSES, TEXT_COLUMNS

__all__ = [
    "FORMAT_VERSION",
    "KEY_COLUMNS",
    "KNOWN_COLUMNS",
    "RUN_FILE",
    "SAMPLES_FILE",
    "STATUSES",
    "SUMS_FILE",
    "TABLE_FILE",
    "TEXT_COLUMNS",
    "Run",
    "changed_files",
    "exact_floats",
    "read_json",
    "read_table",
    "replace_file",
]
