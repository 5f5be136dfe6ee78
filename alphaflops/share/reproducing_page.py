"""``REPRODUCING.md``, written from the recorded values: what can be run again, how, on what, and what it takes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import AlphaflopsError
from ..paths import CHECKOUT, data_folder, in_checkout
from ..runs import read_json, replace_file, upstream
from .reproduce import expected
from .reproducible import rows

HEAD = """# Reproducing

This page is written by `alphaflops reproduce --update`; do not edit it.

Set up with `make rerun` or `make book` (see README.md) and activate the environment: `. .venv/bin/activate`. Then each
line below can be run alone. It computes the row from the recorded data, compares the outcome with `data/expected.json`,
and exits with 0 if all values agree within the tolerance, else with 1. `alphaflops reproduce --all` runs every row.

A change of the data shows as a changed hash. A change of the code that moves a value shows as a value that is not
reproduced. To measure the data themselves again is another thing, and needs the machine: see the second table.
"""


OTHERS = """Figures 2c and 2d are 2a and 2b on a single core, 3 and 4 are 1 and 2 with the prediction. The rows of 1,
2a and 2b compare both. `alphaflops reproduce` knows all these names: `--figure 2c`, `--figure 4`. `--figure 5` runs its
four rows.
"""

DATA_COLUMNS = ("data set", "machine", "layers", "source, or how to measure it", "minutes", "sha256 of the table")


def _table(columns: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _row(key: str, entry: Mapping[str, Any]) -> list[str]:
    row = rows()[key]
    page = f"[{row.notebook}](notebooks/{row.notebook}.md), `{row.cell}`"
    minutes, memory = f"{entry['seconds'] / 60:.2f}", f"{entry['memory_mib']:.0f}"
    data = ", ".join(entry["values"])
    return [
        f"{row.kind} {row.name}",
        row.title,
        f"`{row.command}`",
        page,
        data,
        minutes,
        memory,
        f"{row.tolerance:.2g}",
    ]


def _data(name: str, entry: Mapping[str, Any]) -> list[str]:
    source = upstream.sources().get(name)
    again = f"[{source.citation}]({source.url})" if source else f"`{entry['command']}`"
    minutes = f"{entry['seconds'] / 60:.0f}" if entry["seconds"] else "not stated"
    return [f"`{name}`", entry["machine"], str(entry["layers"]), again, minutes, f"`{entry['sha256']}`"]


TRIAL = """## From nothing

What a new user meets, recorded by `.ci/trial.py` on {machine}, Python {python}: a clean clone, a new home, no cache.
Memory is that of the largest process. Everything together takes {disk_mib:,} MiB of disk.
"""


def trial() -> dict[str, Any] | None:
    """Read the recorded trial of a new user; None where none has been made (``make trial``)."""
    path = data_folder() / "trial.json"
    return read_json(path) if path.is_file() else None


def _trial(told: Mapping[str, Any]) -> str:
    columns = ("step", "command", "network", "minutes", "memory (MiB)", "last line")
    body = [
        [
            entry["name"],
            f"`{entry['command']}`",
            "yes" if entry["network"] else "cut",
            f"{entry['minutes']:.1f}",
            str(entry["memory_mib"]),
            entry["last_line"].replace("|", "\\|"),
        ]
        for entry in told["steps"]
    ]
    return f"{TRIAL.format(**told)}\n{_table(columns, body)}"


def page(recorded: Mapping[str, Any], tried: Mapping[str, Any] | None) -> str:
    """Write the page from recorded values, as given by `reproduce.expected`, and from the `trial` of a new user."""
    body = [_row(key, entry) for key, entry in recorded["rows"].items() if key in rows()]
    columns = ("row", "what", "command", "notebook and cell", "data", "minutes", "memory (MiB)", "tolerance")
    sources = [_data(name, entry) for name, entry in recorded["data"].items()]
    return "\n".join(
        (
            HEAD,
            *([_trial(tried)] if tried else []),
            "## Figures, tables and claims\n",
            f"Minutes and peak memory were recorded on {recorded['recorded_on']}. Tolerances are relative.\n",
            OTHERS,
            _table(columns, body),
            "## Data\n",
            _table(DATA_COLUMNS, sources),
        )
    )


def write() -> Path:
    """Write ``REPRODUCING.md`` into the checkout.

    Raises
    ------
    AlphaflopsError
        Outside a checkout, or if nothing is recorded.
    """
    if not in_checkout():
        raise AlphaflopsError("REPRODUCING.md belongs to a checkout: clone the project")
    path = CHECKOUT / "REPRODUCING.md"
    replace_file(path, page(expected(), trial()).encode())
    return path
