"""Every figure, table and claim as a row: what it shows, where it stands, what it is computed from and how.

A row names its notebook and cell, the data it needs and what it computes; `reproduce` records the values and compares.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .. import claims, figures
from ..costs import BEST, features
from ..errors import AlphaflopsError
from ..fitting import fit_model, score
from ..fitting.fitting import check_times
from ..prediction.comparison import comparison, measured_networks, traced
from ..study import scores

if TYPE_CHECKING:
    from ..runs import Run

EXACT: Final = 1e-6
"""Largest relative difference from the recorded value, where a row only counts and divides."""
FITTED: Final = 0.02
"""The same where a row fits numbers: another library of linear algebra ends elsewhere."""
SCORED: Final = ("macs", "macs+t0", "alpha", "roofline+t0", "best")
"""Models whose held-out errors are recorded."""

Values = dict[str, float | str | None]


@dataclass(frozen=True)
class Row:
    """One thing that can be reproduced.

    Attributes
    ----------
    name : str
        What follows ``--figure``, ``--table`` or ``--claim``.
    kind : str
        ``figure``, ``table`` or ``claim``.
    title : str
        What it shows.
    notebook, cell : str
        Page of the book, and the label of the cell in it.
    values : callable
        ``(run, authors' run or None) -> numbers by name``, for one data set.
    data : callable
        Gives the names of its data sets.
    tolerance : float
        Largest relative difference from the recorded value.
    """

    name: str
    kind: str
    title: str
    notebook: str
    cell: str
    values: "Callable[[Run, Run | None], Values]"
    data: Callable[[], list[str]]
    tolerance: float = EXACT

    @property
    def command(self) -> str:
        """How to run it again."""
        return f"alphaflops reproduce --{self.kind} {self.name}"


def sweep_values(experiment: str) -> "Callable[[Run, Run | None], Values]":
    """Give the function that counts what a figure of one experiment shows of a run."""

    def values(run: "Run", _: "Run | None") -> Values:
        if not (run.table["experiment"] == experiment).any():
            return {"layers": 0}
        return _summary(figures.sweep([run], experiment))

    return values


def _summary(frame: Any) -> Values:
    cost = frame["time_ms"] / frame["macs"]
    lines = cost.groupby(frame["line"], sort=False)
    return {
        "layers": len(frame),
        "total_ms": float(frame["time_ms"].sum()),
        "ns_per_kmac_median": float(cost.median() * 1e9),
        "slowest_over_fastest_per_mac": float((lines.max() / lines.min()).median()),
        "prediction_error_median_pct": float((frame["predicted_ms"] / frame["time_ms"] - 1).abs().median() * 100),
    }


def _equal_flops(run: "Run", _: "Run | None") -> Values:
    if not (run.table["experiment"] == "conv_fixed_progressive").any():
        return {"layers": 0}
    same = figures.equal_flops(figures.sweep([run], "conv_fixed_progressive"))
    times = {f"{line}_ms": float(ms) for line, ms in zip(same["line"], same["time_ms"], strict=True)}
    return {"layers": len(same), **times}


def _accuracy(run: "Run", _: "Run | None") -> Values:
    found = score(run, "alpha-published")
    return {name: float(getattr(found, name)) for name in ("n", "mape_pct", "median_ape_pct", "r2", "spearman")}


def _parameters(run: "Run", _: "Run | None") -> Values:
    return {**fit_model(BEST, features(run.table), check_times(run.time_ms())).parameters}


def _held_out(run: "Run", _: "Run | None") -> Values:
    return {f"{model}_mape_pct": score(run, model, "random", whole=False).mape_pct for model in SCORED}


def _networks(run: "Run", _: "Run | None") -> Values:
    found = comparison(traced(), [run.id])
    times = {f"{name}_ms": float(ms) for name, ms in zip(found["network"], found["predicted_ms"], strict=True)}
    return {"median_error_pct": 100 * float(found["error"].abs().median()), **times}


def _shown() -> list[str]:
    return [run.id for run in figures.load()]


def _references() -> list[str]:
    return [run.id for run in scores.reference_runs()]


def _scored() -> list[str]:
    return [run.id for run in scores.scored_runs()]


def _claim_values(name: str) -> "Callable[[Run, Run | None], Values]":
    def values(run: "Run", authors: "Run | None") -> Values:
        found = next(verdict for verdict in claims.judge(run, authors=authors) if verdict.claim == name)
        return {"verdict": found.verdict, "value": found.value}

    return values


SWEEPS = (
    (
        "1",
        "Dense against convolutional layers of equal FLOPs",
        "01_dense_against_conv",
        "fig-dense-conv",
        "conv_fixed_progressive",
    ),
    ("2a", "The kernel grows, the channels shrink", "02_kernels", "fig-kernel-channels", "conv_K_vs_C"),
    ("2b", "The kernel grows, the input shrinks", "02_kernels", "fig-kernel-size", "conv_K_vs_S"),
    ("5-width", "The input becomes wider", "04_other_dimensions", "fig-width", "increasing_W"),
    ("5-outputs", "More output channels, 3×3 kernel", "04_other_dimensions", "fig-cout", "increasing_Cout"),
    (
        "5-outputs-1x1",
        "More output channels, 1×1 kernel",
        "04_other_dimensions",
        "fig-cout-1x1",
        "increasing_Cout_with_K1",
    ),
    ("5-inputs", "More input channels", "04_other_dimensions", "fig-cin", "increasing_Cin"),
    ("6", "Dense layers against the batch", "05_batch", "fig-batch", "increasing_batch"),
)
"""Figures of the paper that stand for themselves."""

SAME: Final = {
    "2": ("2a", "2b"),
    "2c": ("2a",),
    "2d": ("2b",),
    "3": ("1",),
    "4": ("2a", "2b"),
    "5": ("5-width", "5-outputs", "5-outputs-1x1", "5-inputs"),
}
"""The other figures, and the rows that hold what they show: 2c and 2d are 2a and 2b on a single core, 3 and 4 are 1 and
2 with the prediction, which each row compares too."""


CLAIMS_CELL: Final = ("10_claims", "fig-verdicts")
"""Page and cell in which the claims are judged."""


def rows() -> dict[str, Row]:
    """All rows by key (kind, a space, name): figures, tables, claims."""
    found = [
        Row(name, "figure", title, page, cell, sweep_values(exp), _shown) for name, title, page, cell, exp in SWEEPS
    ]
    found += [
        Row("1a", "table", "Layers of 327.68 million FLOPs", "01_dense_against_conv", "fig-equal-flops", _equal_flops,
            _shown),
        Row("accuracy", "table", "Errors of the published formula", "00_intro", "fig-claim", _accuracy, _shown),
        Row("parameters", "table", "Numbers of the project's formula", "06_calibration", "fig-residuals-authors",
            _parameters, _scored, FITTED),
        Row("scorecard", "table", "Errors of formulas on held-out layers", "07_scorecard", "fig-scorecard", _held_out,
            _scored, FITTED),
        Row("networks", "table", "Predicted times of whole networks", "11_whole_networks", "fig-networks", _networks,
            measured_networks, FITTED),
    ]  # fmt: skip
    found += [Row(c.id, "claim", c.text, *CLAIMS_CELL, _claim_values(c.id), _references, FITTED) for c in claims.CLAIMS]
    return {f"{row.kind} {row.name}": row for row in found}


def select(figure: Sequence[str], table: Sequence[str], claim: Sequence[str], everything: bool) -> list[str]:
    """Give the keys of the rows that were asked for.

    Raises
    ------
    AlphaflopsError
        If nothing is asked for, or there is no such row.
    """
    known = rows()
    figures_meant = [one for name in figure for one in SAME.get(name, (name,))]
    named = (("figure", figures_meant), ("table", table), ("claim", claim))
    asked = list(dict.fromkeys(f"{kind} {name}" for kind, names in named for name in names))
    for key in asked:
        if key not in known:
            kind = key.partition(" ")[0]
            choices = [row.name for row in known.values() if row.kind == kind] + list(SAME if kind == "figure" else ())
            raise AlphaflopsError(f"{key!r} is unknown: choose one of {', '.join(sorted(choices))}")
    if not asked and not everything:
        raise AlphaflopsError("nothing to reproduce: give --figure, --table or --claim, or --all")
    return list(known) if everything else asked
