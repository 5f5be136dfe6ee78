"""Tables of a chapter as Markdown, which shows in Jupyter as in the book."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from ..costs import CostModel
from ..costs.alpha import spatial_size
from ..files import markdown
from ..layers import bytes_moved, flops
from ..numbers import between, number
from ..runs import Run, datasets
from .limits import sizes


def table(frame: pd.DataFrame, digits: int = 3, as_is: Sequence[str] = ()) -> Any:
    """Write a frame as a Markdown table: numbers with significant digits, texts escaped, nothing where none is known.

    Parameters
    ----------
    frame : DataFrame
        Its columns become the head as they are; its index is left out.
    digits : int
        Significant digits of numbers that are not whole.
    as_is : sequence of str
        Columns that hold Markdown of this project, such as formulas.
    """
    from IPython import display

    head = [f"| {' | '.join(map(str, frame.columns))} |", "|" + "---|" * len(frame.columns)]
    named = [dict(zip(frame.columns, row, strict=True)) for row in frame.astype(object).to_numpy()]
    rows = [
        f"| {' | '.join(str(v) if name in as_is else _cell(v, digits) for name, v in row.items())} |" for row in named
    ]
    shown: Any = display.Markdown
    return shown("\n".join([*head, *rows]))


def _cell(value: Any, digits: int) -> str:
    if value is None or value != value:  # NaN
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{int(value):,}" if float(value).is_integer() and abs(value) < 1e9 else number(value, digits)
    return markdown(value)


def formula(model: CostModel) -> str:
    """Give the equation of a cost model for display, each of its parts on a line of its own."""
    parts = model.equation.replace(r", \quad ", r", \\ ")
    return f"$$\n\\begin{{gathered}}\n{parts}\n\\end{{gathered}}\n$$"


def grid(layers: pd.DataFrame) -> pd.DataFrame:
    """Sum a figure's layers up, one row per line: how many, the first and the last, and what they span.

    Parameters
    ----------
    layers : DataFrame
        As given by `alphaflops.grid`.
    """
    rows = []
    for line, part in layers.groupby("line", sort=False):
        first, last = part.iloc[0], part.iloc[-1]
        rows.append(
            {
                "line": line,
                "layers": len(part),
                "first": sizes(first),
                "last": sizes(last),
                "million FLOPs": between([*flops(part) / 1e6]),
                "MB moved at least": between([*bytes_moved(part) / 1e6]),
                "positions S": " to ".join(f"{s:,.0f}" for s in sorted({*spatial_size(part)[[0, -1]]})),
            }
        )
    return pd.DataFrame(rows)


def loaded(runs: Iterable[Run]) -> Any:
    """List the data that a chapter has loaded: name, machine, layers, protocol, versions and hash."""
    rows = [
        {
            "run": run.id,
            "machine": run.machine,
            "layers": len(run.table),
            "protocol": _protocol(run),
            "software": _software(run.meta.get("software") or {}),
            "sha256": run.sha256[:12],
        }
        for run in runs
    ]
    return table(pd.DataFrame(rows))


def _protocol(run: Run) -> str:
    entry = datasets.entries().get(run.id)
    return entry.protocol if entry and run.meta["origin"] != "measured" else str(run.meta["protocol"].get("name"))


def _software(known: dict[str, Any]) -> str:
    names = ("torch", "cuda", "cudnn")
    return ", ".join(f"{name} {known[name]}" for name in names if known.get(name)) or "not stated"


text = markdown
"""Give a text of a run, such as its machine, for a sentence."""


def by_machine(values: "pd.Series[float]", digits: int = 2, unit: str = "") -> str:
    """Write one number per machine as a sentence needs it: ``14 (Quadro T2000) and 12 (one core)``."""
    return said([f"{number(value, digits)}{unit} ({markdown(name)})" for name, value in values.items()])


def said(names: Sequence[str]) -> str:
    """Join names as a sentence does: ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
