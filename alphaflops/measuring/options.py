"""The options of ``alphaflops measure``: keywords of `measure` and `resume` that a command line can give."""

from dataclasses import dataclass
from typing import Any, Final

from ..experiments import PROFILES
from .header import Options
from .protocol import MEMORY_FORMATS, PROTOCOLS


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes
    ----------
    name : str
        Keyword of `alphaflops.measure`; the flag is the name with dashes.
    type : type
        str, int, float or bool (a switch).
    help : str
        One line for ``--help``.
    choices : tuple of str
        Allowed values; empty for any.
    metavar : str
        What stands for the value in ``--help``.
    multiple : bool
        Whether it may be given several times.
    """

    name: str
    type: type
    help: str
    choices: tuple[str, ...] = ()
    metavar: str = ""
    multiple: bool = False

    @property
    def flag(self) -> str:
        """The flag as typed."""
        return "--" + self.name.replace("_", "-")

    @property
    def default(self) -> Any:
        """What holds where it is not given."""
        return getattr(Options(), self.name)


OPTIONS: Final = (
    Option("device", str, "Where to measure: auto, cpu, cuda, cuda:N or mps.", metavar="DEVICE"),
    Option("threads", int, "Threads on the CPU; OMP_NUM_THREADS or all usable cores by default.", metavar="N"),
    Option("profile", str, "Which layers, and how narrow the intervals.", PROFILES),
    Option("allow_different", str, "Go on although this key differs (repeatable).", metavar="KEY", multiple=True),
    Option("protocol", str, "How to time: ours, or one of the replication's two.", PROTOCOLS),
    Option("tolerance", float, "Stop at this half-width of the interval, a fraction of the median.", metavar="SHARE"),
    Option("row_seconds", float, "Cap on the calls of a layer, and once more on its blocks.", metavar="S"),
    Option("repeats", int, "Calls per layer of the replication's protocols.", metavar="N"),
    Option("memory_share", float, "Largest share of the free memory for one layer.", metavar="SHARE"),
    Option("tf32", bool, "Allow TF32 (off by default, also for cuDNN)."),
    Option("cudnn_benchmark", bool, "Let cuDNN search for its fastest algorithm."),
    Option("memory_format", str, "Layout of activations and kernels.", MEMORY_FORMATS),
    Option("cold_cache", bool, "Overwrite the caches before every call."),
    Option("energy", bool, "Measure joules per call on a set of layers chosen from the profile."),
    Option("seed", int, "Seed of the random order of layers.", metavar="N"),
    Option("title", str, "What the run is called in figures.", metavar="TEXT"),
    Option("run_id", str, "Identifier of the run; the name of its folder by default.", metavar="ID"),
)
"""All options of ``measure`` but where to write and what to say, in the order of ``--help``."""
