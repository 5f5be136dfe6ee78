"""The file that a run lives in while it is measured: append-only, each row on disk before the next begins.

Line format: ``{"sha256":"<64 hex digits>","data":<JSON>}``. The digest covers the digest of the line before and the
JSON text, so a changed, moved or missing line is found. The first line is the header; then come rows, readings of the
sentinel, and marks. A kill can tear only the last line.
"""

import errno
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal

from ..errors import AlphaflopsError
from ..files import from_json, to_json, write_atomic
from ..files.disk import read_bytes, reason
from ..layers import COLUMNS
from ..runs.schema import KEY_COLUMNS, checked_table

JOURNAL_FILE: Final = "journal.jsonl"
LOCK_FILE: Final = ".lock"
VERSION: Final = 2
"""Version of the header and of the entries."""
LARGEST: Final = 2**30
_HEAD, _MIDDLE, _TAIL = b'{"sha256":"', b'","data":', b"}\n"
_DIGEST: Final = 64


@dataclass(frozen=True)
class Header:
    """First line: metadata of the run, the options that it was started with, its rows and their order."""

    version: int
    meta: dict[str, Any]
    options: dict[str, Any]
    rows: list[dict[str, Any]]
    order: list[int]


@dataclass(frozen=True)
class Entry:
    """Any other line, a ``type`` and the fields that it needs.

    ``row`` (a timing), ``begin`` (of a row; one without its timing means that the process was killed in it), ``pause``
    (stopped in good order), ``reading`` (of the sentinel), ``resumed``, ``end``.
    """

    type: Literal["row", "begin", "pause", "reading", "resumed", "end"]
    elapsed_s: float = 0.0
    row: int = -1
    order: int = -1
    status: Literal["ok", "out-of-memory", "unsupported", "error"] = "ok"
    message: str = ""
    warmups: int = 0
    block_calls: int = 0
    bad_clock: int = 0
    latency_ns: Any = ()
    throughput_ns: Any = ()
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
    entries: tuple[Entry, ...]
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
        found: Counter[int] = Counter()
        for entry, after in pairwise((*self.entries, Entry("end"))):
            if entry.type == "begin" and after.type not in ("row", "pause"):
                found[entry.row] += 1
        return found


def _encode(digest: str, value: Any) -> tuple[str, bytes]:
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode()
    new = hashlib.sha256(digest.encode() + text).hexdigest()
    return new, _HEAD + new.encode() + _MIDDLE + text + _TAIL


def _decode(digest: str, line: bytes) -> tuple[str, Any] | None:
    start = len(_HEAD) + _DIGEST + len(_MIDDLE)
    text = line[start : -len(_TAIL)]
    new = hashlib.sha256(digest.encode() + text).hexdigest()
    if line != _HEAD + new.encode() + _MIDDLE + text + _TAIL:
        return None
    try:
        return new, json.loads(text, parse_constant=int)  # NaN is no number of ours
    except (ValueError, RecursionError):
        return None


def _plain(entry: Entry) -> dict[str, Any]:
    """Give an entry without the fields that it leaves at their default."""
    return {name: value for name, value in to_json(entry).items() if value != to_json(_EMPTY[name])}


_EMPTY: Final = {**vars(Entry("end")), "type": None}


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
    *whole, rest = read_bytes(path, LARGEST).split(b"\n")
    lines = [line + b"\n" for line in whole] + [rest] * bool(rest or not whole)
    values: list[Any] = []
    digest, size = "", 0
    for number, line in enumerate(lines, start=1):
        decoded = _decode(digest, line)
        if decoded is None:
            if number < len(lines) or not values:
                raise AlphaflopsError(f"{path} is damaged in line {number} of {len(lines)}: it cannot be resumed")
            break
        digest, size = decoded[0], size + len(line)
        values.append(decoded[1])
    version = values[0].get("version") if isinstance(values[0], dict) else None
    if version != VERSION or type(version) is not int:
        raise AlphaflopsError(f"{path}: version is {version!r:.20}, this program resumes {VERSION}: start a new run")
    header = from_json(Header, values[0], f"{path}: header")
    entries = tuple(from_json(Entry, value, f"{path}: line {at}") for at, value in enumerate(values[1:], start=2))
    _check(header, entries, path)
    return Contents(header, entries, size, digest, len(values) < len(lines))


def _check(header: Header, entries: Sequence[Entry], path: Path) -> None:
    """Check what types alone do not: that rows are those of the header and samples are numbers."""
    import pandas as pd

    for at, row in enumerate(header.rows):
        if odd := {*KEY_COLUMNS, *COLUMNS} ^ row.keys():
            raise AlphaflopsError(f"{path}: header: row {at}: the key {min(odd)[:80]!r} is missing or not allowed")
    if header.rows:
        checked_table(pd.DataFrame(header.rows), f"{path}: header: rows")
    numbers = [row.get("row") for row in header.rows]
    if sorted(header.order) != sorted(n for n in numbers if type(n) is int) or len({*header.order}) != len(numbers):
        raise AlphaflopsError(f"{path}: header: order does not list its {len(numbers)} rows once each")
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
        try:
            self._file = os.open(self.path, os.O_RDWR)
        except OSError as error:
            raise AlphaflopsError(f"{self.path} cannot be written: {reason(error)}") from error
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
        digest, line = _encode(self.found.digest, _plain(entry))
        after = replace(
            self.found, entries=(*self.found.entries, entry), size=self.found.size + len(line), digest=digest
        )
        try:
            if not os.path.samestat(os.stat(self.path), os.fstat(self._file)):
                raise FileNotFoundError(errno.ENOENT, "it was replaced by another")
            done = 0
            while done < len(line):
                done += os.write(self._file, line[done:])
            if sync:
                os.fsync(self._file)
            self.found = after
        except FileNotFoundError as error:
            raise AlphaflopsError(f"{self.path} is gone, deleted or moved while measuring: start again") from error
        except OSError as error:
            self._cut()
            raise AlphaflopsError(
                f"{self.path} cannot be written: {reason(error)}; the rows so far are intact, "
                f"make room and continue with --resume {self.path.parent}"
            ) from error
        except KeyboardInterrupt:
            self._cut()
            raise

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)


def begin(folder: Path, header: Header, entries: Sequence[Entry] = ()) -> Contents:
    """Start a journal with its header and rows measured before: after a kill it is there as a whole or not at all.

    Raises
    ------
    AlphaflopsError
        If it cannot be written.
    """
    digest, lines = "", []
    for value in (to_json(header), *map(_plain, entries)):
        digest, line = _encode(digest, value)
        lines.append(line)
    data = b"".join(lines)
    write_atomic(folder / JOURNAL_FILE, data)
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

    lock = FileLock(str(folder / LOCK_FILE), timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise AlphaflopsError(f"{folder} is being written by another process: wait for it or stop it") from error
    except (OSError, ValueError) as error:
        raise AlphaflopsError(f"{folder} cannot be written: {reason(error)}") from error
    try:
        yield
    finally:
        (folder / LOCK_FILE).unlink(missing_ok=True)
        lock.release()
