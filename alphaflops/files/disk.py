"""Files and folders that are whole or absent, and reading that always ends."""

import errno
import hashlib
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ..errors import AlphaflopsError

PREFIX: Final = ".alphaflops-"
"""How the names of temporary files and folders begin."""

STALE_S: Final = 3600.0
"""Age from which on a temporary file of a process that was killed is removed (s)."""

SYSTEM: Final = (("/", "dev"), ("/", "proc"))
MEMORY: Final = ("/", "dev", "shm")
"""Where a name stands for a device, and the part of it that holds plain files."""

SUMS: Final = "SHA256SUMS"
"""The list of the other files of a run or a book, each with its sha256."""

LARGEST: Final = 2**26
"""Most bytes that are read of a file unless the caller knows better."""


def read_bytes(path: Path | str, most: int = LARGEST) -> bytes:
    """Read a plain file of at most `most` bytes; a FIFO, a device or a longer file is refused at once.

    Raises
    ------
    AlphaflopsError
        If it cannot be read, is no plain file, or is longer.
    """
    try:
        flags = sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
        with os.fdopen(os.open(path, os.O_RDONLY | flags), "rb") as handle:
            mode = os.fstat(handle.fileno()).st_mode
            data = handle.read(most + 1) if stat.S_ISREG(mode) else b""
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise AlphaflopsError(f"{path} cannot be read: {reason(error)}") from error
    if not stat.S_ISREG(mode):
        raise AlphaflopsError(f"{path} cannot be read: it is {'a folder' if stat.S_ISDIR(mode) else 'no plain file'}")
    if len(data) > most:
        raise AlphaflopsError(f"{path} cannot be read: it is longer than the {most} bytes that are allowed")
    return data


def reason(error: Exception) -> str:
    """Say in a few words why the system refused."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def sha256(content: Path | str | bytes) -> str:
    """Hash of a file, given by its path, or of bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(content if isinstance(content, bytes) else read_bytes(content)).hexdigest()


def sums(content: Mapping[str, bytes | Path]) -> bytes:
    """List files, given by their content or place, with their sha256 as ``sha256sum --check`` reads it."""
    return "".join(f"{sha256(data)}  {name}\n" for name, data in content.items()).encode()


def changed(listed: bytes, content: Mapping[str, bytes | Path]) -> list[str]:
    """Say which files are not what their `sums` list: one phrase a file, none if all is well."""
    told, found = listed.decode("utf-8", "replace").split("\n"), sums(content).decode().split("\n")
    wanted, here = ({line.partition("  ")[2]: line for line in lines if line} for lines in (told, found))
    odd = [f"{name[:80]!r} is listed in {SUMS} but missing" for name in sorted(wanted.keys() - here)]
    odd += [f"{name} is not listed" for name in sorted(here.keys() - wanted)]
    odd += [f"{name} does not match its checksum" for name in here if name in wanted and here[name] not in told]
    return odd or [f"{SUMS} has changed"] * (sorted(told) != sorted(found))


def _sweep(folder: Path) -> None:
    """Remove what killed processes left: names that only this module gives, old enough to be nobody's work."""
    with suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name.startswith(PREFIX) and time.time() - entry.stat(follow_symlinks=False).st_mtime > STALE_S:
                shutil.rmtree(entry) if entry.is_dir(follow_symlinks=False) else os.unlink(entry)


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # some systems cannot open or sync a folder
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _fill(path: Path, data: bytes, like: os.stat_result | None = None) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as handle:
        if like is not None:
            with suppress(OSError, AttributeError):
                os.fchown(handle.fileno(), like.st_uid, like.st_gid)
            os.chmod(path, stat.S_IMODE(like.st_mode))
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())


@contextmanager
def writing(path: Path, kind: str = "file") -> Iterator[None]:
    """Say in one line that a file or folder is there already or cannot be written.

    Raises
    ------
    AlphaflopsError
        If the block raises an error of the system.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        if getattr(error, "errno", 0) in (errno.EEXIST, errno.ENOTEMPTY):
            raise AlphaflopsError(f"{path} exists already: choose another {kind} or remove it") from error
        raise AlphaflopsError(f"{path} cannot be written: {reason(error)}") from error


def write_atomic(path: Path | str, data: bytes, new: bool = False) -> None:
    """Write a file so that a reader finds the old bytes or the new ones, never a part.

    Links are followed, devices and pipes are written through, permissions are kept (the umask decides for new files).

    Parameters
    ----------
    path : Path or str
    data : bytes
    new : bool
        Refuse if the file exists already.

    Raises
    ------
    AlphaflopsError
        If it cannot be written, or exists and must not.
    """
    path = Path(path)
    with writing(path):
        try:
            old = path.stat()
        except FileNotFoundError:  # a link that leads nowhere yet is followed, a link in a circle is refused
            old = None
        if (old and not stat.S_ISREG(old.st_mode)) or (path.parts[:2] in SYSTEM and path.parts[:3] != MEMORY):
            path.write_bytes(data)
            return
        if old and new:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        if old and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        target = Path(os.path.realpath(path))
        _sweep(target.parent)
        partial = target.parent / f"{PREFIX}{secrets.token_hex(8)}.part"
        try:
            _fill(partial, data, old)
            try:  # a link fails where the file exists, also if it appeared a moment ago
                (os.link if new else os.replace)(partial, target)
            except OSError as error:
                if not new or isinstance(error, FileExistsError):
                    raise
                os.replace(partial, target)  # a file system without hard links
        finally:
            partial.unlink(missing_ok=True)
        _sync_folder(target.parent)


def write_folder(path: Path | str, files: Mapping[str, bytes]) -> Path:
    """Write a new folder of files, whole or not at all; an empty folder of that name may exist.

    Raises
    ------
    AlphaflopsError
        If it exists and is not empty, or cannot be written; nothing of it stays then.
    """
    path = Path(path)
    partial = path.parent / f"{PREFIX}{secrets.token_hex(8)}"
    with writing(path, "folder"):
        if path.is_symlink() or (path.exists() and (not path.is_dir() or any(path.iterdir()))):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        try:
            _sweep(path.parent)
            partial.mkdir(parents=True)
            for name, data in files.items():
                _fill(partial / name, data)
            _sync_folder(partial)
            os.replace(partial, path)  # onto an empty folder at most: the system refuses all others
            _sync_folder(path.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return path
