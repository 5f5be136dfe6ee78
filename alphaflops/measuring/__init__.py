"""Timing of layers as a benchmark laboratory would do it, and records that survive what happens to long runs.

`run` measures a grid into a folder, `resume` finishes an interrupted one, `verify` checks every byte of either.
`OPTIONS` lists what a user can choose; `from_values` turns choices into `MeasureOptions`.
"""

from .finish import Verification, summary, verify
from .header import check_same, differences
from .opening import available, choose
from .options import OPTIONS, MeasureOptions, Option, changes_from, from_values
from .progress import Progress, for_stream
from .runner import Interrupted, resume, run

__all__ = [
    "OPTIONS",
    "Interrupted",
    "MeasureOptions",
    "Option",
    "Progress",
    "Verification",
    "available",
    "changes_from",
    "check_same",
    "choose",
    "differences",
    "for_stream",
    "from_values",
    "resume",
    "run",
    "summary",
    "verify",
]
