"""Zip files from strangers: every bound is checked before a byte is decompressed, and nothing is ever unpickled.

The directory of the file is bounded before it is parsed, each member has a name and a size that are allowed, and
reading stops at the size that was announced. Writing gives the same bytes for the same content on any day.
"""

import io
import math
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from .errors import AlphaflopsError

END: Final = struct.Struct("<4s4H2LH")
"""The record at the very end of a zip file: signature, disks, numbers of members, size and place of the directory."""

RATIO: Final = 100
"""Largest ratio of unpacked to packed size of a member longer than `RATIO_FROM`; measurements reach about 10."""

RATIO_FROM: Final = 2**20
"""Length (bytes) above which `RATIO` holds."""

DIRECTORY_BYTES: Final = 512
"""Largest share of the directory that one member may take (bytes)."""

BLOCK: Final = 2**20
"""Bytes read at a time."""

EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The date of every member that is written: the first that the format knows."""


@dataclass(frozen=True)
class Limits:
    """What an archive may hold.

    Attributes
    ----------
    allowed : callable
        Largest size (bytes) of a member of that name, 0 for names that are not expected.
    members : int
        Most members.
    total : int
        Most bytes of all members together, unpacked.
    """

    allowed: Callable[[str], int]
    members: int
    total: int


def _check_end(handle: IO[bytes], limits: Limits, where: str) -> None:
    size = handle.seek(0, io.SEEK_END)
    if size < END.size:
        raise AlphaflopsError(f"{where} is no zip archive: it has {size} bytes")
    handle.seek(max(0, size - END.size - 20))
    tail = handle.read()
    signature, *_, count, directory, _, comment = END.unpack(tail[-END.size :])
    if signature != b"PK\x05\x06" or comment:
        raise AlphaflopsError(f"{where} is no zip archive, or was cut short, or carries a comment")
    if tail[: -END.size].startswith(b"PK\x06\x07"):
        raise AlphaflopsError(f"{where} uses the zip64 format: archives of this program never need it")
    if count > limits.members or directory > limits.members * DIRECTORY_BYTES:
        raise AlphaflopsError(
            f"{where} announces {count} files in {directory} bytes: at most {limits.members} are allowed"
        )
    handle.seek(0)


def _check_member(info: zipfile.ZipInfo, limits: Limits, where: str) -> None:
    shown = info.filename[:80].encode("unicode_escape").decode()
    mode = info.external_attr >> 16
    largest = limits.allowed(info.filename)
    if mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode):
        raise AlphaflopsError(f"{where}: {shown!r} is a link, a folder or a device: only plain files are allowed")
    if largest == 0 or info.orig_filename != info.filename:
        raise AlphaflopsError(f"{where}: {shown!r} is not among the files expected in it")
    if info.flag_bits & 0x1:
        raise AlphaflopsError(f"{where}: {shown!r} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise AlphaflopsError(f"{where}: {shown!r} is packed by method {info.compress_type}: only deflate is allowed")
    if info.file_size > largest:
        raise AlphaflopsError(
            f"{where}: {shown!r} would unpack to {info.file_size} bytes: at most {largest} are allowed"
        )
    if info.file_size > max(RATIO_FROM, RATIO * info.compress_size):
        raise AlphaflopsError(f"{where}: {shown!r} would grow more than {RATIO}-fold when unpacked")


@contextmanager
def opened(source: Path | bytes, limits: Limits, where: str) -> Iterator[zipfile.ZipFile]:
    """Open an archive whose directory has passed every check; nothing is decompressed yet.

    Parameters
    ----------
    source : Path or bytes
        The file, or its content.
    limits : Limits
        What it may hold.
    where : str
        What errors call it.

    Raises
    ------
    AlphaflopsError
        If it is no zip file, or holds a name, link, size, ratio or number of members that is not allowed.
    """
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as handle:
            _check_end(handle, limits, where)
            with zipfile.ZipFile(handle) as archive:
                infos = archive.infolist()
                if len(infos) > limits.members:
                    raise AlphaflopsError(f"{where} holds {len(infos)} files: at most {limits.members} are allowed")
                seen: set[str] = set()
                for info in infos:
                    _check_member(info, limits, where)
                    if info.filename.casefold() in seen:
                        raise AlphaflopsError(f"{where}: {info.filename!r} occurs twice")
                    seen.add(info.filename.casefold())
                if (total := sum(info.file_size for info in infos)) > limits.total:
                    raise AlphaflopsError(f"{where} would unpack to {total} bytes: at most {limits.total} are allowed")
                yield archive
    except AlphaflopsError:
        raise
    except OSError as error:
        raise AlphaflopsError(f"{where} cannot be read: {error.strerror or 'it is damaged'}") from error
    except Exception as error:  # zipfile, zlib and struct raise a dozen unrelated types on a damaged archive
        raise AlphaflopsError(f"{where} cannot be read: it is damaged ({type(error).__name__})") from error


def blocks(archive: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    """Read a member in pieces of at most `BLOCK` bytes, never more than it announced."""
    with archive.open(name) as handle:
        while piece := handle.read(BLOCK):
            yield piece


def read_files(source: Path | bytes, limits: Limits, where: str) -> dict[str, bytes]:
    """Read all members of an archive: content by name.

    Raises
    ------
    AlphaflopsError
        As `opened`, or if a member is damaged.
    """
    with opened(source, limits, where) as archive:
        return {name: b"".join(blocks(archive, name)) for name in archive.namelist()}


def pack(files: Mapping[str, bytes]) -> bytes:
    """Pack files into a zip whose bytes depend on names and contents alone: sorted, dated 1980, one permission."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, EPOCH)
            info.create_system = 3
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            already = name.endswith((".npz", ".png", ".gz", ".woff2", ".zip"))
            info.compress_type = zipfile.ZIP_STORED if already else zipfile.ZIP_DEFLATED
            archive.writestr(info, files[name], compresslevel=9)
    return buffer.getvalue()


ARRAY_LIMITS: Final = Limits(lambda name: 2**24 if name.endswith(".npy") else 0, 65_534, 2**28)
"""What a file of samples may hold: 16 MiB per array, 256 MiB in all."""


def read_arrays(source: Path | bytes, where: str) -> dict[str, Any]:
    """Read the one-dimensional arrays of floats in an ``.npz`` file; no pickle is ever opened.

    Returns
    -------
    dict of str to ndarray
        Arrays of shape ``(n,)`` as float64, by name.

    Raises
    ------
    AlphaflopsError
        If the file is damaged, too large, or holds anything but such arrays.
    """
    return {
        name[:-4]: _array(data, f"{where}: {name!r}") for name, data in read_files(source, ARRAY_LIMITS, where).items()
    }


def _array(data: bytes, where: str) -> Any:
    import numpy as np
    from numpy.lib import format as npy

    handle = io.BytesIO(data)
    try:
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[npy.read_magic(handle)]
        shape, _, dtype = read(handle)
    except Exception as error:  # the header is a Python literal: the parser and NumPy raise many types
        raise AlphaflopsError(f"{where} is no NumPy array ({type(error).__name__})") from error
    rest = data[handle.tell() :]
    if dtype.str not in ("<f4", "<f8") or len(shape) != 1 or math.prod(shape) * dtype.itemsize != len(rest):
        raise AlphaflopsError(f"{where} is an array of {dtype}, shape {shape}: expected one row of floats, complete")
    return np.frombuffer(rest, dtype).astype(np.float64)
