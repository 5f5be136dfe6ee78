"""``alphaflops runs, env, verify, pack, import, rerun, book, refresh``: runs on their way, and the book of them."""

import argparse
import os
import platform
from pathlib import Path

from ..errors import AlphaflopsError
from . import json_option, show, show_json, show_pairs, show_table

runs_options = env_options = json_option


def runs(args: argparse.Namespace) -> None:
    """List the runs and data sets that can be used by name.

    Examples
    --------
    alphaflops runs
    alphaflops runs --json
    """
    from ..runs.datasets import inventory

    entries = inventory()
    vendors = [entry["vendor"] for entry in entries]
    entries.sort(key=lambda entry: vendors.index(entry["vendor"]))
    if args.json:
        show_json(entries)
        return
    columns = ("vendor", "name", "machine", "role", "points", "where")
    show_table("Runs and data sets", columns, [[entry[name] for name in columns] for entry in entries])


def env(args: argparse.Namespace) -> None:
    """Show what a bug report needs: versions, processor, devices. Nothing personal.

    Examples
    --------
    alphaflops env
    """
    from .. import __version__
    from ..host import library_versions
    from ..host.cpu import describe_cpu

    try:
        from ..measuring import available

        devices = available()
    except ImportError:  # no torch, or no pandas
        devices = []
    system = {"python": platform.python_version(), "system": f"{platform.system()} {platform.release()}"}
    facts = {"alphaflops": __version__, **system, **library_versions(), "cpu": describe_cpu(), "devices": devices}
    (show_json if args.json else show_pairs)(facts)


def verify_options(parser: argparse.ArgumentParser) -> None:
    """Add the path."""
    parser.add_argument("path", type=Path, help="folder of a run, archive of a run, or built book")


def verify(args: argparse.Namespace) -> None:
    """Check every byte of a run, an archive or a built book against its checksums.

    Raises
    ------
    AlphaflopsError
        Naming what is not as it was written.

    Examples
    --------
    alphaflops verify data/runs/cpu-1core
    alphaflops verify my-gpu.zip
    alphaflops verify _build/html
    """
    from ..book.publish import check_sums
    from ..measuring import verify as verify_run
    from ..share import verify_archive

    if args.path.is_file():
        show(verify_archive(args.path))
    elif (args.path / "index.html").is_file():
        show(f"{args.path}: book of {check_sums(args.path)} files, every byte as written")
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


def pack(args: argparse.Namespace) -> None:
    """Pack a run to be sent to others; nothing private goes in.

    Examples
    --------
    alphaflops pack --run my-gpu
    alphaflops pack --run my-gpu --out lab-gpu.zip --id lab-gpu
    """
    from ..share import pack_run

    path = pack_run(args.run, args.out, args.id)
    show(f"{path}: {path.stat().st_size / 1e3:.1f} kB")


def import_options(parser: argparse.ArgumentParser) -> None:
    """Add the archive and where it goes."""
    parser.add_argument("archive", type=Path, help="archive that `alphaflops pack` wrote")
    parser.add_argument("--id", metavar="NAME", help="another name for the run")
    parser.add_argument("--into", type=Path, metavar="DIR", help="folder of runs [data/runs]")
    parser.add_argument("--allow-implausible", action="store_true", help="add it though it looks odd, and record why")


def import_(args: argparse.Namespace) -> None:
    """Check the archive of a run that somebody sent, and add it to the book's runs.

    Examples
    --------
    alphaflops import my-gpu.zip
    alphaflops import my-gpu.zip --id lab-gpu
    """
    from ..runs import Run
    from ..share import import_run, try_chapters

    path = import_run(args.archive, args.id, args.allow_implausible, args.into, try_chapters)
    run = Run.read(path)
    odd = run.meta["imported"]["implausible"]
    note = f"; implausible but allowed: {'; '.join(odd)}" if odd else ""
    show(f"{path}: run {run.id!r} of {run.machine}, {len(run.table)} layers{note}")


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


def book(args: argparse.Namespace) -> None:
    """Run the notebooks and build the book; nothing is measured.

    Examples
    --------
    alphaflops book
    alphaflops book --run my-gpu
    """
    from ..book.publish import build

    show(build(args.runs or None, args.out, jobs=args.jobs))


def rerun_options(parser: argparse.ArgumentParser) -> None:
    """Add the parameters of the notebooks."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N [auto]")
    parser.add_argument("--threads", type=int, metavar="N", help="threads on the CPU; all usable cores by default")
    parser.add_argument("--profile", default="quick", help="smoke, quick or paper [quick]")
    _shared(parser)


def rerun(args: argparse.Namespace) -> None:
    """Run the notebooks on this machine, then build the book with it beside the paper's.

    Examples
    --------
    alphaflops rerun
    alphaflops rerun --device cuda --profile paper
    """
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


def refresh(args: argparse.Namespace) -> int:
    """Make recorded results anew where data or code changed, or check them.

    Examples
    --------
    alphaflops refresh
    alphaflops refresh scores
    alphaflops refresh --check figures
    """
    from .. import results
    from ..book.publish import notebooks

    if "notebooks" in args.what:
        show("\n".join(map(str, notebooks(jobs=args.jobs))))
    elif args.check:
        differences = results.check(args.what, jobs=args.jobs)
        show("\n".join(differences or ["everything is as recorded"]))
        return 1 if differences else 0
    else:
        for line in results.refresh(args.what, jobs=args.jobs):
            show(line)
        show("`alphaflops refresh notebooks` brings what changed into the notebooks")
    return 0
