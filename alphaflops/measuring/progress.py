"""Say how far a measurement is: a bar on a terminal, nothing in a pipe."""

import sys
from importlib.util import find_spec
from typing import Any, Protocol, TextIO

from .statistics import Estimate


class Progress(Protocol):
    """What the runner tells while it works."""

    def start(self, total: int, done: int) -> None:
        """Begin; `done` of `total` rows are there already."""

    def row(self, label: str, latency: Estimate | None, seconds: float) -> None:
        """One more row is on disk; `seconds` since the beginning."""

    def close(self) -> None:
        """End, however it ended."""


class Quiet:
    """Says nothing."""

    def start(self, total: int, done: int) -> None:
        """Begin."""

    def row(self, label: str, latency: Estimate | None, seconds: float) -> None:
        """Take note of nothing."""

    def close(self) -> None:
        """End."""


def describe(label: str, latency: Estimate | None) -> str:
    """One layer and its interval in a few words."""
    if latency is None:
        return f"{label}: no time"
    return f"{label}: {latency.median:.4g} ms ± {100 * latency.half_width:.1f} %"


class Line:
    """One line, rewritten: rows done, time left, the last layer and its interval."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._total = self._done = self._first = 0

    def start(self, total: int, done: int) -> None:
        """Begin."""
        self._total, self._done, self._first = total, done, done

    def row(self, label: str, latency: Estimate | None, seconds: float) -> None:
        """Rewrite the line."""
        self._done += 1
        left = seconds / (self._done - self._first) * (self._total - self._done)
        text = f"{self._done}/{self._total} layers, {left:.0f} s left, {describe(label, latency)}"
        self._stream.write(f"\r\x1b[K{text[:110]}")
        self._stream.flush()

    def close(self) -> None:
        """Clear the line."""
        self._stream.write("\r\x1b[K")
        self._stream.flush()


class Bar:
    """The same through tqdm."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bar: Any = None

    def start(self, total: int, done: int) -> None:
        """Begin."""
        from tqdm import tqdm

        self._bar = tqdm(total=total, initial=done, unit="layer", file=self._stream, leave=False, dynamic_ncols=True)

    def row(self, label: str, latency: Estimate | None, seconds: float) -> None:
        """Move the bar."""
        self._bar.set_postfix_str(describe(label, latency), refresh=False)
        self._bar.update()

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()


def for_stream(stream: TextIO | None = None) -> Progress:
    """Choose by what `stream` (stderr by default) is: a bar or a line on a terminal, nothing in a pipe."""
    stream = stream or sys.stderr
    if not stream.isatty():
        return Quiet()
    return Bar(stream) if find_spec("tqdm") else Line(stream)
