"""Say how far a measurement is: a bar in a notebook or on a terminal, a line without tqdm, nothing in a pipe."""

import sys
import warnings
from importlib.util import find_spec
from typing import Any, TextIO


class Progress:
    """What a session tells while it works; this one says nothing."""

    def start(self, total: int, done: int) -> None:
        """Begin; `done` of `total` rows are there already."""

    def row(self, label: str, ms: float, half_width: float, seconds: float) -> None:
        """One more row is on disk: its median (ms) and half-width (a fraction); `seconds` since the beginning."""

    def close(self) -> None:
        """End, however it ended."""


def describe(label: str, ms: float, half_width: float) -> str:
    """One layer and its interval in a few words."""
    return f"{label}: {ms:.4g} ms ± {100 * half_width:.1f} %" if ms == ms else f"{label}: no time"


class Line(Progress):
    """One line, rewritten: rows done, time left, the last layer and its interval."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._total = self._done = self._first = 0

    def start(self, total: int, done: int) -> None:
        """Begin."""
        self._total, self._done, self._first = total, done, done

    def row(self, label: str, ms: float, half_width: float, seconds: float) -> None:
        """Rewrite the line."""
        self._done += 1
        left = seconds / (self._done - self._first) * (self._total - self._done)
        text = f"{self._done}/{self._total} layers, {left:.0f} s left, {describe(label, ms, half_width)}"
        self._stream.write(f"\r\x1b[K{text[:110]}")
        self._stream.flush()

    def close(self) -> None:
        """Clear the line."""
        self._stream.write("\r\x1b[K")
        self._stream.flush()


class Bar(Progress):
    """The same through tqdm, which draws a widget in a notebook."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bar: Any = None

    def start(self, total: int, done: int) -> None:
        """Begin."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a notebook without widgets gets text
            from tqdm.auto import tqdm
        file = None if _in_notebook() else self._stream
        self._bar = tqdm(total=total, initial=done, unit="layer", file=file, leave=False, dynamic_ncols=True)

    def row(self, label: str, ms: float, half_width: float, seconds: float) -> None:
        """Move the bar."""
        self._bar.set_postfix_str(describe(label, ms, half_width), refresh=False)
        self._bar.update()

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()


def _in_notebook() -> bool:
    return "ipykernel" in sys.modules and hasattr(sys.stderr, "pub_thread")


def for_stream(stream: TextIO | None = None) -> Progress:
    """Choose by what `stream` (stderr by default) is."""
    stream = stream or sys.stderr
    if not (stream.isatty() or _in_notebook()):
        return Progress()
    return Bar(stream) if find_spec("tqdm") else Line(stream)
