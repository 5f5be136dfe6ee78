"""``alphaflops score``, ``fit`` and ``compare``: how well a cost formula predicts a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..costs import MODEL_NAMES
from .output import json_option, print_json, print_pairs, print_table

if TYPE_CHECKING:
    from ..fitting.scoring import CV

model_option = click.option(
    "--model", required=True, type=click.Choice(MODEL_NAMES), help="Cost formula.", metavar="MODEL"
)
quantity_option = click.option(
    "--quantity",
    type=click.Choice(["latency", "throughput"]),
    default="latency",
    show_default=True,
    help="Which time: one synchronised call, or a pipelined block divided by its length.",
)
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Seed of folds and starts."
)


def _print_doubts(flags: Sequence[str]) -> None:
    for flag in flags:
        click.echo(f"note: {flag}")


@click.command()
@click.argument("run")
@model_option
@click.option(
    "--cv",
    type=click.Choice(["random", "figure"]),
    default=None,
    help="Score on held-out layers: 5 random folds, or one figure at a time.",
)
@quantity_option
@seed_option
@json_option
def score(run: str, model: str, cv: "CV", quantity: str, seed: int, as_json: bool) -> None:
    """Score a cost formula on a run: errors of predicted against measured times.

    MODEL is one of params, macs, macs+t0, alpha-published, alpha-rtx4090, alpha, alpha+t0, roofline+t0,
    alpha+t0+bytes, best, boosting.

    \b
    Examples:
      alphaflops score paper-t2000 --model alpha-published
      alphaflops score cpu-1core --model best --cv figure --json
    """
    from ..fitting import score as scored
    from ..runs.datasets import load

    found = scored(load(run), model, cv, quantity=quantity, seed=seed).as_dict()
    if as_json:
        print_json(found)
        return
    per = found.pop("per_experiment")
    parameters, flags = found.pop("parameters"), found.pop("flags")
    print_pairs({name: "in sample" if value is None and name == "cv" else value for name, value in found.items()})
    print_table(
        "By experiment", ("experiment", "layers", "MAPE %", "median APE %"), [[k, *v.values()] for k, v in per.items()]
    )
    if parameters:
        print_table("Parameters", ("name", "value"), list(parameters.items()))
    _print_doubts(flags)


@click.command()
@click.argument("run")
@model_option
@click.option(
    "--out", type=click.Path(path_type=Path), default=None, metavar="FILE", help="Write the calibration here."
)
@click.option(
    "--quantity",
    type=click.Choice(["latency", "throughput", "energy"]),
    default="latency",
    show_default=True,
    help="Which time, or the joules of an energy run.",
)
@seed_option
@json_option
def fit(run: str, model: str, out: Path | None, quantity: str, seed: int, as_json: bool) -> None:
    """Fit a cost formula to a run and keep it as a calibration.

    \b
    Examples:
      alphaflops fit cpu-1core --model best
      alphaflops fit my-gpu --model best --out my-gpu.json
      alphaflops fit my-gpu-energy --model best --quantity energy --out my-gpu-joules.json
    """
    from ..fitting import calibrate
    from ..fitting.calibration import check_written
    from ..prediction.energy import ENERGY, calibrate_energy
    from ..runs.datasets import load

    if out is not None:
        check_written(model)
    loaded = load(run)
    if quantity == ENERGY:
        found = calibrate_energy(loaded, model, seed=seed)
    else:
        found = calibrate(loaded, model, quantity=quantity, seed=seed)
    if out is not None:
        found.write(out)
    content = found.as_dict()
    if as_json:
        print_json(content)
        return
    rows = [
        [n, *(p[key] for key in ("value", "low", "high", "unit", "meaning"))] for n, p in content["parameters"].items()
    ]
    print_table(f"{model} on {run}", ("parameter", "value", "low", "high", "unit", "meaning"), rows)
    _print_doubts(content["flags"])
    for kind, errors in content["scores"].items():
        print_table(f"Errors, {kind}", ("measure", "value"), [[k, v] for k, v in errors.items() if v is not None])


@click.command()
def calibrate() -> None:
    """Fit the calibrations in data/calibrations anew, from every run and data set that is here.

    Runs with joules also get a calibration of those, and tables in data/operators their fits of the new formula.

    \b
    Example:
      alphaflops calibrate
    """
    from ..fitting import rewrite
    from ..paths import data_folder
    from ..prediction.energy import calibrate_energy, joules_file
    from ..prediction.machines import refresh_fits
    from ..runs.datasets import available, load, names

    folder = data_folder() / "calibrations"
    for run in map(load, filter(available, names())):
        for path in rewrite(run, folder):
            click.echo(path)
        if run.meta.get("energy"):
            click.echo(calibrate_energy(run).write(folder / joules_file(run.id)))
        if table := refresh_fits(run, data_folder() / "operators"):
            click.echo(table)


@click.command()
@click.argument("runs", nargs=-1, required=True)
@quantity_option
@click.option("--html", type=click.Path(path_type=Path), default=None, metavar="FILE", help="Write one page to send.")
@json_option
def compare(runs: tuple[str, ...], quantity: str, html: Path | None, as_json: bool) -> None:
    """Compare runs: speed on the layers they share, call overhead, and how each formula fares on each.

    \b
    Examples:
      alphaflops compare paper-t2000 cpu-1core cpu-allcores
      alphaflops compare paper-t2000 my-gpu --html comparison.html
    """
    from ..runs.datasets import load
    from ..study.comparison import compare as compared

    loaded = [load(run) for run in runs]
    rows = compared(loaded, quantity)
    if html is not None:
        from ..book.publish import page

        page(runs, html)
    if as_json:
        print_json(rows)
        return
    measures = [name for name in rows[0] if name != "run"]
    cells = [[name, *("-" if row[name] is None else row[name] for row in rows)] for name in measures]
    print_table(f"{quantity} beside {runs[0]}", ("", *(row["run"] for row in rows)), cells)
