"""``alphaflops book``, ``rerun`` and ``update``: notebooks run, pages built."""

import os
from pathlib import Path

import click

run_option = click.option(
    "--run", "runs", multiple=True, metavar="RUN", help="Show this run beside the paper's (repeatable): name or folder."
)
out_option = click.option(
    "--out", type=click.Path(path_type=Path), default=None, metavar="DIR", help="Folder of the book [_build]."
)
jobs_option = click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="Notebooks at a time.")


@click.command()
@run_option
@out_option
@jobs_option
def book(runs: tuple[str, ...], out: Path | None, jobs: int) -> None:
    """Run the notebooks and build the book; nothing is measured.

    \b
    Examples:
      alphaflops book
      alphaflops book --run my-gpu
    """
    from ..book.publish import build

    click.echo(build(list(runs) or None, out, jobs=jobs))


@click.command()
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--threads", type=int, default=None, help="Threads on the CPU; all usable cores by default.")
@click.option("--profile", default="quick", show_default=True, help="smoke, quick, paper or fine.")
@run_option
@out_option
def rerun(device: str, threads: int | None, profile: str, runs: tuple[str, ...], out: Path | None) -> None:
    """Measure this machine, then build the book with it beside the paper's.

    \b
    Examples:
      alphaflops rerun --profile quick
      alphaflops rerun --device cuda --profile paper
    """
    from ..book.publish import rerun as measured_book

    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    click.echo(measured_book(device, profile, runs=runs, folder=out))


@click.command()
@jobs_option
def update(jobs: int) -> None:
    """Rewrite the committed notebooks from their text, with default parameters.

    \b
    Example:
      alphaflops update
    """
    from ..book.publish import notebooks as rewrite

    for path in rewrite(jobs=jobs):
        click.echo(path)
