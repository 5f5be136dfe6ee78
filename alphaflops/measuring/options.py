"""The options of ``alphaflops measure``, once, for the click command and for the plain one of bare machines."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import AlphaflopsError
from ..experiments import PROFILES
from . import protocol as protocols
from .protocol import Protocol


@dataclass(frozen=True)
class MeasureOptions:
    """What a user may choose; None means the default of the profile.

    Attributes
    ----------
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    threads : int or None
        Threads of torch on the CPU; None for all usable cores.
    profile : str
        Name of the grid, which also sets how narrow intervals must be.
    seed : int
        Seed of the random order.
    title, run_id : str or None
        What the run is called, and its identifier.
    experiments : tuple of str
        Only these experiments of the grid; empty for all.
    energy : bool
        Measure joules per call on a chosen set of layers instead of times on the whole grid.
    allow_different : tuple of str
        Keys that may differ from the run being resumed.
    protocol, tolerance, repeats, row_seconds, memory_share, tf32, cudnn_benchmark, memory_format, cold_cache
        See `Protocol`; `row_seconds` is the cap on the synchronised calls of a row.
    """

    device: str = "auto"
    threads: int | None = None
    profile: str = "quick"
    seed: int = 0
    title: str | None = None
    run_id: str | None = None
    experiments: tuple[str, ...] = ()
    energy: bool = False
    allow_different: tuple[str, ...] = ()
    protocol: str = "adaptive"
    tolerance: float | None = None
    repeats: int | None = None
    row_seconds: float | None = None
    memory_share: float | None = None
    tf32: bool = False
    cudnn_benchmark: bool = False
    memory_format: str = "contiguous"
    cold_cache: bool = False

    def settings(self) -> Protocol:
        """Protocol that these options ask for.

        Raises
        ------
        AlphaflopsError
            If one of them is unknown or out of range.
        """
        return protocols.for_profile(
            self.profile,
            self.protocol,
            tolerance=self.tolerance,
            repeats=self.repeats if self.protocol in protocols.FIXED else None,
            latency_s=self.row_seconds,
            memory_share=self.memory_share,
            tf32=self.tf32,
            cudnn_benchmark=self.cudnn_benchmark,
            memory_format=self.memory_format,
            cold_cache=self.cold_cache,
        )


@dataclass(frozen=True)
class Option:
    """One option of the command line.

    Attributes
    ----------
    name : str
        Field of `MeasureOptions` (or ``out``, ``resume``, ``json``); the flag is the name with dashes.
    type : type
        str, int, float, bool (a switch) or Path.
    help : str
        One line for ``--help``.
    choices : tuple of str
        Allowed values; empty for any.
    multiple : bool
        Whether it may be given several times.
    metavar : str
        What stands for the value in ``--help``.
    """

    name: str
    type: type
    help: str
    choices: tuple[str, ...] = ()
    multiple: bool = False
    metavar: str = ""

    @property
    def flag(self) -> str:
        """The flag as typed."""
        return "--" + self.name.replace("_", "-")

    @property
    def default(self) -> Any:
        """The default, as in `MeasureOptions`; empty for repeatable options."""
        return () if self.multiple else DEFAULTS[self.name]


DEFAULTS = {field.name: field.default for field in fields(MeasureOptions)}
DEFAULTS |= {"out": None, "resume": None, "json": False}

OPTIONS = (
    Option("device", str, "Where to measure: auto, cpu, cuda, cuda:N or mps.", metavar="DEVICE"),
    Option("threads", int, "Threads on the CPU; all usable cores by default.", metavar="N"),
    Option("profile", str, "Which layers, and how narrow the intervals.", PROFILES),
    Option("experiment", str, "Only this experiment of the profile (repeatable).", multiple=True, metavar="NAME"),
    Option("out", Path, "Folder of the new run.", metavar="DIR"),
    Option("resume", Path, "Finish the run in this folder; only its missing rows are measured.", metavar="DIR"),
    Option("allow_different", str, "Resume although this key differs (repeatable).", multiple=True, metavar="KEY"),
    Option("protocol", str, "How to time: ours, or one of the replication's two.", protocols.PROTOCOLS),
    Option("tolerance", float, "Stop at this half-width of the interval, a fraction of the median.", metavar="SHARE"),
    Option("row_seconds", float, "Cap on the synchronised calls of a layer.", metavar="S"),
    Option("repeats", int, "Calls per layer of the replication's protocols.", metavar="N"),
    Option("memory_share", float, "Largest share of the free memory for one layer.", metavar="SHARE"),
    Option("tf32", bool, "Allow TF32 (off by default, also for cuDNN)."),
    Option("cudnn_benchmark", bool, "Let cuDNN search for its fastest algorithm."),
    Option("memory_format", str, "Layout of activations and kernels.", protocols.MEMORY_FORMATS),
    Option("cold_cache", bool, "Overwrite the caches before every call."),
    Option("energy", bool, "Measure joules per call on a set of layers chosen from the profile."),
    Option("seed", int, "Seed of the random order of layers.", metavar="N"),
    Option("title", str, "What the run is called in figures.", metavar="TEXT"),
    Option("run_id", str, "Identifier of the run; the name of its folder by default.", metavar="ID"),
    Option("json", bool, "Print a summary as JSON at the end."),
)
"""All options of ``measure``, in the order of ``--help``."""


def changes_from(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `MeasureOptions` among parsed values by option name, without those left out (None, empty).

    Raises
    ------
    AlphaflopsError
        If a name is unknown.
    """
    known = {field.name for field in fields(MeasureOptions)}
    chosen: dict[str, Any] = {}
    for name, value in values.items():
        target = "experiments" if name == "experiment" else name
        if target in ("out", "resume", "json") or value is None or value == ():
            continue
        if target not in known:
            raise AlphaflopsError(f"option {name!r} is unknown: see alphaflops measure --help")
        chosen[target] = tuple(value) if isinstance(value, list | tuple) else value
    return chosen


def from_values(values: Mapping[str, Any]) -> MeasureOptions:
    """Build options from parsed values by option name; None leaves the default.

    Raises
    ------
    AlphaflopsError
        If a name is unknown.
    """
    return MeasureOptions(**changes_from(values))
