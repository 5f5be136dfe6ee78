"""What a run says about itself before its first row, and which of that must not change while rows are added to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from .. import __version__
from ..errors import AlphaflopsError
from ..files import one_line, to_json
from ..host import describe, describe_software
from ..runs.schema import FORMAT_VERSION, check_slug, slug
from .protocol import FIXED, Protocol, for_profile
from .sentinel import SENTINEL

CHECKED: Final = ("device", "machine", "software", "protocol", "profile", "seed", "energy")
"""Parts of the metadata that must be the same in all sessions of a run, and in runs that are to be merged."""

UNCHECKED: Final = (
    *("machine.gpu.shared", "software.psutil", "software.zeus", "software.nvidia-ml-py", "software.pandas"),
    *("software.alphaflops", "machine.cpu.memory_gib"),
)
"""Keys among them that say something about the moment, or that no timing depends on; older runs name psutil, Zeus."""


@dataclass(frozen=True)
class Options:
    """What a user may choose, by the names of `alphaflops.measure`; None means the default of the profile."""

    device: str = "auto"
    profile: str = "quick"
    threads: int | None = None
    seed: int = 0
    title: str | None = None
    run_id: str | None = None
    energy: bool = False
    protocol: str = "adaptive"
    tolerance: float | None = None
    repeats: int | None = None
    row_seconds: float | None = None
    memory_share: float | None = None
    tf32: bool = False
    cudnn_benchmark: bool = False
    memory_format: str = "contiguous"
    cold_cache: bool = False
    allow_different: tuple[str, ...] = ()

    def settings(self) -> Protocol:
        """Protocol that these options ask for.

        Raises
        ------
        AlphaflopsError
            If one of them is unknown or out of range.
        """
        if self.run_id is not None:
            check_slug(self.run_id)
        if not 0 <= self.seed < 2**63:
            raise AlphaflopsError(f"seed is {self.seed}: give an integer from 0 up, below 2**63")
        same = ("tolerance", "memory_share", "tf32", "cudnn_benchmark", "memory_format", "cold_cache")
        return for_profile(
            self.profile,
            self.protocol,
            repeats=self.repeats if self.protocol in FIXED else None,
            latency_s=self.row_seconds,
            throughput_s=self.row_seconds,
            **{name: getattr(self, name) for name in same},
        )


def metadata(options: Options, device: str, folder: Path) -> dict[str, Any]:
    """Describe a run on `device` as it begins, see `alphaflops.runs.Run`."""
    machine, inputs = describe(device, options.threads), "standard normal, seeded"
    found = {
        "format_version": FORMAT_VERSION,
        "run_id": options.run_id or slug(folder.resolve().name),
        "origin": "measured",
        "title": one_line(options.title or machine["name"]),
        "device": device.partition(":")[0],
        "machine": machine,
        "software": describe_software() | {"alphaflops": __version__},
        "protocol": options.settings().record() | {"dtype": "by row (dtype_bytes)", "inputs": inputs},
        "profile": options.profile,
        "energy": options.energy,
        "seed": options.seed,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "sentinel": {"layer": SENTINEL.row(), "curve_s_ms": []},
    }
    return dict(to_json(found))


def check_same(old: Mapping[str, Any], new: Mapping[str, Any], allow: Sequence[str] = ()) -> dict[str, list[Any]]:
    """Refuse to mix two runs that differ in more than `allow`; give the differences that were allowed.

    Parameters
    ----------
    allow : sequence of str
        Dotted keys, or their beginnings: ``software`` allows ``software.torch``.

    Returns
    -------
    dict
        Key → both values.

    Raises
    ------
    AlphaflopsError
        Naming the first key that differs, and both values.
    """
    import pandas as pd

    checked = [{key: meta.get(key) for key in CHECKED} for meta in (old, new)]
    sides = [pd.json_normalize(side).to_dict(orient="records")[0] for side in checked]
    allowed = {}
    for key in map(str, {**sides[0], **sides[1]}):
        before, now = (side.get(key) for side in sides)
        if key in UNCHECKED or before == now:
            continue
        if not any(key == name or key.startswith(name + ".") for name in allow):
            told = f"{key} was {before!r} and is now {now!r}"
            raise AlphaflopsError(f"{told}: these timings do not mix (--allow-different {key} to insist)")
        allowed[key] = [before, now]
    return allowed
