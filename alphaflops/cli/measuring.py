"""``alphaflops measure``: times of layers on this machine."""

import argparse
import sys
from pathlib import Path
from typing import Any

from ..errors import AlphaflopsError
from .output import examples, show, show_json


def measure_options(parser: argparse.ArgumentParser) -> None:
    """Add every option of `alphaflops.measuring.OPTIONS`."""
    from ..measuring import OPTIONS

    for option in OPTIONS:
        text = option.help if option.default in (None, (), False) else f"{option.help} [{option.default}]"
        if option.type is bool:
            parser.add_argument(option.flag, dest=option.name, action="store_true", default=None, help=text)
            continue
        parser.add_argument(
            option.flag,
            dest=option.name,
            type=option.type,
            choices=option.choices or None,
            action="append" if option.multiple else "store",
            metavar=option.metavar or None,
            help=text.replace("%", "%%"),
        )
    examples(
        parser,
        "measure --device cpu --threads 1 --profile quick --out my-cpu",
        "measure --device cuda --profile paper --out my-gpu",
        "measure --resume my-gpu",
    )


def measure(args: argparse.Namespace) -> int:
    """Measure or resume; each finished layer is on disk before the next begins.

    Raises
    ------
    AlphaflopsError
        If neither or both of ``--out`` and ``--resume`` are given, or whatever measuring raises.
    """
    from .. import experiments, measuring

    values = {name: value for name, value in vars(args).items() if name != "function"}
    progress = measuring.for_stream(sys.stderr)
    if (args.out is None) == (args.resume is None):
        raise AlphaflopsError("give either --out DIR for a new run or --resume DIR for an unfinished one")
    try:
        if args.resume is not None:
            run = measuring.resume(args.resume, measuring.changes_from(values), progress)
        else:
            options = measuring.from_values(values)
            run = measuring.run(experiments.grid(options.profile), options, args.out, progress)
    except measuring.Interrupted as stopped:
        sys.stderr.write(f"{stopped}\n")
        return 130
    found = measuring.summary(run)
    if args.json:
        show_json(found)
    else:
        show(closing_line(found, args.out or args.resume))
    return 0


def closing_line(found: dict[str, Any], folder: Path) -> str:
    """Summarise a finished run in one line for people."""
    ok, sentinel = found["status"]["ok"], found["sentinel"]
    moved = "" if sentinel["moved"] is None else f", sentinel moved {100 * sentinel['moved']:+.1f} %"
    return (
        f"{ok} of {found['layers']} layers timed in {found['seconds']:.0f} s on {found['machine']}: "
        f"{found['unconverged']} not converged, {found['throttled']} throttled, "
        f"{found['foreign_load']} under foreign load{moved} ({sentinel['verdict']}). Written to {folder}"
    )
