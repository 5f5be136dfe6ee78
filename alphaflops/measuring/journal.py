"""The file that a run lives in while it is measured: append-only, each row on disk before the next begins.

Line format: ``{"sha256":"<64 hex digits>","data":<JSON>}``. The digest covers the digest of the line before and the
JSON text, so a changed, moved or missing line is found. The first line is the header; then come rows, readings of the
sentinel, and marks. A kill can tear only the last line.
"""

import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal

import pandas as pd

from ..errors import AlphaflopsError
from ..files import from_json, read_bytes, reason, to_json, write_atomic, writing
from ..layers import COLUMNS
from ..runs.schema import KEY_COLUMNS, checked_table
from .sampling import Timing

JOURNAL_FILE: Final = "journal.jsonl"
LOCK_FILE: Final = ".lock"
VERSION: Final = 3
"""Version of the header and of the entries."""


@dataclass(frozen=True)
class Header:
    """First line: metadata of the run, the options that it was started with, its rows in the order of measuring."""

    version: int
    meta: dict[str, Any]
    options: dict[str, Any]
    rows: list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Entry(Timing):
    """Any other line, a ``type`` and the fields that it needs; those that are 0 or empty are left out of the file.

    ``row`` (a timing), ``begin`` (of a row; one without its timing means that the process was killed in it), ``pause``
    (stopped in good order), ``reading`` (of the sentinel), ``resumed``, ``end``.
    """

    type: Literal["row", "begin", "pause", "reading", "resumed", "end"]
    elapsed_s: float = 0.0
    row: int = 0
    order: int = 0
    state: dict[str, Any] = field(default_factory=dict)
    energy: dict[str, Any] = field(default_factory=dict)
    median_ms: float = 0.0
    started: str = ""
    different: dict[str, Any] = field(default_factory=dict)
    finished: str = ""


@dataclass(frozen=True)
class Contents:
    """What a journal holds.

    Attributes
    ----------
    header : Header
    entries : tuple of Entry
        In the order in which they were written.
    size : int
        Length of the sound part (bytes).
    digest : str
        Digest of the last sound line.
    torn : bool
        Whether bytes follow the sound part: a line cut short when the run was killed.
    """

    header: Header
    entries: tuple[Entry, ...] = ()
    size: int = 0
    digest: str = ""
    torn: bool = False

    @property
    def done(self) -> dict[int, Entry]:
        """Rows that are measured, by their number."""
        return {entry.row: entry for entry in self.entries if entry.type == "row"}

    @property
    def deaths(self) -> Counter[int]:
        """How often the process was killed while it measured a row: it began, and neither ended nor paused."""
        lines = pairwise((*self.entries, Entry(type="end")))
        return Counter(one.row for one, after in lines if one.type == "begin" and after.type not in ("row", "pause"))


def _line(digest: str, text: bytes) -> tuple[str, bytes]:
    """Give the digest of some JSON text behind the line of the digest before, and the whole line."""
    new = hashlib.sha256(digest.encode() + text).hexdigest()
    return new, b'{"sha256":"%s","data":%s}\n' % (new.encode(), text)


def _encoded(digest: str, record: Header | Entry) -> tuple[str, bytes]:
    value = to_json(record)
    if isinstance(record, Entry):
        value = {name: content for name, content in value.items() if content}
    return _line(digest, json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode())


def read(folder: Path) -> Contents:
    """Read a journal, leaving out a last line that was cut short or damaged.

    Raises
    ------
    AlphaflopsError
        If there is no journal, it is of another version, any line but the last is damaged, or a key is missing,
        unknown or of another type (it is named).
    """
    path = folder / JOURNAL_FILE
    if not path.exists():
        raise AlphaflopsError(f"{folder} holds no unfinished run: it has no {JOURNAL_FILE}")
    lines = io.BytesIO(read_bytes(path, 2**30)).readlines()
    values: list[Any] = []
    digest, size = "", 0
    for line in lines:
        text = line.partition(b',"data":')[2][:-2]
        new, sound = _line(digest, text)
        if line != sound:
            break
        try:
            values.append(json.loads(text, parse_constant=int))  # NaN is no number of ours
        except (ValueError, RecursionError):
            break
        digest, size = new, size + len(line)
    if not values or len(values) < len(lines) - 1:
        where = f"line {len(values) + 1} of {len(lines)}"
        raise AlphaflopsError(f"{path} is damaged in {where}: it cannot be resumed")
    version = values[0].get("version") if isinstance(values[0], dict) else None
    if version != VERSION or type(version) is not int:
        raise AlphaflopsError(f"{path}: version is {version!r:.20}, this program resumes {VERSION}: start a new run")
    header = from_json(Header, values[0], f"{path}: header")
    entries = tuple(from_json(Entry, value, f"{path}: line {at}") for at, value in enumerate(values[1:], start=2))
    _check(header, entries, path)
    return Contents(header, entries, size, digest, len(values) < len(lines))


def _check(header: Header, entries: Sequence[Entry], path: Path) -> None:
    """Check what types alone do not: that rows are those of the header and samples are numbers."""
    for at, row in enumerate(header.rows):
        if odd := {*KEY_COLUMNS, *COLUMNS} ^ row.keys():
            raise AlphaflopsError(f"{path}: header: row {at}: the key {min(odd)[:80]!r} is missing or not allowed")
    checked_table(pd.DataFrame(header.rows), f"{path}: header: rows")
    numbers = [row["row"] for row in header.rows]
    if {*map(type, numbers)} != {int}:
        raise AlphaflopsError(f"{path}: header: rows: row is no integer in one of them")
    for at, entry in enumerate(entries, start=2):
        if entry.type in ("row", "begin") and entry.row not in numbers:
            raise AlphaflopsError(f"{path}: line {at}: row is {entry.row}: expected one of the header's")
        taken = (entry.latency_ns, entry.throughput_ns)
        if not all(type(ns) in (list, tuple) and {*map(type, ns)} <= {int, float} for ns in taken):
            raise AlphaflopsError(f"{path}: line {at}: latency_ns or throughput_ns holds something but numbers")


class Journal:
    """An open journal; `append` returns when the line is on disk."""

    def __init__(self, folder: Path, found: Contents) -> None:
        self.path, self.found = folder / JOURNAL_FILE, found
        with writing(self.path):
            self._file = os.open(self.path, os.O_RDWR)
        self._cut()

    def _cut(self) -> None:
        """Leave out what follows the last whole line."""
        os.ftruncate(self._file, self.found.size)
        os.lseek(self._file, self.found.size, os.SEEK_SET)

    def append(self, entry: Entry, sync: bool = True) -> None:
        """Add one line and wait until it is on disk (without `sync`, until the system has it).

        Raises
        ------
        AlphaflopsError
            If it cannot be written, as on a full disk, or the file was removed or replaced meanwhile.
        """
        found = self.found
        digest, line = _encoded(found.digest, entry)
        try:
            if not os.path.samestat(os.stat(self.path), os.fstat(self._file)):
                raise FileNotFoundError("it was replaced by another")
            done = 0
            while done < len(line):
                done += os.write(self._file, line[done:])
            if sync:
                os.fsync(self._file)
            self.found = replace(found, entries=(*found.entries, entry), size=found.size + len(line), digest=digest)
        except FileNotFoundError as error:
            raise AlphaflopsError(f"{self.path} is gone, deleted or moved while measuring: start again") from error
        except OSError as error:
            self._cut()
            rest = f"the rows so far are intact, make room and continue with --resume {self.path.parent}"
            raise AlphaflopsError(f"{self.path} cannot be written: {reason(error)}; {rest}") from error
        except KeyboardInterrupt:
            self._cut()
            raise

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def begin(folder: Path, header: Header, entries: Sequence[Entry] = ()) -> Contents:
    """Start a journal with its header and rows measured before: after a kill it is there as a whole or not at all.

    Raises
    ------
    AlphaflopsError
        If it cannot be written.
    """
    digest, data = "", bytearray()
    records: tuple[Header | Entry, ...] = (header, *entries)
    for record in records:
        digest, line = _encoded(digest, record)
        data += line
    write_atomic(folder / JOURNAL_FILE, bytes(data))
    return Contents(header, tuple(entries), len(data), digest)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder if need be and keep other processes from writing to it; the lock ends with the process.

    Raises
    ------
    AlphaflopsError
        If another process holds the lock or the folder cannot be made or written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK_FILE, timeout=0)
    with writing(folder, "folder"):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout as error:
            raise AlphaflopsError(f"{folder} is being written by another process: wait for it or stop it") from error
    try:
        yield
    finally:
        (folder / LOCK_FILE).unlink(missing_ok=True)
        lock.release()
