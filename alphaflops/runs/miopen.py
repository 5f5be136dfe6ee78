"""AMD's find-db of MIOpen: the time of every solver that ran for each convolution of real networks, one line a layer.

A line is ``C-H-W-RxS-K-Ho-Wo-N-pad-stride-dilation-bias-LAYOUT-TYPE-DIRECTION[_gG]=entries``; three-dimensional layers
have two more sizes. Entries are separated by ``;`` and read ``solver:time,workspace,algorithm`` in new files and
``algorithm:solver,time,workspace,…`` in old ones, times in ms. For the backward directions the first sizes are those of
the layer's output.
"""

import bz2
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from ..errors import AlphaflopsError
from ..files import pack_arrays, write_atomic
from ..layers import output_size

TYPES: Final = {"fp32": 4, "fp16": 2}
"""Bytes of a number by the name of its type."""
DIRECTIONS: Final = {"forward": ord("F"), "backward-data": ord("B"), "backward-weights": ord("W")}
"""Code of a direction's letter by its name."""
RULES: Final = (
    "kept",
    "three-dimensional, or not in the order NCHW",
    "output size does not follow from the input",
    "a solver with time 0",
    "the naive fallback is the fastest solver",
)
"""What became of a line: the first rule that applies drops it."""
LARGEST: Final = 2**28
"""Most bytes that a file may unpack to."""
SIZES: Final = (
    *("in_channels", "height", "width", "k1", "k2", "out_channels", "out_height", "out_width", "batch"),
    *("pad_top", "pad_left", "stride1", "stride2", "dilation1", "dilation2"),
)
"""Sizes of a two-dimensional line, in its order."""
READ: Final = ("dtype_bytes", "direction", "latency_ms", "rule", "groups", *SIZES)
"""What a line tells, see `read`."""
LAYOUTS: Final = ("NCHW", "NHWC", "NCDHW", "NDHWC")
_KEY: Final = re.compile(r"([0-9x-]+)-([A-Z]+(?:-[A-Z]+)*)-([A-Z]+[0-9]+)-([FBW])(?:_g([1-9][0-9]*))?")
_SIZES: Final = re.compile(
    r"(\d+)-(\d+)-(\d+)-(\d+)x(\d+)-(\d+)-(\d+)-(\d+)-(\d+)-(\d+)x(\d+)-(\d+)x(\d+)-(\d+)x(\d+)-[01]"
)
_SOLID: Final = re.compile(r"\d+(?:-\d+){3}-\d+x\d+x\d+(?:-\d+){5}(?:-\d+(?:x\d+)+){3}-[01]")
_TIME: Final = re.compile(r"\d{1,15}(?:\.\d*)?(?:[eE][+-]?\d\d?)?")
_CACHE: Final = 4


def read(path: Path, sha256: str, kept_in: Path) -> pd.DataFrame:
    """Read a find-db, or the table that an earlier reading kept.

    Parameters
    ----------
    path : Path
        File packed by bzip2.
    sha256 : str
        Its hash, which names the kept table.
    kept_in : Path
        Folder of kept tables.

    Returns
    -------
    DataFrame
        One row a line, numbers alone: ``dtype_bytes`` (0 for types not in `TYPES`), ``direction`` (of
        `DIRECTIONS`), ``rule`` (place in `RULES`), ``latency_ms`` (least of the solvers), ``groups``, the `SIZES`,
        ``pad_bottom`` and ``pad_right``; all sizes are 1 where the first rule dropped the line.

    Raises
    ------
    AlphaflopsError
        Naming file and line, for a file that is truncated, too large, or not of this format.
    """
    kept = kept_in / f"{sha256[:16]}-find-db-{_CACHE}.npz"
    try:
        with np.load(kept, allow_pickle=False) as arrays:
            return pd.DataFrame(dict(arrays))
    except Exception:  # what is damaged is read anew, whatever NumPy, zipfile or zlib say of it
        table = _parse(path)
    with suppress(OSError, AlphaflopsError):  # a cache that cannot be written is read again next time
        kept_in.mkdir(parents=True, exist_ok=True)
        write_atomic(kept, pack_arrays({name: table[name] for name in table.columns}))
    return table


def _unpack(path: Path) -> str:
    decompressor = bz2.BZ2Decompressor()
    try:
        data = decompressor.decompress(path.read_bytes(), LARGEST)
        if not decompressor.eof:
            what = f"unpacks to more than {LARGEST >> 20} MiB" if len(data) == LARGEST else "is truncated"
            raise AlphaflopsError(f"{path} {what}: not read")
        return data.decode("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise AlphaflopsError(f"{path} is no find-db packed by bzip2: {error}") from error


def _parse(path: Path) -> pd.DataFrame:
    lines = []
    for number, line in enumerate(_unpack(path).splitlines(), start=1):
        try:
            lines.append(_line(line))
        except ValueError as error:
            raise AlphaflopsError(f"{path}, line {number}: {error}") from error
    if not lines:
        raise AlphaflopsError(f"{path} holds no line")
    found = pd.DataFrame(dict(zip(READ, map(np.array, zip(*lines, strict=True)), strict=True)))
    found = found.assign(pad_bottom=found["pad_top"], pad_right=found["pad_left"])
    height, width = output_size(found)
    follows = (height == found["out_height"]) & (width == found["out_width"])
    found["rule"] = found["rule"].where(follows | (found["rule"] == 1), 2)
    # Small numbers are packed in half the time.
    return found.astype({name: np.min_scalar_type(found[name].max()) for name in found if name != "latency_ms"})


def _line(line: str) -> tuple[float, ...]:
    key, _, value = line.partition("=")
    if (parts := _KEY.fullmatch(key)) is None:
        raise ValueError(f"{key[:60]!r} is no layer: expected sizes, a layout, a number type and F, B or W")
    sizes, layout, kind, direction, groups = parts.groups()
    told = TYPES.get(kind.lower(), 0), ord(direction)
    if not set(layout.split("-")) <= set(LAYOUTS):
        raise ValueError(f"layout {layout[:40]!r} is unknown: expected {', '.join(LAYOUTS)}")
    flat = _SIZES.fullmatch(sizes)
    if flat is None and not _SOLID.fullmatch(sizes):
        raise ValueError(f"sizes {sizes[:60]!r} are not C-H-W-RxS-K-Ho-Wo-N-pad-stride-dilation-bias")
    if layout != "NCHW" or flat is None or not told[0]:
        return *told, 0, 1, *[1] * (len(SIZES) + 1)
    c, h, w, r, s, k, ho, wo, n, *rest = map(int, flat.groups())
    if direction != "F":  # there the first sizes are the output's
        c, h, w, k, ho, wo = k, ho, wo, c, h, w
    g = int(groups or 1)
    every = (c, h, w, r, s, k, ho, wo, n, *rest)
    if min(every[:9]) < 1 or min(rest[2:]) < 1 or max(*every, g) >= 2**31 or c % g or k % g:
        raise ValueError(f"sizes {sizes[:60]!r} in {g} groups are no layer")
    solver, time = min(_solvers(value), key=lambda one: one[1])
    return *told, time, 3 if time == 0 else 4 if "Naive" in solver else 0, g, *every


def _solvers(value: str) -> Iterator[tuple[str, float]]:
    for entry in value.split(";"):
        solver, _, rest = entry.partition(":")
        fields = rest.split(",")
        if len(fields) > 3:  # an older file: the algorithm comes first
            solver, fields = fields[0], fields[1:]
        if len(fields) < 3 or not _TIME.fullmatch(fields[0]):
            raise ValueError(f"solver {solver[:40]!r} has no time")
        yield solver, float(fields[0])
