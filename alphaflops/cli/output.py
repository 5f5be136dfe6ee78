"""Printing shared by the commands: JSON for programs, a plain table for people."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for other programs.")


def print_json(value: Any) -> None:
    """Print a value as JSON; numbers that do not exist become null."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def number(value: float) -> str:
    """Write a number for people: integers in full, others with five significant digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.5g}"


def print_pairs(pairs: Mapping[str, Any]) -> None:
    """Print names and values in two columns."""
    width = max(map(len, pairs))
    for name, value in pairs.items():
        click.echo(f"{name:<{width}}  {number(value) if isinstance(value, int | float) else value}")


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table as wide as the terminal."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, title=title, title_justify="left", box=SIMPLE)
    for row in rows:
        table.add_row(*(number(v) if isinstance(v, int | float) and not isinstance(v, bool) else str(v) for v in row))
    Console().print(table)
