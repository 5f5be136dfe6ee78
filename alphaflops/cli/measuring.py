"""``alphaflops measure``: times of layers on this machine."""

import argparse
import sys
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import AlphaflopsError
from . import show, show_json


def measure_options(parser: argparse.ArgumentParser) -> None:
    """Add what `alphaflops.measuring.Options` tells, and where to write."""
    from ..measuring import Options

    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the run; layers already there are left out")
    parser.add_argument("--resume", type=Path, metavar="DIR", help="finish the run in this folder")
    parser.add_argument("--experiment", action="append", metavar="NAME", help="only this experiment (repeatable)")
    parser.add_argument("--json", action="store_true", help="print a summary as JSON at the end")
    text = "time operators and whole networks on the machine of RUN, so that networks can be estimated for it"
    parser.add_argument("--networks", metavar="RUN", help=text)
    parser.add_argument("--network", action="append", default=[], metavar="NAME", help="only this one (repeatable)")
    parser.add_argument("--into", type=Path, metavar="DIR", help="with --networks: data folder to write to [data]")
    for option in fields(Options):
        parser.add_argument("--" + option.name.replace("_", "-"), **option.metadata)


def measure(args: argparse.Namespace) -> int:
    """Time layers on this machine, or finish an interrupted run.

    Raises
    ------
    AlphaflopsError
        Unless one of ``--out``, ``--resume`` and ``--networks`` is given, or whatever measuring raises.

    Examples
    --------
    alphaflops measure --device cpu --threads 1 --profile quick --out my-cpu
    alphaflops measure --device cuda --profile paper --out my-gpu
    alphaflops measure --resume my-gpu
    alphaflops measure --networks my-gpu
    """
    from .. import experiments, measuring

    if args.networks is not None:
        return networks(args)
    names = (option.name for option in fields(measuring.Options))
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    if (args.out is None) == (args.resume is None):
        raise AlphaflopsError("give either --out DIR for a new run or --resume DIR for an unfinished one")
    if args.resume is not None and args.experiment:
        raise AlphaflopsError("--experiment cannot change while a run is resumed: leave it out")
    try:
        if args.resume is not None:
            run = measuring.resume(args.resume, **given)
        else:
            grid = experiments.grid(given.setdefault("profile", "quick"))
            if unknown := {*(args.experiment or ())} - {*grid["experiment"]}:
                known = ", ".join(grid["experiment"].unique())
                raise AlphaflopsError(f"experiment {min(unknown)!r} is not in this profile: choose from {known}")
            grid = grid[grid["experiment"].isin(args.experiment or grid["experiment"])]
            run = measuring.measure(grid, **given, out=args.out)
    except measuring.Interrupted as stopped:
        sys.stderr.write(f"{stopped}\n")
        return 130
    found = measuring.summary(run)
    if args.json:
        show_json(found)
    else:
        show(closing_line(found, args.out or args.resume))
    return 0


def networks(args: argparse.Namespace) -> int:
    """Time operators and networks on the machine of a run."""
    from ..prediction import machine
    from ..runs.datasets import load

    run, chosen = load(args.networks), machine.choose_networks(tuple(args.network))
    settings = {"profile": args.profile or "quick", "into": args.into, "say": partial(print, file=sys.stderr)}
    for path in machine.measure_machine(run, chosen, **settings):
        show(path)
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
