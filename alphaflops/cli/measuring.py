"""``alphaflops measure``: times of layers on this machine."""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

from ..errors import AlphaflopsError
from . import examples, show, show_json

OPTIONS: Final = {
    "device": ("DEVICE", "Where to measure: auto, cpu, cuda or cuda:N."),
    "threads": ("N", "Threads on the CPU; OMP_NUM_THREADS or all usable cores by default."),
    "profile": ("", "Which layers, and how narrow the intervals."),
    "allow_different": ("KEY", "Go on although this key differs (repeatable)."),
    "protocol": ("", "How to time: our way, or the replication's."),
    "tolerance": ("SHARE", "Stop at this half-width of the interval, a fraction of the median."),
    "row_seconds": ("S", "Cap on the calls of a layer, and once more on its blocks."),
    "memory_share": ("SHARE", "Largest share of the free memory for one layer."),
    "tf32": ("", "Allow TF32 (off by default, also for cuDNN)."),
    "cudnn_benchmark": ("", "Let cuDNN search for its fastest algorithm."),
    "energy": ("", "Measure joules per call on a set of layers chosen from the profile."),
    "seed": ("N", "Seed of the random order of layers."),
    "title": ("TEXT", "What the run is called in figures."),
    "run_id": ("ID", "Identifier of the run; the name of its folder by default."),
}
"""Keyword of `alphaflops.measure` → what stands for its value in ``--help``, where that is no choice, and one line."""


def measure_options(parser: argparse.ArgumentParser) -> None:
    """Add `OPTIONS`, with types and defaults of `alphaflops.measuring.Options`, and where to write."""
    from ..experiments import PROFILES
    from ..measuring import Options
    from ..measuring.protocol import PROTOCOLS

    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the run; layers already there are left out")
    parser.add_argument("--resume", type=Path, metavar="DIR", help="finish the run in this folder")
    parser.add_argument("--experiment", action="append", metavar="NAME", help="only this experiment (repeatable)")
    parser.add_argument("--json", action="store_true", help="print a summary as JSON at the end")
    text = "time operators and whole networks on the machine of RUN, so that networks can be estimated for it"
    parser.add_argument("--networks", metavar="RUN", help=text)
    parser.add_argument("--network", action="append", default=[], metavar="NAME", help="only this one (repeatable)")
    parser.add_argument("--no-training", action="store_true", help="with --networks: leave out backward passes")
    parser.add_argument("--into", type=Path, metavar="DIR", help="with --networks: data folder to write to [data]")
    choices = {"profile": PROFILES, "protocol": PROTOCOLS}
    for name, (value, text) in OPTIONS.items():
        default, hint = getattr(Options(), name), get_type_hints(Options)[name]
        settings: dict[str, Any] = {"action": "store_true", "default": None}
        if hint is not bool:
            settings = {"type": (get_args(hint) or (hint,))[0], "choices": choices.get(name), "metavar": value or None}
            settings["action"] = "append" if isinstance(default, tuple) else "store"
        shown = f" [{default}]" if default else ""
        parser.add_argument("--" + name.replace("_", "-"), help=text + shown, **settings)
    examples(
        parser,
        "measure --device cpu --threads 1 --profile quick --out my-cpu",
        "measure --device cuda --profile paper --out my-gpu",
        "measure --resume my-gpu",
        "measure --networks my-gpu",
    )


def measure(args: argparse.Namespace) -> int:
    """Measure or resume; each finished layer is on disk before the next begins.

    Raises
    ------
    AlphaflopsError
        Unless one of ``--out``, ``--resume`` and ``--networks`` is given, or whatever measuring raises.
    """
    from .. import experiments, measuring

    if args.networks is not None:
        return networks(args)
    given = {name: value for name in OPTIONS if (value := getattr(args, name)) is not None}
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

    paths = machine.measure_machine(
        load(args.networks),
        machine.choose_networks(tuple(args.network)),
        training=not args.no_training,
        profile=args.profile or "quick",
        into=args.into,
        say=partial(print, file=sys.stderr),
    )
    for path in paths:
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
