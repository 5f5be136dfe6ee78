"""The files of a run folder: whole or not at all when written, checked against their checksums when read."""

import errno
import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

from ..errors import AlphaflopsError

RUN_FILE, TABLE_FILE, SAMPLES_FILE, SUMS_FILE = "run.json", "measurements.csv", "samples.npz", "SHA256SUMS"


def json_bytes(value: Any) -> bytes:
    """Give a value as the bytes of a JSON file, keys sorted."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def replace_file(path: Path, data: bytes) -> None:
    """Write a file so that a reader finds the old bytes or the new ones, never a part."""
    if not path.name:  # "." and "/"
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    partial = path.with_name(path.name + ".part")
    try:
        with partial.open("wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def changed_files(folder: Path) -> list[str]:
    """Say what in a run folder does not match its checksums: one phrase per file, none if all is well."""
    sums = folder / SUMS_FILE
    if not sums.exists():
        return [f"{SUMS_FILE} is missing"]
    present = [name for name in (RUN_FILE, TABLE_FILE, SAMPLES_FILE) if (folder / name).exists()]
    wanted: dict[str, str] = {}
    for line in sums.read_bytes().decode("utf-8", "replace").splitlines():
        digest, _, name = line.partition("  ")
        wanted[name] = digest
    found = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in present}
    damage = [f"{name} does not match its checksum" for name in present if wanted.get(name) != found[name]]
    damage += [f"{name!r} is listed in {SUMS_FILE} but missing" for name in wanted if name not in present]
    exact = "".join(f"{digest}  {name}\n" for name, digest in wanted.items())
    if not damage and sums.read_bytes() != exact.encode():
        damage.append(f"{SUMS_FILE} has changed")
    return damage


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        message = f"{text} is no finite number"
        raise ValueError(message)
    return value


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object that can be written again.

    Raises
    ------
    AlphaflopsError
        Naming the file, if it cannot be read, is no JSON object, or holds a number or text that JSON cannot write.
    """
    try:
        text = path.read_bytes().decode("utf-8")
        value = json.loads(text, parse_float=_finite, parse_constant=_finite)
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()  # half of a pair of characters has no UTF-8
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not valid JSON, perhaps truncated"
        raise AlphaflopsError(f"{path} cannot be read: {reason}") from error
    if not isinstance(value, dict):
        raise AlphaflopsError(f"{path} holds a {type(value).__name__}: expected a JSON object")
    return value
