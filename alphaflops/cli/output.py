"""Printing shared by the commands: JSON for programs, plain tables for people, in which nothing is ever cut."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ..files import terminal


def json_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON for other programs")


def examples(parser: argparse.ArgumentParser, *lines: str) -> None:
    """Add examples below the help of a command."""
    parser.epilog = "\n".join(("Example:" if len(lines) == 1 else "Examples:", *(f"  alphaflops {x}" for x in lines)))


def show(text: object = "") -> None:
    """Print one or more lines; what a file or a run says sends no codes to a terminal."""
    lines = str(text).split("\n")
    sys.stdout.write("\n".join("\t".join(map(terminal, line.split("\t"))) for line in lines) + "\n")


def show_json(value: Any) -> None:
    """Print a value as JSON; numbers that do not exist are an error."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def cell(value: Any) -> str:
    """Write a value for people: integers in full, other numbers with five significant digits, nothing as a dash."""
    if value is None or value != value:
        return "-"
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        return str(value)
    return f"{value:,}" if float(value).is_integer() and abs(value) >= 1 and isinstance(value, int) else f"{value:.5g}"


def show_pairs(pairs: Mapping[str, Any]) -> None:
    """Print names and values in two columns."""
    width = max(map(len, pairs))
    for name, value in pairs.items():
        show(f"{name:<{width}}  {cell(value)}")


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table as wide as it must be, numbers to the right."""
    lines = [tuple(map(cell, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *lines, strict=True)]
    right = [all(hasattr(v, "__float__") or v is None for v in column) for column in zip(*rows, strict=True)]
    right = right or [False] * len(columns)
    show(f"\n{title}")
    for line in (tuple(columns), tuple("-" * width for width in widths), *lines):
        cells = (f"{v:>{w}}" if r else f"{v:<{w}}" for v, w, r in zip(line, widths, right, strict=True))
        show("  ".join(cells).rstrip())
