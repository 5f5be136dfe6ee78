"""The file that a run lives in while it is measured: append-only, each line on disk before the next row begins.

Line format: ``{"sha256":"<64 hex digits>","data":<JSON>}``. The digest covers the digest of the line before and the
JSON text, so a changed, moved or missing line is found. The first line is the header (metadata and the order of the
rows); then come rows and sentinel timings. A kill can tear only the last line.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..errors import AlphaflopsError
from ..runs import replace_file

JOURNAL_FILE: Final = "journal.jsonl"
LOCK_FILE: Final = ".lock"
_HEAD, _MIDDLE, _TAIL = b'{"sha256":"', b'","data":', b"}\n"
_DIGEST: Final = 64


@dataclass(frozen=True)
class Contents:
    """What a journal holds.

    Attributes
    ----------
    header : dict
        Metadata and order of the run.
    entries : tuple of dict
        Rows and sentinel timings in the order they were taken.
    size : int
        Length of the sound part (bytes).
    digest : str
        Digest of the last sound line.
    torn : bool
        Whether bytes follow the sound part: a line cut short when the run was killed.
    """

    header: dict[str, Any]
    entries: tuple[dict[str, Any], ...]
    size: int
    digest: str
    torn: bool


def _encode(digest: str, value: dict[str, Any]) -> tuple[str, bytes]:
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode()
    new = hashlib.sha256(digest.encode() + text).hexdigest()
    return new, _HEAD + new.encode() + _MIDDLE + text + _TAIL


def _decode(digest: str, line: bytes) -> tuple[str, dict[str, Any]] | None:
    start = len(_HEAD) + _DIGEST + len(_MIDDLE)
    claimed, text = line[len(_HEAD) : len(_HEAD) + _DIGEST], line[start : -len(_TAIL)]
    new = hashlib.sha256(digest.encode() + text).hexdigest()
    if line != _HEAD + new.encode() + _MIDDLE + text + _TAIL or claimed != new.encode():
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return (new, value) if isinstance(value, dict) else None


def read(folder: Path) -> Contents:
    """Read a journal, leaving out a last line that was cut short or damaged.

    Raises
    ------
    AlphaflopsError
        If there is no journal, or any line but the last is damaged.
    """
    path = folder / JOURNAL_FILE
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise AlphaflopsError(f"{folder} holds no unfinished run: {JOURNAL_FILE}: {error.strerror}") from error
    *whole, rest = raw.split(b"\n")
    lines = [line + b"\n" for line in whole] + [rest] * bool(rest)
    digest, size, values = "", 0, []
    for number, line in enumerate(lines, start=1):
        decoded = _decode(digest, line)
        if decoded is None:
            if number < len(lines):
                raise AlphaflopsError(f"{path} is damaged in line {number} of {len(lines)}: it cannot be resumed")
            break
        digest, value = decoded
        size += len(line)
        values.append(value)
    if not values:
        raise AlphaflopsError(f"{path} is damaged in its first line: it cannot be resumed")
    return Contents(values[0], tuple(values[1:]), size, digest, size < len(raw))


class Journal:
    """An open journal; `append` returns when the line is on disk."""

    def __init__(self, folder: Path, size: int, digest: str) -> None:
        self.path = folder / JOURNAL_FILE
        self._size, self._digest = size, digest
        try:
            self._file = os.open(self.path, os.O_RDWR)
        except OSError as error:
            raise AlphaflopsError(f"{self.path} cannot be written: {error.strerror}") from error
        os.ftruncate(self._file, size)
        os.lseek(self._file, size, os.SEEK_SET)

    @classmethod
    def begin(cls, folder: Path, header: dict[str, Any]) -> "Journal":
        """Start a journal with its header: after a kill there is a whole header or no journal.

        Raises
        ------
        AlphaflopsError
            If it cannot be written.
        """
        digest, line = _encode("", header)
        try:
            replace_file(folder / JOURNAL_FILE, line)
        except OSError as error:
            raise AlphaflopsError(f"{folder / JOURNAL_FILE} cannot be written: {error.strerror}") from error
        return cls(folder, len(line), digest)

    def append(self, value: dict[str, Any]) -> None:
        """Add one line and wait until it is on disk.

        Raises
        ------
        AlphaflopsError
            If it cannot be written, as on a full disk; the lines before stay whole and the run can be resumed.
        """
        digest, line = _encode(self._digest, value)
        try:
            done = 0
            while done < len(line):
                done += os.write(self._file, line[done:])
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, self._size)
            os.lseek(self._file, self._size, os.SEEK_SET)
            raise AlphaflopsError(
                f"{self.path} cannot be written: {error.strerror}; the rows so far are intact, "
                f"make room and continue with --resume {self.path.parent}"
            ) from error
        self._digest = digest
        self._size += len(line)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def create(folder: Path) -> None:
    """Make the folder of a new run.

    Raises
    ------
    AlphaflopsError
        If it exists and is not empty (saying so where it holds a run), or cannot be made.
    """
    if (folder / JOURNAL_FILE).exists():
        raise AlphaflopsError(f"{folder} holds an unfinished run: continue it with --resume {folder}")
    left_over = (LOCK_FILE, JOURNAL_FILE + ".part")
    if folder.exists() and (not folder.is_dir() or any(p.name not in left_over for p in folder.iterdir())):
        raise AlphaflopsError(f"{folder} exists already: choose another folder or remove it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AlphaflopsError(f"{folder} cannot be made: {error.strerror}") from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from writing this run; the lock ends with the process, however it ends.

    Raises
    ------
    AlphaflopsError
        If another process holds the lock or the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(str(folder / LOCK_FILE), timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise AlphaflopsError(f"{folder} is being written by another process: wait for it or stop it") from error
    except OSError as error:
        raise AlphaflopsError(f"{folder} cannot be written: {error.strerror}") from error
    try:
        yield
    finally:
        (folder / LOCK_FILE).unlink(missing_ok=True)
        lock.release()
