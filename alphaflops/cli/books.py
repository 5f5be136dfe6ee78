"""``alphaflops rerun``, ``book`` and ``refresh``: notebooks run, pages built, results made anew."""

import argparse
import os
from pathlib import Path

from .output import examples, show


def _shared(parser: argparse.ArgumentParser) -> None:
    text = "show this run beside the paper's (repeatable): name or folder"
    parser.add_argument("--run", dest="runs", action="append", default=[], metavar="RUN", help=text)
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the book [_build]")


def _jobs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=int, choices=range(1, 65), default=2, metavar="N", help="processes [2]")


def book_options(parser: argparse.ArgumentParser) -> None:
    """Add runs, folder and processes."""
    _shared(parser)
    _jobs(parser)
    examples(parser, "book", "book --run my-gpu")


def book(args: argparse.Namespace) -> None:
    """Build the book."""
    from ..book.publish import build

    show(build(args.runs or None, args.out, jobs=args.jobs))


def rerun_options(parser: argparse.ArgumentParser) -> None:
    """Add the parameters of the notebooks."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps [auto]")
    parser.add_argument("--threads", type=int, metavar="N", help="threads on the CPU; all usable cores by default")
    parser.add_argument("--profile", default="quick", help="smoke, quick or paper [quick]")
    _shared(parser)
    examples(parser, "rerun", "rerun --device cuda --profile paper")


def rerun(args: argparse.Namespace) -> None:
    """Run the notebooks with a device, so that they measure it, and build the book."""
    from ..book.publish import rerun as run_again

    if args.threads:
        os.environ["OMP_NUM_THREADS"] = str(args.threads)  # what the notebooks' kernels obey
    show(run_again(args.device, args.profile, args.runs, args.out))


def refresh_options(parser: argparse.ArgumentParser) -> None:
    """Add what to refresh."""
    parser.add_argument("what", nargs="*", help="results by name, `notebooks` [all that are stale]")
    text = "compute again and compare with what is recorded; nothing is written"
    parser.add_argument("--check", action="store_true", help=text)
    _jobs(parser)
    examples(parser, "refresh", "refresh scores", "refresh --check figures")


def refresh(args: argparse.Namespace) -> int:
    """Make results anew, or check them; 1 if something differs."""
    if "notebooks" in args.what:
        from ..book.publish import notebooks

        for path in notebooks(jobs=args.jobs):
            show(path)
        return 0
    from .. import results

    if args.check:
        differences = results.check(args.what, jobs=args.jobs)
        for line in differences or ("everything is as recorded",):
            show(line)
        return 1 if differences else 0
    for line in results.refresh(args.what, jobs=args.jobs):
        show(line)
    return 0
