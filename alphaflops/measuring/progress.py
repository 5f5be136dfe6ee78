"""Say how far a measurement is: one line, rewritten, in a notebook or on a terminal, nothing in a pipe."""

import shutil
import sys
from typing import TextIO


class Progress:
    """Rows done, time left, the last layer and its interval, written to a stream; without one it says nothing."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._total = self._done = self._first = 0

    def start(self, total: int, done: int) -> None:
        """Begin; `done` of `total` rows are there already."""
        self._total, self._done, self._first = total, done, done

    def row(self, label: str, ms: float, half_width: float, seconds: float) -> None:
        """One more row is on disk: its median (ms) and half-width (a fraction); `seconds` since the beginning."""
        self._done += 1
        left = seconds / (self._done - self._first) * (self._total - self._done)
        interval = f"{ms:.4g} ms ± {100 * half_width:.1f} %" if ms == ms else "no time"
        self._show(f"{self._done}/{self._total} layers, {left:.0f} s left, {label}: {interval}")

    def close(self) -> None:
        """End, however it ended: the line goes."""
        self._show("")

    def _show(self, text: str) -> None:
        if self._stream is not None:
            width = shutil.get_terminal_size((110, 24)).columns - 1
            self._stream.write(f"\r{text[:width]:<{width}}\r")
            self._stream.flush()


def for_stream(stream: TextIO | None = None) -> Progress:
    """Choose by what `stream` (stderr by default) is."""
    stream = stream or sys.stderr
    in_notebook = "ipykernel" in sys.modules and hasattr(sys.stderr, "pub_thread")
    return Progress(stream if stream.isatty() or in_notebook else None)
