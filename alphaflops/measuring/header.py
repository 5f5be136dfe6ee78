"""What a run says about itself before its first row, and which of that must not change while it is resumed."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..errors import AlphaflopsError
from ..host import describe, describe_software
from ..runs import FORMAT_VERSION
from ..runs.schema import slug
from .options import MeasureOptions
from .sentinel import SENTINEL

if TYPE_CHECKING:
    import pandas as pd

CHECKED = ("device", "machine", "software", "protocol", "profile", "seed", "energy")
"""Parts of the metadata that must be the same in all sessions of a run, and in runs that are to be merged."""

UNCHECKED = ("machine.gpu.shared", "software.psutil", "software.zeus", "software.nvidia-ml-py", "software.pandas")
"""Keys among them that say something about the moment, or that no timing depends on."""


def plain(value: Any) -> Any:
    """Give a value as it will be after a round trip through JSON."""
    return json.loads(json.dumps(value, allow_nan=False, default=_number))


def _number(value: Any) -> Any:
    return value.item()


def build(grid: "pd.DataFrame", options: MeasureOptions, device: str, folder: Path) -> dict[str, Any]:
    """Describe a new run on `device`: metadata, the rows to measure, and their seeded order.

    Returns
    -------
    dict
        ``meta`` (see `alphaflops.runs.Run`), ``options``, ``rows`` (the grid, one object per row) and ``order``
        (values of the grid's ``row`` column).
    """
    machine = describe(device, options.threads)
    settings = options.settings()
    kind = device.partition(":")[0]
    meta = {
        "format_version": FORMAT_VERSION,
        "run_id": options.run_id or slug(folder.resolve().name),
        "origin": "measured",
        "title": options.title or machine["name"],
        "device": kind,
        "machine": machine,
        "software": describe_software() | {"alphaflops": __version__},
        "protocol": settings.record() | {"dtype": "by row (dtype_bytes)", "inputs": "standard normal, seeded"},
        "profile": options.profile,
        "energy": options.energy,
        "seed": options.seed,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "sentinel": {"layer": SENTINEL.row()},
    }
    order = [int(row) for row in grid["row"]]
    random.Random(options.seed).shuffle(order)
    rows = grid.to_dict(orient="records")
    return dict(plain({"meta": meta, "options": asdict(options), "rows": rows, "order": order}))


def flattened(meta: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Pairs of dotted key and value, depth first."""
    for key, value in meta.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Keys in which two runs' metadata differ though they must not, each with both values."""
    sides = [dict(flattened({key: meta.get(key) for key in CHECKED})) for meta in (old, new)]
    keys = [key for key in {**sides[0], **sides[1]} if key not in UNCHECKED]
    return {key: [s.get(key) for s in sides] for key in keys if sides[0].get(key) != sides[1].get(key)}


def check_same(old: Mapping[str, Any], new: Mapping[str, Any], allow: Sequence[str] = ()) -> dict[str, list[Any]]:
    """Refuse to mix two runs that differ in more than `allow`; give the differences that were allowed.

    Parameters
    ----------
    allow : sequence of str
        Dotted keys, or their beginnings: ``software`` allows ``software.torch``.

    Raises
    ------
    AlphaflopsError
        Naming the first key that differs, and both values.
    """
    found = differences(old, new)
    for key, (before, now) in found.items():
        if not any(key == name or key.startswith(name + ".") for name in allow):
            raise AlphaflopsError(
                f"{key} was {before!r} and is now {now!r}: these timings do not mix (--allow-different {key} to insist)"
            )
    return found
