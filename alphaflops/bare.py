"""The command line of a bare machine: ``measure``, ``verify`` and ``env`` with nothing but torch, NumPy and pandas."""

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import __version__, experiments
from . import measuring as measure
from .errors import AlphaflopsError
from .host import describe_cpu, library_versions

NOTE = "Only measuring works here: install the project for the other commands."


def _parser() -> argparse.ArgumentParser:
    about = "Time the layers of the paper on this machine."
    parser = argparse.ArgumentParser(prog="alphaflops", description=about, epilog=NOTE)
    parser.add_argument("--version", action="version", version=f"alphaflops {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    timing = commands.add_parser(
        "measure",
        help="time a grid of layers",
        epilog="Example: python -m alphaflops measure --device cuda --profile paper --out my-gpu",
    )
    for option in measure.OPTIONS:
        add_option(timing, option)
    checking = commands.add_parser("verify", help="check every byte of a run")
    checking.add_argument("folder", type=Path, help="folder of a finished or unfinished run")
    commands.add_parser("env", help="what a bug report needs")
    return parser


def add_option(parser: argparse.ArgumentParser, option: measure.Option) -> None:
    """Add one option of ``measure``; options not given stay None."""
    text = option.help if option.default in (None, (), False) else f"{option.help} [{option.default}]"
    if option.type is bool:
        parser.add_argument(option.flag, dest=option.name, action="store_true", default=None, help=text)
        return
    parser.add_argument(
        option.flag,
        dest=option.name,
        type=option.type,
        choices=option.choices or None,
        action="append" if option.multiple else "store",
        metavar=option.metavar or None,
        help=text.replace("%", "%%"),
    )


def measure_command(values: dict[str, Any]) -> dict[str, Any]:
    """Run or resume a measurement from parsed values and give its summary.

    Raises
    ------
    AlphaflopsError
        If neither or both of ``out`` and ``resume`` are given, or whatever measuring raises.
    """
    out, again = values.get("out"), values.get("resume")
    progress = measure.for_stream(sys.stderr)
    if again is not None and out is None:
        return measure.summary(measure.resume(again, measure.changes_from(values), progress))
    if again is not None or out is None:
        raise AlphaflopsError("give either --out DIR for a new run or --resume DIR for an unfinished one")
    options = measure.from_values(values)
    if sys.stderr.isatty() and options.device == "auto":
        sys.stderr.write(f"device auto: {measure.choose('auto')}\n")
    return measure.summary(measure.run(experiments.grid(options.profile), options, out, progress))


def closing_line(found: dict[str, Any], folder: Path) -> str:
    """Summarise a finished run in one line for people."""
    ok, sentinel = found["status"]["ok"], found["sentinel"]
    moved = "" if sentinel["moved"] is None else f", sentinel moved {100 * sentinel['moved']:+.1f} %"
    return (
        f"{ok} of {found['layers']} layers timed in {found['seconds']:.0f} s on {found['machine']}: "
        f"{found['unconverged']} not converged, {found['throttled']} throttled, "
        f"{found['foreign_load']} under foreign load{moved} ({sentinel['verdict']}). Written to {folder}"
    )


def environment() -> dict[str, Any]:
    """Gather what a bug report needs: versions, processor, devices."""
    try:
        devices = measure.available()
    except ImportError:
        devices = []
    system = f"{platform.system()} {platform.release()}"
    return {
        "alphaflops": __version__,
        "python": platform.python_version(),
        "system": system,
        **library_versions(),
        "cpu": describe_cpu(),
        "devices": devices,
    }


def _verify(folder: Path) -> int:
    found = measure.verify(folder)
    for problem in found.problems:
        sys.stderr.write(f"error: {folder}: {problem}\n")
    if not found.problems:
        sys.stdout.write(f"{folder}: {found.state}, {found.rows} of {found.total} layers, every byte as written\n")
    return 2 if found.problems else 0


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; every foreseeable error is one line on stderr and exit code 2."""
    values = vars(_parser().parse_args(args))
    command = values.pop("command")
    try:
        if command == "verify":
            return _verify(values["folder"])
        if command == "env":
            sys.stdout.write(json.dumps(environment(), indent=2) + "\n")
            return 0
        found = measure_command(values)
        text = json.dumps(found, indent=2) if values["json"] else closing_line(found, values["out"] or values["resume"])
        sys.stdout.write(text + "\n")
    except measure.Interrupted as error:
        sys.stderr.write(f"{error}\n")
        return 130
    except AlphaflopsError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0
