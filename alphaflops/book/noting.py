"""Which files a notebook reads, and in which of its lines: noted in its kernel while it runs.

An audit hook sees every file that Python opens, so that no reader has to report itself. The hook is set by a start-up
script in an IPython folder of the book's own, which also keeps a reader's IPython settings out of the book.
"""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

NOTES = "notes.jsonl"
"""File of the notes in the IPython folder."""


class Note(NamedTuple):
    """One file that was opened for reading.

    Parameters
    ----------
    path : str
        The file, absolute.
    cell : int
        Which code cell opened it, counted from 1.
    line : int
        Line of the statement in that cell, 0 where it cannot be told (a thread).
    """

    path: str
    cell: int
    line: int


def prepare(folder: Path, roots: Iterable[Path]) -> None:
    """Write an IPython folder whose kernels note each file that they open under one of the `roots`."""
    startup = folder / "profile_default" / "startup"
    startup.mkdir(parents=True)
    watched = [f"{root}{os.sep}" for root in roots]
    # one expression: the script runs in the notebook's own namespace and must leave no name there
    call = f"__import__({__name__!r}, fromlist=['start']).start({str(folder / NOTES)!r}, {watched!r})\n"
    (startup / "00-notes.py").write_text(call, encoding="utf-8")


def start(notes: str, roots: Sequence[str]) -> None:
    """Note from now on every file under one of the `roots` that this process opens for reading."""
    from IPython import get_ipython

    shell: Any = get_ipython()
    handle = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    watched = tuple(roots)

    def note(event: str, args: tuple[Any, ...]) -> None:
        if event != "open" or isinstance(args[0], int) or (args[2] or 0) & (os.O_WRONLY | os.O_RDWR):
            return
        path = os.path.abspath(os.fsdecode(args[0]))
        if path.startswith(watched):
            cell = len(shell.history_manager.input_hist_parsed) - 1  # the first entry is no cell
            found = Note(path, cell, _line(shell.user_ns))
            os.write(handle, f"{json.dumps(found)}\n".encode())

    sys.addaudithook(note)


def _line(namespace: dict[str, Any]) -> int:
    """Line that the notebook's own code has reached: that of the outermost frame in its namespace."""
    line = 0
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals is namespace:
            line = frame.f_lineno
        frame = frame.f_back
    return line


def read(folder: Path) -> list[Note] | None:
    """Read the notes in a folder that `prepare` made; None if the kernel never began to take them."""
    try:
        lines = (folder / NOTES).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    return [Note(*json.loads(line)) for line in lines]
