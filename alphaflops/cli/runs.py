"""``alphaflops runs`` and ``env``: what there is to work with."""

import click

from .output import json_option, print_json, print_pairs, print_table


@click.command()
@json_option
def runs(as_json: bool) -> None:
    """List the runs and data sets that can be used by name.

    \b
    Example:
      alphaflops runs --json
    """
    from ..runs.datasets import inventory

    entries = inventory()
    if as_json:
        print_json(entries)
        return
    rows = [[e["name"], e["machine"], "-" if e["points"] is None else e["points"], e["where"]] for e in entries]
    print_table("Runs and data sets", ("name", "machine", "points", "where"), rows)


@click.command()
@json_option
def env(as_json: bool) -> None:
    """Show what a bug report needs: versions, processor, devices. Nothing personal.

    \b
    Example:
      alphaflops env
    """
    from ..bare import environment

    facts = environment()
    if as_json:
        print_json(facts)
    else:
        print_pairs({key: value if value is not None else "none" for key, value in facts.items()})
