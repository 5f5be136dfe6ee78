"""``alphaflops reproduce``: figures, tables and claims computed again and compared with what was recorded."""

import click

from .output import json_option, print_json


@click.command()
@click.option(
    "--figure", "figures", help="Figure of the paper, for instance 2a (repeatable).", multiple=True, metavar="NAME"
)
@click.option("--table", "tables", help="Table, for instance 1a (repeatable).", multiple=True, metavar="NAME")
@click.option("--claim", "claims", help="Claim, for instance flat-on-cpu (repeatable).", multiple=True, metavar="NAME")
@click.option("--all", "everything", is_flag=True, help="Every figure, table and claim.")
@click.option("--update", is_flag=True, help="Record what comes out now instead, and rewrite REPRODUCING.md.")
@click.option("--page", is_flag=True, help="Rewrite REPRODUCING.md from what is recorded; nothing is computed.")
@json_option
def reproduce(
    figures: tuple[str, ...],
    tables: tuple[str, ...],
    claims: tuple[str, ...],
    everything: bool,
    update: bool,
    page: bool,
    as_json: bool,
) -> int:
    """Compute figures, tables and claims again and compare them with the recorded values.

    The exit code is 0 if all agree within their tolerance and 1 if one does not.

    \b
    Examples:
      alphaflops reproduce --figure 2a
      alphaflops reproduce --claim flat-on-cpu
      alphaflops reproduce --all
    """
    from ..share import reproduce as library
    from ..share import reproducible, reproducing_page

    if update:
        click.echo(library.update())
    if update or page:
        click.echo(reproducing_page.write())
        return 0
    keys = reproducible.select(figures, tables, claims, everything)
    recorded = library.expected()
    outcomes = [library.check(key, recorded) for key in keys]
    if as_json:
        print_json([vars(outcome) for outcome in outcomes])
    else:
        for outcome in outcomes:
            click.echo(f"{outcome.key}: {'reproduced' if outcome.reproduced else 'not reproduced'}")
            for problem in outcome.problems:
                click.echo(f"  {problem}")
    return 0 if all(outcome.reproduced for outcome in outcomes) else 1
