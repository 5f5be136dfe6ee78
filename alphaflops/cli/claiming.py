"""``alphaflops claims`` and ``scorecard``: the papers' claims judged, and every model on every data set."""

from typing import Any

import click

from .output import json_option, number, print_json, print_table


@click.command()
@click.argument("runs", nargs=-1)
@json_option
def claims(runs: tuple[str, ...], as_json: bool) -> None:
    """Judge the claims of the paper and of its replication on runs.

    RUNS are names, folders or CSV files; the authors' data and every bundled run if none is named. Thresholds were
    fixed beforehand and are printed with each claim in the JSON output.

    \b
    Examples:
      alphaflops claims
      alphaflops claims my-gpu --json
    """
    from ..runs.datasets import authors, load
    from ..study.claims import judge, row
    from ..study.scores import reference_runs

    loaded = [load(run) for run in runs] if runs else reference_runs()
    theirs = authors()
    rows = [row(verdict) for run in loaded for verdict in judge(run, authors=theirs)]
    if as_json:
        print_json(rows)
        return
    for run in loaded:
        own = [entry for entry in rows if entry["run"] == run.id]
        cells = [[entry["text"], entry["statistic"], _value(entry), entry["verdict"]] for entry in own]
        print_table(f"{run.machine} ({run.id})", ("claim", "statistic", "value", "verdict"), cells)


def _value(entry: dict[str, Any]) -> str:
    if entry["value"] is None:
        return str(entry["reason"])
    return f"{number(float(entry['value']))} {entry['unit']}".rstrip()


@click.command()
@click.option("--update", is_flag=True, help="Compute every score anew where code or data changed, and keep them.")
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="Processes.")
@json_option
def scorecard(update: bool, jobs: int, as_json: bool) -> None:
    """Show the errors of every model on every data set, on held-out layers.

    \b
    Examples:
      alphaflops scorecard
      alphaflops scorecard --update
    """
    from ..study import scores

    if update:
        click.echo(scores.refresh(jobs=jobs))
        return
    rows = scores.plain_rows(scores.of(scores.scored_runs()))
    if as_json:
        print_json(rows)
        return
    columns = ("run", "model", "cv", "n", "mape_pct", "median_ape_pct", "within_20_pct")
    print_table("Errors (%)", columns, [["-" if r[c] is None else r[c] for c in columns] for r in rows])
