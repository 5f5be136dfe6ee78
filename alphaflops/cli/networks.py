"""``alphaflops estimate``: what a network costs on a calibrated machine."""

from pathlib import Path

import click

from .output import json_option, print_json


@click.command()
@click.argument("factory", metavar="PACKAGE.MODULE:FACTORY")
@click.option("--input", "inputs", multiple=True, required=True, metavar="SHAPE", help="1,3,224,224; also name=1,128.")
@click.option("--dtype", "dtypes", multiple=True, help="Number type of each input in order, such as int64 [float32].")
@click.option("--kwargs", default=None, metavar="JSON", help="Arguments of the factory, as a JSON object.")
@click.option("--calibration", default=None, metavar="NAME", help="Machine to predict for: a name or a file.")
@click.option("--training", is_flag=True, help="Forward and backward pass.")
@click.option(
    "--sort",
    type=click.Choice(["order", "predicted", "macs", "bytes"]),
    default="order",
    show_default=True,
    help="Rows in order of execution, or largest first.",
)
@click.option("--csv", type=click.Path(path_type=Path), default=None, metavar="FILE", help="Write the table here.")
@json_option
def estimate(
    factory: str,
    inputs: tuple[str, ...],
    dtypes: tuple[str, ...],
    kwargs: str | None,
    calibration: str | None,
    training: bool,
    sort: str,
    csv: Path | None,
    as_json: bool,
) -> None:
    """Count a network and predict its time per layer, without running it.

    \b
    Examples:
      alphaflops estimate alphaflops.whole.zoo:resnet50 --input 1,3,224,224 --calibration cpu-1core
      alphaflops estimate my_models:net --kwargs '{"width": 64}' --input 1,3,64,64 --json
    """
    from ..whole import estimate_factory

    report = estimate_factory(factory, inputs, dtypes, kwargs, calibration, training=training)
    if csv is not None:
        report.to_csv(csv, sort)
    if as_json:
        print_json(report.to_json())
        return
    from rich.console import Console

    Console().print(report.rich_table(sort))
    click.echo(str(report))
