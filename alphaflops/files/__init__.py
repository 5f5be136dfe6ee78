"""The one place that opens foreign bytes and writes files: bounded reading, whole-or-nothing writing, escaping.

Everything here raises `AlphaflopsError` with one line that names the file and what is wrong with it.
"""

from .archive import pack_arrays, pack_zip, read_arrays, read_zip
from .disk import read_bytes, sha256, write_atomic, write_folder
from .foreign import check, from_json, json_bytes, parse_json, read_json, to_json
from .text import PRINTABLE, export_csv, markdown, mathtext, one_line, terminal

__all__ = [
    "PRINTABLE",
    "check",
    "export_csv",
    "from_json",
    "json_bytes",
    "markdown",
    "mathtext",
    "one_line",
    "pack_arrays",
    "pack_zip",
    "parse_json",
    "read_arrays",
    "read_bytes",
    "read_json",
    "read_zip",
    "sha256",
    "terminal",
    "to_json",
    "write_atomic",
    "write_folder",
]
