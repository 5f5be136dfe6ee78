"""Zip files of strangers and arrays in them: bounded before a byte is decompressed, and nothing is ever unpickled."""

import io
import math
import stat
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ..errors import AlphaflopsError
from .disk import read_bytes

END: Final = struct.Struct("<4s4H2LH")
"""The record at the very end of a zip file: signature, disks, numbers of members, size and place of the directory."""

DTYPES: Final = ("<f4", "<f8", "<i4")


def read_zip(source: Path | bytes, allowed: Mapping[str, int], where: str) -> dict[str, bytes]:
    """Read an archive that may hold the files named and nothing else.

    Parameters
    ----------
    source : Path or bytes
        The file, or its content.
    allowed : mapping of str to int
        Names that may occur and the most bytes of each, unpacked.
    where : str
        What errors call it.

    Returns
    -------
    dict of str to bytes
        Content by name.

    Raises
    ------
    AlphaflopsError
        If it is no zip file, is damaged, or holds another name, a link, a name twice or a file that is too large.
    """
    data = source if isinstance(source, bytes) else read_bytes(source, sum(allowed.values()) + 2**16)
    if len(data) < END.size or data[-END.size :][:4] != b"PK\x05\x06" or END.unpack(data[-END.size :])[-1]:
        raise AlphaflopsError(f"{where} is no zip archive, or was cut short, or carries a comment")
    *_, count, size, _, _ = END.unpack(data[-END.size :])
    if count > len(allowed) or size > 512 * len(allowed) or data[-END.size - 20 :].startswith(b"PK\x06\x07"):
        raise AlphaflopsError(f"{where} announces {count} files in {size} bytes: at most {len(allowed)} are allowed")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files: dict[str, bytes] = {}
            for info in archive.infolist():
                _check_member(info, allowed, where, info.filename in files)
                with archive.open(info) as handle:
                    files[info.filename] = handle.read(info.file_size)  # no more, and zipfile checks its CRC
            return files
    except AlphaflopsError:
        raise
    except Exception as error:  # zipfile, zlib and struct raise a dozen unrelated types on a damaged archive
        raise AlphaflopsError(f"{where} cannot be read: it is damaged ({type(error).__name__})") from error


def _check_member(info: zipfile.ZipInfo, allowed: Mapping[str, int], where: str, twice: bool) -> None:
    shown = info.filename[:80].encode("unicode_escape").decode()
    if info.filename not in allowed or info.orig_filename != info.filename:
        raise AlphaflopsError(f"{where}: {shown!r} is not among the files expected in it")
    if twice:
        raise AlphaflopsError(f"{where}: {shown!r} occurs twice")
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        raise AlphaflopsError(f"{where}: {shown!r} is a link, a folder or a device: only plain files are allowed")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 0x1:
        raise AlphaflopsError(f"{where}: {shown!r} is encrypted or packed by another method than deflate")
    if info.file_size > (most := allowed[info.filename]):
        raise AlphaflopsError(f"{where}: {shown!r} would unpack to {info.file_size} bytes: at most {most} are allowed")


def pack_zip(files: Mapping[str, bytes]) -> bytes:
    """Pack files into a zip whose bytes depend on names and contents alone: sorted, dated 1980, one permission."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name)
            info.create_system = 3
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            info.compress_type = zipfile.ZIP_STORED if name.endswith((".npz", ".png")) else zipfile.ZIP_DEFLATED
            archive.writestr(info, files[name], compresslevel=9)
    return buffer.getvalue()


def pack_arrays(arrays: Mapping[str, Any]) -> bytes:
    """Pack arrays into the bytes of an ``.npz`` file that depend on names and contents alone."""
    import numpy as np

    files = {}
    for name, values in arrays.items():
        buffer = io.BytesIO()
        np.save(buffer, values, allow_pickle=False)
        files[f"{name}.npy"] = buffer.getvalue()
    return pack_zip(files)


def read_arrays(source: Path | bytes, names: Mapping[str, int], where: str) -> dict[str, Any]:
    """Read the one-dimensional arrays of numbers in an ``.npz`` file; no pickle is ever opened.

    Parameters
    ----------
    names : mapping of str to int
        Arrays that may occur and the most numbers in each.

    Returns
    -------
    dict of str to ndarray
        Arrays of shape ``(n,)`` of float32, float64 or int32, by name.

    Raises
    ------
    AlphaflopsError
        If the file is damaged, too large, or holds anything but such arrays.
    """
    files = read_zip(source, {f"{name}.npy": 8 * most + 2**10 for name, most in names.items()}, where)
    return {name[:-4]: _array(data, f"{where}: {name!r}") for name, data in files.items()}


def _array(data: bytes, where: str) -> Any:
    import numpy as np
    from numpy.lib import format as npy

    handle = io.BytesIO(data)
    try:
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[npy.read_magic(handle)]
        with warnings.catch_warnings(action="error"):  # headers of Python 2
            shape, _, dtype = read(handle)
    except Exception as error:  # the header is a Python literal: the parser and NumPy raise many types
        raise AlphaflopsError(f"{where} is no NumPy array ({type(error).__name__})") from error
    rest = data[handle.tell() :]
    if dtype.str not in DTYPES or len(shape) != 1 or math.prod(shape) * dtype.itemsize != len(rest):
        raise AlphaflopsError(f"{where} is an array of {dtype}, shape {shape}: expected one row of numbers, complete")
    return np.frombuffer(rest, dtype)
