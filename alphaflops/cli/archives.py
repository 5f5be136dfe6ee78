"""``alphaflops pack``, ``import`` and ``cite``: the artifact, runs on their way to others and back."""

from pathlib import Path

import click

from ..share.citation import FORMATS
from ..share.citation import cite as citation

name_option = click.option("--id", "run_id", metavar="NAME", help="Another name for the run.")


@click.command()
@click.option(
    "--run", "folder", type=click.Path(path_type=Path), metavar="DIR", help="Pack this run alone, to be sent to others."
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="The archive; named after its content by default."
)
@click.option(
    "--html", type=click.Path(path_type=Path), metavar="DIR", help="Built book to pack with the artifact [_build/html]."
)
@name_option
def pack(folder: Path | None, out: Path | None, html: Path | None, run_id: str | None) -> None:
    """Pack a run for others, or the whole artifact: code, data, notebooks, book.

    The archive of a run holds no user name, host name, serial number or path. What `measure-networks` timed for the run
    goes with it.

    \b
    Examples:
      alphaflops pack --run my-gpu
      alphaflops pack --out artifact.zip
    """
    from ..share import pack_artifact, pack_run

    if folder is None:
        if run_id:
            raise click.UsageError("--id names a run: give --run DIR with it")
        click.echo(pack_artifact(out, html))
        return
    if html:
        raise click.UsageError("--html belongs to the whole artifact: leave out --run")
    done = pack_run(folder, out, run_id)
    note = "; private words were taken out of its texts" if done.removed else ""
    networks = " and networks" if done.networks else ""
    click.echo(f"{done.path}: {done.layers} layers{networks}, {done.size / 1e3:.1f} kB{note}")


@click.command(name="import")
@click.argument("archive", type=click.Path(path_type=Path))
@name_option
@click.option("--allow-implausible", is_flag=True, help="Add a run that looks implausible, and record why it does.")
@click.option("--into", type=click.Path(path_type=Path), metavar="DIR", help="Folder of runs [data/runs].")
def import_(archive: Path, run_id: str | None, allow_implausible: bool, into: Path | None) -> None:
    """Check the archive of a run that somebody sent, and add it to the book's runs.

    Times of networks that came with it go beside them.

    \b
    Examples:
      alphaflops import my-gpu.zip
      alphaflops import my-gpu.zip --id lab-gpu
    """
    from ..prediction.received import check
    from ..share import import_run

    done = import_run(archive, run_id, allow_implausible, into, check)
    note = f"; implausible but allowed: {'; '.join(done.implausible)}" if done.implausible else ""
    networks = " and networks" if done.networks else ""
    click.echo(f"{done.path}: run {done.run.id!r} of {done.run.machine}, {len(done.run.table)} layers{networks}{note}")


@click.command()
@click.option(
    "--format", "form", type=click.Choice(list(FORMATS)), default="apa", show_default=True, help="How to write it."
)
def cite(form: str) -> None:
    """Print how to cite the paper and this software.

    \b
    Examples:
      alphaflops cite
      alphaflops cite --format bibtex
    """
    click.echo(citation(form))
