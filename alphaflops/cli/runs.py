"""``alphaflops runs``, ``env``, ``verify``, ``pack`` and ``import``: runs at hand, on their way to others and back."""

import argparse
import platform
from pathlib import Path

from ..errors import AlphaflopsError
from .output import examples, json_option, show, show_json, show_pairs, show_table


def runs_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    json_option(parser)
    examples(parser, "runs", "runs --json")


def runs(args: argparse.Namespace) -> None:
    """List runs and data sets, by vendor."""
    from ..runs.datasets import inventory

    entries = inventory()
    if args.json:
        show_json(entries)
        return
    columns = ("vendor", "name", "machine", "role", "points", "where")
    show_table("Runs and data sets", columns, [[entry[name] for name in columns] for entry in entries])


def env_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    json_option(parser)
    examples(parser, "env")


def env(args: argparse.Namespace) -> None:
    """Print versions, processor and devices."""
    from .. import __version__
    from ..host import library_versions
    from ..host.cpu import describe_cpu
    from ..measuring import available

    try:
        devices = available()
    except ImportError:  # no torch
        devices = []
    system = {"python": platform.python_version(), "system": f"{platform.system()} {platform.release()}"}
    facts = {"alphaflops": __version__, **system, **library_versions(), "cpu": describe_cpu(), "devices": devices}
    (show_json if args.json else show_pairs)(facts)


def verify_options(parser: argparse.ArgumentParser) -> None:
    """Add the path."""
    parser.add_argument("path", type=Path, help="folder of a run, archive of a run, or built book")
    examples(parser, "verify data/runs/cpu-1core", "verify my-gpu.zip", "verify _build/html")


def verify(args: argparse.Namespace) -> None:
    """Check a run, an archive or a built book.

    Raises
    ------
    AlphaflopsError
        Naming what is not as it was written.
    """
    from ..book import manifest
    from ..measuring import verify as verify_run
    from ..share import verify_archive

    if args.path.is_file():
        show(verify_archive(args.path))
    elif (args.path / "index.html").is_file():
        show(f"{args.path}: book of {manifest.check(args.path)} files, every byte as written")
    else:
        found = verify_run(args.path)
        if found.problems:
            raise AlphaflopsError(f"{args.path}: {'; '.join(found.problems)}")
        show(f"{args.path}: {found.state}, {found.rows} of {found.total} layers, every byte as written")


def pack_options(parser: argparse.ArgumentParser) -> None:
    """Add the run and the archive."""
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help="the run to pack")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the archive [NAME.zip]")
    parser.add_argument("--id", metavar="NAME", help="another name for the run")
    examples(parser, "pack --run my-gpu", "pack --run my-gpu --out lab-gpu.zip --id lab-gpu")


def pack(args: argparse.Namespace) -> None:
    """Pack a run."""
    from ..share import pack_run

    path = pack_run(args.run, args.out, args.id)
    show(f"{path}: {path.stat().st_size / 1e3:.1f} kB")


def import_options(parser: argparse.ArgumentParser) -> None:
    """Add the archive and where it goes."""
    parser.add_argument("archive", type=Path, help="archive that `alphaflops pack` wrote")
    parser.add_argument("--id", metavar="NAME", help="another name for the run")
    parser.add_argument("--into", type=Path, metavar="DIR", help="folder of runs [data/runs]")
    parser.add_argument("--allow-implausible", action="store_true", help="add it though it looks odd, and record why")
    examples(parser, "import my-gpu.zip", "import my-gpu.zip --id lab-gpu")


def import_(args: argparse.Namespace) -> None:
    """Take a run in."""
    from ..runs import Run
    from ..share import import_run, try_chapters

    path = import_run(args.archive, args.id, args.allow_implausible, args.into, try_chapters)
    run = Run.read(path)
    odd = run.meta["imported"]["implausible"]
    note = f"; implausible but allowed: {'; '.join(odd)}" if odd else ""
    show(f"{path}: run {run.id!r} of {run.machine}, {len(run.table)} layers{note}")
