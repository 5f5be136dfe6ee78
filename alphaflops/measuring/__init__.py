"""Timing of layers as a benchmark laboratory would do it, and records that survive what happens to long runs.

`measure` times layers in a process of its own, into a folder that may hold others already; `resume` finishes what was
interrupted; `verify` checks every byte. `run` is the same in this process, without the allocator's settings.
"""

from .finish import Verification, summary, verify
from .header import Options, check_same, differences
from .opening import available, choose
from .process import go_on as resume
from .process import measure
from .session import Interrupted, run

__all__ = [
    "Interrupted",
    "Options",
    "Verification",
    "available",
    "check_same",
    "choose",
    "differences",
    "measure",
    "resume",
    "run",
    "summary",
    "verify",
]
