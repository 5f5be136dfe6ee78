"""Timing of layers as a benchmark laboratory would do it, and records that survive what happens to long runs.

`measure` times layers in a process of its own, into a folder that may hold others already; `resume` finishes what was
interrupted; `verify` checks every byte.
"""

from .device import available
from .process import measure, resume
from .protocol import Options
from .record import summary, verify
from .session import Interrupted

__all__ = ["Interrupted", "Options", "available", "measure", "resume", "summary", "verify"]
