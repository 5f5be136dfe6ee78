"""The command line: reads options, calls the library, prints. Standard library only, so that a bare GPU host has it.

What commands print is JSON for programs, or plain tables for people, in which nothing is ever cut.
"""

import argparse
import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from inspect import getdoc
from textwrap import indent
from typing import Any

from .. import __version__
from ..errors import AlphaflopsError
from ..files import terminal

EPILOG = """\
Examples:
  alphaflops layer conv2d --height 10 --width 10 --cin 100 --cout 50 --kernel 3
  alphaflops score paper-t2000 --model alpha-published
  alphaflops rerun --device cuda --profile paper

`alphaflops COMMAND --help` explains a command."""


RENAMED = {
    "calibrate": "refresh calibrations",
    "cite": "cat CITATION.cff (BibTeX stands on the book's front page)",
    "measure-networks": "measure --networks RUN",
    "reproduce": "refresh --check",
    "scorecard": "refresh scores",
    "update": "refresh notebooks",
}
"""Commands of version 0.1 → what to type now."""


class Parser(argparse.ArgumentParser):
    """Tells mistakes by an exception, so that they end as every other error does; examples keep their lines."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)

    def error(self, message: str) -> Any:
        """Raise the message.

        Raises
        ------
        AlphaflopsError
            Always.
        """
        raise AlphaflopsError(f"{message}: see {self.prog} --help")


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; every foreseeable error is one line on stderr and exit code 2."""
    if sys.stderr is None:
        sys.stderr = io.StringIO()  # closed by the caller: there is nobody to tell
    if sys.stdout is None:
        return fail("standard output is closed: redirect it to a file or to /dev/null")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 shows "?" for what it lacks
    try:
        code = _run(sys.argv[1:] if args is None else args)
        sys.stdout.flush()
    except AlphaflopsError as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return fail("interrupted", 130)
    except OSError as error:
        if error.filename is None:
            sys.stdout = io.StringIO()  # else Python tries again at its end, and complains
        if isinstance(error, BrokenPipeError):
            return 1
        return fail(f"{error.filename or 'output'} cannot be used: {error.strerror or error}")
    return code


def _run(args: Sequence[str]) -> int:
    name = args[0] if args else "--help"
    if name in RENAMED:
        raise AlphaflopsError(f"command {name!r} is gone: use `{RENAMED[name]}`")
    try:
        given, unknown = parser(name).parse_known_args(args or [name])
    except SystemExit:  # --help or --version has been printed
        return 0 if args else 2
    if unknown:
        given.command.error(f"unrecognized arguments: {' '.join(unknown)}")
    return int(given.function(given) or 0)


def commands() -> dict[str, Callable[[argparse.Namespace], int | None]]:
    """Give the commands by name; beside each is ``NAME_options(parser)``, and its docstring is its help."""
    from . import measuring, models, runs

    every = (
        *(models.layer, runs.runs, runs.env, measuring.measure, runs.verify, models.score, models.fit, models.compare),
        *(models.claims, models.estimate, runs.rerun, runs.book, runs.refresh, runs.pack, runs.import_),
    )
    return {command.__name__.strip("_"): command for command in every}


def parser(wanted: str) -> Parser:
    """Give the parser of the program, with the options of the command that is wanted: others would load for nothing."""
    about = "Which measure predicts the time of a neural-network layer?"
    whole = Parser(prog="alphaflops", usage="alphaflops COMMAND [OPTION ...]", description=about, epilog=EPILOG)
    whole.add_argument("--version", action="version", version=f"alphaflops {__version__}")
    listed = whole.add_subparsers(title="commands", metavar="COMMAND", required=True, prog="alphaflops")
    for name, function in commands().items():
        text, _, shown = (getdoc(function) or "").partition("Examples\n--------\n")
        told, examples = text.partition("\n")[0], f"Examples:\n{indent(shown, '  ')}"
        command = listed.add_parser(name, help=told, description=told, epilog=examples)
        command.set_defaults(function=function, command=command)
        if name == wanted:
            getattr(sys.modules[function.__module__], f"{name}_options")(command)
    return whole


def fail(message: str, code: int = 2) -> int:
    """Print one line on stderr and give the exit code."""
    try:
        sys.stderr.write(f"error: {terminal(' '.join(message.split()))}\n")
    except OSError:  # it is full or gone: there is nobody to tell, and Python must not try again at its end
        sys.stderr = io.StringIO()
    return code


def json_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON for other programs")


def show(text: object) -> None:
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
    return f"{value:,}" if isinstance(value, int) else f"{value:.5g}"


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
