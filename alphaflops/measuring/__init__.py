"""Timing of layers as a benchmark laboratory would do it, and records that survive what happens to long runs.

`measure` times layers in a process of its own, into a folder that may hold others already; `resume` finishes what was
interrupted; `verify` checks every byte.
"""

from .finish import summary, verify
from .header import Options
from .opening import available
from .process import go_on as resume
from .process import measure
from .session import Interrupted

__all__ = ["Interrupted", "Options", "available", "measure", "resume", "summary", "verify"]
