"""``alphaflops measure`` and ``verify``: times of layers, and whether a run is as it was written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .. import bare
from .. import measuring as timing
from ..errors import AlphaflopsError
from ..share.verification import verify_archive
from .output import print_json


def with_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command every option that the bare command line has."""
    for option in reversed(timing.OPTIONS):
        kind: Any = click.Choice(option.choices) if option.choices else option.type
        settings: dict[str, Any] = {"is_flag": True} if option.type is bool else {"type": kind}
        if option.metavar:
            settings["metavar"] = option.metavar
        text = option.help if option.default in (None, (), False) else f"{option.help} [{option.default}]"
        function = click.option(
            option.flag, option.name, default=None, multiple=option.multiple, help=text, **settings
        )(function)
    return function


@click.command()
@with_options
def measure(**values: Any) -> int:
    """Time the layers of a profile on this machine, or finish an interrupted run.

    Each finished layer is on disk before the next begins; Ctrl-C leaves a run that --resume finishes.

    \b
    Examples:
      alphaflops measure --device cpu --threads 1 --profile quick --out my-cpu
      alphaflops measure --device cuda --profile paper --out my-gpu
      alphaflops measure --resume my-gpu
    """
    try:
        given = {name: None if value is False or value == () else value for name, value in values.items()}
        found = bare.measure_command(given)
    except timing.Interrupted as interrupted:
        click.echo(str(interrupted), err=True)
        return 130
    if values["json"]:
        print_json(found)
    else:
        click.echo(bare.closing_line(found, values["out"] or values["resume"]))
    return 0


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
def verify(path: Path) -> None:
    """Check every byte of a run, an archive or a built book against its checksums.

    \b
    Examples:
      alphaflops verify data/runs/cpu-1core
      alphaflops verify my-gpu.zip
      alphaflops verify _build/html
    """
    from ..book import manifest

    if path.is_file():
        click.echo(verify_archive(path))
        return
    if (path / manifest.MANIFEST).is_file():
        click.echo(f"{path}: book of {manifest.check(path)} files, every byte as written")
        return
    found = timing.verify(path)
    if found.problems:
        raise AlphaflopsError(f"{path}: {'; '.join(found.problems)}")
    click.echo(f"{path}: {found.state}, {found.rows} of {found.total} layers, every byte as written")
