"""A page about some runs in one file, to send to a colleague: tables and figures inside, nothing to fetch."""

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .. import experiments, figures
from ..errors import AlphaflopsError
from ..figures.scores import model_title
from ..runs import replace_file
from ..study import findings
from ..study.comparison import MODELS
from . import beside

if TYPE_CHECKING:
    import pandas as pd

    from ..runs import Run

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c1c1c; --page: #fff; --soft: #f3f4f5; --line: #c9ccd0; --muted: #555; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --page: #14181e; --soft: #222832; --line: #48505c; --muted: #b3bac4; }
}
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--page); margin: 0; }
main { max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1, h2 { line-height: 1.2; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 0.3rem 0.75rem 0.3rem 0; border-bottom: 1px solid var(--line); }
td { vertical-align: top; }
:is(th, td):first-child { position: sticky; left: 0; min-width: 7rem; max-width: 24rem; background: var(--page); }
figure { margin: 1rem 0; }
figure img { max-width: min(100%, 40rem); height: auto; background: #fff; }
figcaption, .note { color: var(--muted); font-size: 0.9rem; }
@media print { main { max-width: none; } h2, figure { break-inside: avoid; } }
"""
LOGARITHMIC: Final = ("conv_fixed_progressive", "conv_K_vs_C", "conv_K_vs_S")


def page(runs: Sequence["Run"], compared: Sequence[Mapping[str, Any]], quantity: str = "latency") -> str:
    """Write the page that compares runs with the first of them.

    Parameters
    ----------
    runs : sequence of Run
        Two or more.
    compared : sequence of mapping
        As given by `comparison.compare` for these runs.
    quantity : str
        Which time was compared; figures always show latency.

    Returns
    -------
    str
        HTML that names no other file and no other host.
    """
    import pandas as pd

    good = [run.ok for run in runs]
    names = figures.machines(good)
    title = " beside ".join(names.values())
    rows = [{words: _cell(row[key]) for key, words in _rows(runs[0].id).items()} for row in compared]
    numbers = pd.DataFrame(rows, index=[row["run"] for row in compared]).T.rename_axis("").reset_index()
    told, fitted = beside.verdicts(good), beside.fits(good)
    differing = beside.changed(told)
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        _list(_told(compared, names)),
        _list(f"{names[run.id]}: {line}".replace("`", "") for run in good for line in beside.cautions(run)),
        f"<p class=note>Times are {quantity}. Errors are means over all layers of a run, to which each formula was "
        "fitted, but for the published one.</p>",
        _table(numbers),
        "<h2>Machines</h2>" + _table(beside.machine_cards(good)),
        f"<h2>Claims on which they disagree</h2>{_table(differing) if len(differing) else '<p>None.</p>'}",
        "<h2>All claims</h2>" + _table(told),
        "<h2>Overhead of a call</h2>" + _table(beside.overheads(good, fitted)),
        "<h2>Constants of α-FLOPs, refitted, with 90 % intervals</h2>" + _table(beside.constants(good, fitted)),
        "<h2>Figures</h2>" + "".join(_figures(good)),
        "<h2>Quality of the measurements</h2>" + _list(line.replace("**", "") for line in beside.quality(good)),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>\n<body><main>{''.join(parts)}</main></body></html>\n"
    )


def write(text: str, path: Path) -> Path:
    """Write a page to a file, whole or not at all.

    Raises
    ------
    AlphaflopsError
        If the file cannot be written.
    """
    try:
        replace_file(path, text.encode())
    except OSError as error:
        raise AlphaflopsError(f"{path} cannot be written: {error.strerror}") from error
    return path


def _rows(first: str) -> dict[str, str]:
    """Name the entries of `comparison.compare` for readers."""
    counts = {"machine": "machine", "layers": "layers", "shared": f"layers shared with {first}"}
    times = {"time_ratio": f"median time over that of {first}", "t0_ms": "fitted cost of a call (ms)"}
    return counts | times | {f"{name} %": f"error of {model_title(name)} (%)" for name in MODELS}


def _told(compared: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> list[str]:
    first, told = names[compared[0]["run"]], []
    for row in compared[1:]:
        if row["time_ratio"] is not None:
            speed = f"takes {findings.number(row['time_ratio'])} times as long as {first}"
            told.append(f"{names[row['run']]} {speed}, in the median of {row['shared']} layers.")
    for row in compared:
        best = min(MODELS, key=lambda name: row[f"{name} %"])
        error = findings.number(row[f"{best} %"])
        told.append(f"On {names[row['run']]} the formula that errs least is “{model_title(best)}”, {error} %.")
    return told


def _list(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def _cell(value: Any) -> str:
    if value is None or value != value:
        return "–"
    return findings.number(value, 3) if isinstance(value, float) else str(value)


def _table(frame: "pd.DataFrame") -> str:
    head = "".join(f'<th scope="col">{html.escape(str(name)) or "&nbsp;"}</th>' for name in frame.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(value))}</td>" for value in row) + "</tr>"
        for row in frame.itertuples(index=False)
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _figures(runs: Sequence["Run"]) -> list[str]:
    drawn = []
    for experiment in experiments.PAPER:
        try:
            frame = figures.sweep(runs, experiment.name)
        except AlphaflopsError:  # no run holds it
            continue
        log = experiment.name in LOGARITHMIC
        figure = figures.draw_multiples(frame, experiment.x_label, log=log)
        words = f"Figure {experiment.figure} of the paper: {experiment.title}. Dashed: the published formula"
        drawn.append(_inline(figure, f"{words}, times one factor per machine other than the paper's."))
    return drawn


def _inline(figure: Any, words: str) -> str:
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    plt.close(figure)
    data = base64.b64encode(buffer.getvalue()).decode()
    alt = html.escape(words, quote=True)
    image = f'<img alt="{alt}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{html.escape(words)}</figcaption></figure>"
