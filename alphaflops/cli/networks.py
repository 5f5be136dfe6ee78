"""``alphaflops estimate`` and ``measure-networks``: what a network costs, and what estimates need of a machine."""

import sys
from contextlib import redirect_stdout
from pathlib import Path

import click

from .output import json_option, print_json


@click.command()
@click.argument("factory", metavar="PACKAGE.MODULE:FACTORY")
@click.option("--input", "inputs", multiple=True, required=True, metavar="SHAPE", help="1,3,224,224; also name=1,128.")
@click.option("--dtype", "dtypes", multiple=True, help="Number type of each input in order, such as int64 [float32].")
@click.option("--kwargs", default=None, metavar="JSON", help="Arguments of the factory, as a JSON object.")
@click.option("--calibration", default=None, metavar="NAME", help="Machine to predict for: a name or a file.")
@click.option("--energy", default=None, metavar="NAME", help="Calibration that gives joules: a name or a file.")
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
    energy: str | None,
    training: bool,
    sort: str,
    csv: Path | None,
    as_json: bool,
) -> None:
    """Count a network and predict its time per layer, without running it.

    \b
    Examples:
      alphaflops estimate alphaflops.prediction.zoo:resnet50 --input 1,3,224,224 --calibration cpu-1core
      alphaflops estimate my_models:net --kwargs '{"width": 64}' --input 1,3,64,64 --json
    """
    from ..prediction import estimate_factory

    with redirect_stdout(sys.stderr):  # what a factory or network prints is not part of the answer
        report = estimate_factory(factory, inputs, dtypes, kwargs, calibration, training=training, energy=energy)
    if csv is not None:
        report.to_csv(csv, sort)
    if as_json:
        print_json(report.to_json())
        return
    from rich.console import Console

    Console().print(report.rich_table(sort))
    click.echo(str(report))


@click.command("measure-networks")
@click.argument("run")
@click.option(
    "--network", "networks", multiple=True, metavar="NAME", help="Only this network of the book (repeatable)."
)
@click.option("--no-training", is_flag=True, help="Leave out forward and backward together.")
@click.option(
    "--profile",
    type=click.Choice(["smoke", "quick", "paper"]),
    default="quick",
    show_default=True,
    help="How narrow the intervals.",
)
@click.option("--into", type=click.Path(path_type=Path), default=None, metavar="DIR", help="Data folder to write to.")
def measure_networks(run: str, networks: tuple[str, ...], no_training: bool, profile: str, into: Path | None) -> None:
    """Time operators, layers and whole networks on the machine of RUN, so that networks can be estimated for it.

    RUN is a name or folder; this must be the machine that it was measured on. Writes operators/, networks/ and, where
    there is none, calibrations/ of the data folder; the chapter on whole networks then shows the machine by itself.

    \b
    Examples:
      alphaflops measure-networks my-gpu
      alphaflops measure-networks my-cpu --network ResNet-18 --network BERT-base
    """
    from ..prediction.machines import choose_networks, measure_machine
    from ..runs.datasets import load

    chosen = choose_networks(networks)
    for path in measure_machine(
        load(run),
        chosen,
        training=not no_training,
        profile=profile,
        into=into,
        say=lambda text: click.echo(text, err=True),
    ):
        click.echo(path)
