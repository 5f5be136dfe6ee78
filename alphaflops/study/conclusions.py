"""Say in words what the study chapters show: calibrations, scores and verdicts in, sentences out."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from ..claims import FAILS, HOLDS, IN_PART, NOT_MEASURED
from ..costs import BEST, BOOSTING, FORMS, MODEL_NAMES
from ..runs.upstream import AUTHORS
from .findings import between, number

if TYPE_CHECKING:
    import pandas as pd

NEAR_END: Final = 1.2
"""Error over the error with most layers up to which fewer layers are called enough."""
COVERED: Final = (87.0, 93.0)
"""Shares of layers (%) for which a 90 % interval counts as honest."""
NOTHING: Final = 0.5
"""Change of a mean error (percentage points) below which a part of a formula is worth nothing."""
MOST: Final = 8
"""Parts of a formula that a sentence names."""
OWN_CONSTANTS: Final = ("alpha-published", AUTHORS)
"""A model and the data that its constants were fitted to: there it is never held out, and no winner."""
LABELS: Final = {"random": "on held-out layers", "figure": "on experiments left out", "in sample": "in sample"}


def enough(curve: "pd.DataFrame", machines: Mapping[str, str], model: str = "best") -> list[str]:
    """Say per machine how many layers calibrate a model almost as well as the most that were tried.

    Parameters
    ----------
    curve : DataFrame
        As given by `figures.scores.summarise`.
    machines : mapping
        Name of each run's machine.
    """
    told = []
    for run, part in curve[curve["model"] == model].groupby("run", sort=False):
        final = part.iloc[int(part["layers"].argmax())]
        first = part[part["median"] <= NEAR_END * final["median"]]["layers"].min()
        row = part.loc[part["layers"] == first].iloc[0]
        told.append(
            f"**{machines[str(run)]}**: {int(first)} layers suffice. They leave a mean error of "
            f"{number(row['median'])} %, at most {number(100 * (NEAR_END - 1))} % above the "
            f"{number(final['median'])} % that {int(final['layers'])} layers leave."
        )
    return told


def covered(coverage: "pd.DataFrame") -> str:
    """Say whether the prediction intervals hold what they promise; `coverage` as given by `learning.coverage`."""
    if coverage.empty:
        return "These runs have too few layers to check prediction intervals."
    means, asked = coverage.groupby("run", sort=False)["inside_pct"].mean(), coverage["level_pct"].iloc[0]
    good = means.between(*COVERED)
    verdict = "all" if good.all() else f"{int(good.sum())} of {len(good)} runs"
    return (
        f"Intervals made to hold {number(asked)} % of new layers hold {between(means, 3)} %: {verdict} within the "
        f"{number(COVERED[0])} to {number(COVERED[1])} % that count as honest."
    )


def errors(scores: "pd.DataFrame", validation: str) -> "pd.DataFrame":
    """Arrange mean errors (%), data sets as rows and models as columns; `scores` as given by `calibrate.scorecard`."""
    part = scores[(scores["cv"] == validation) & scores["mape_pct"].notna()]
    wide = part.pivot_table("mape_pct", "run", "model", aggfunc="first", sort=False)
    return wide[[name for name in wide.columns if name in MODEL_NAMES]].astype(float)


def winners(scores: "pd.DataFrame", validation: str, names: Mapping[str, str] | None = None) -> list[str]:
    """Say per data set which formula errs least, beside the references and the ceiling.

    Parameters
    ----------
    scores : DataFrame
        As given by `calibrate.scorecard`.
    validation : str
        ``random``, ``figure`` or ``in sample``.
    names : mapping, optional
        Words for the models; by default their names on the command line.
    """
    told = []
    for run, row in errors(scores, validation).iterrows():
        left = {BOOSTING, *(model for model, data in [OWN_CONSTANTS] if data == run)}
        formulas = row.drop(list(left), errors="ignore").dropna()
        best = str(formulas.idxmin())
        name = (names or {}).get(best, f"`{best}`")
        text = f"`{run}` {LABELS[validation]}: {name} errs least, {number(formulas[best])} % in the mean"
        beside = {"FLOPs": "macs", "FLOPs with a constant": "macs+t0", "α-FLOPs refitted": "alpha"}
        known = [f"{words} {number(row[name])} %" for words, name in beside.items() if name in formulas]
        told.append(f"{text}; {', '.join(known)}.")
    return told


def alpha_against_flops(scores: "pd.DataFrame") -> list[str]:
    """Say on how many data sets refitted α-FLOPs beat FLOPs, without and with a constant on both sides."""
    wide, told = errors(scores, "random"), []
    for better, worse, words in (
        ("alpha", "macs", "α-FLOPs beat FLOPs"),
        ("alpha", "macs+t0", "α-FLOPs beat FLOPs with a constant"),
        ("alpha+t0", "macs+t0", "With a constant on both sides, α-FLOPs beat FLOPs"),
    ):
        pair = wide[[better, worse]].dropna()
        wins = int((pair[better] < pair[worse]).sum())
        ratio = pair[better] / pair[worse]
        told.append(f"{words} on {wins} of {len(pair)} data sets; the ratio of their errors is {between(ratio)}.")
    return told


def ceiling(scores: "pd.DataFrame") -> list[str]:
    """Say how far the project's form is from a learned model, and from the best of the other formulas."""
    wide = errors(scores, "random").dropna(subset=[BEST.name])
    others = wide.drop(columns=[BEST.name, BOOSTING], errors="ignore").min(axis=1)
    ahead = int((wide[BEST.name] < others).sum())
    told = [f"The project's form beats every other formula on {ahead} of {len(wide)} data sets."]
    if BOOSTING in wide:
        gap = (wide[BEST.name] / wide[BOOSTING]).dropna()
        told.append(f"Its error is {between(gap)} times that of gradient boosting, which has no formula to read.")
    return told


def parts(tried: "pd.DataFrame") -> list[str]:
    """Say what the parts of the chosen form are worth, and which other forms err less.

    Parameters
    ----------
    tried : DataFrame
        As given by `choosing.form_errors`.
    """
    wide = tried.pivot_table("mape_pct", "model", "run", sort=False).astype(float)
    titles = {form.name: form.title for form in FORMS}
    change = (wide - wide.loc[BEST.name]).mean(axis=1).drop(BEST.name).sort_values(ascending=False, kind="stable")

    def named(values: "pd.Series") -> str:
        return ", ".join(f"*{titles[str(name)]}* ({signed(value)})" for name, value in values.items()) or "none"

    worst, less = change[change >= NOTHING].head(MOST), change[change < 0]
    extra = less.index.isin([form.name for form in FORMS if len(form.parameters) > len(BEST.parameters)])
    told = [
        f"What parts are worth, in percentage points of the mean error over {wide.shape[1]} data sets, the largest "
        f"first: {named(worst)}.",
        f"Forms with no more numbers that err less in the mean: {named(less[~extra])}. With more numbers: "
        f"{named(less[extra])}.",
        f"{int((change.abs() < NOTHING).sum())} of {len(change)} changes are worth less than {number(NOTHING, 1)} "
        "points in the mean.",
    ]
    halves = tried[(tried["model"] == BEST.name) & tried["unseen_pct"].notna()]
    if len(halves):
        listed = [
            f"`{run}` {number(unseen, 3)} % ({number(seen, 3)} %)"
            for run, unseen, seen in zip(halves["run"], halves["unseen_pct"], halves["mape_pct"], strict=True)
        ]
        told.append(
            "Error on the half of a set that the choice did not look at, the form fitted to the other half; in "
            f"brackets the error on that other half: {', '.join(listed)}."
        )
    return told


def pulled(pulls: "pd.DataFrame") -> str:
    """Say whether a stronger pull to the starts helps with few layers; `pulls` as given by `choosing.pull_errors`."""
    wide = pulls.pivot_table("mape_pct", "run", "pull", sort=False).astype(float)
    weights = sorted(float(pull) for pull in pulls["pull"].unique())
    changes = {pull / weights[0]: float((wide[pull] - wide[weights[0]]).mean()) for pull in weights[1:]}
    listed = ", ".join(f"{number(ratio)} times the weight {signed(change)}" for ratio, change in changes.items())
    return (
        "Where layers are few, a weak pull keeps the numbers near typical values. With "
        f"{int(pulls['layers'].iloc[0])} layers, a stronger pull changes the mean error by so many percentage points: "
        f"{listed}."
    )


def signed(value: float) -> str:
    """Write a change with its sign and two digits, of which none lies beyond the hundredths."""
    size = abs(value)
    if round(size, 2) == 0:
        return "±0.00"
    return f"{'+' if value >= 0 else '−'}{number(size) if size >= 1 else f'{size:.2f}'}"


def tally(judged: "pd.DataFrame") -> list[str]:
    """Say per data set how many claims hold and how many fail; `judged` as given by `claims.table`."""
    told = []
    for (run, machine), part in judged.groupby(["run", "machine"], sort=False):
        counts = part["verdict"].value_counts()
        listed = [f"{counts.get(name, 0)} {one if counts.get(name, 0) == 1 else more}" for name, one, more in _COUNTED]
        told.append(f"**{machine}** (`{run}`): {', '.join(listed)}.")
    return told


_COUNTED: Final = (
    (HOLDS, "holds", "hold"),
    (IN_PART, "holds in part", "hold in part"),
    (FAILS, "fails", "fail"),
    (NOT_MEASURED, "cannot be told from this run", "cannot be told from this run"),
)
"""Each verdict, with the words for one claim and for more."""


def told(judged: "pd.DataFrame") -> list[str]:
    """Say per claim on which data sets it holds, holds in part and fails."""
    sentences = []
    for text, part in judged.groupby("text", sort=False):
        measured = part[part["verdict"] != NOT_MEASURED]
        if measured.empty:
            reasons = ", ".join(dict.fromkeys(part["reason"]))
            sentences.append(f"*{text}* Not measured: {reasons}.")
            continue
        groups = [
            f"{verdict} on {_listed(measured.loc[measured['verdict'] == verdict, 'run'])}"
            for verdict in (HOLDS, IN_PART, FAILS)
            if (measured["verdict"] == verdict).any()
        ]
        values = number(measured["value"].iloc[0]) if len(measured) == 1 else between(measured["value"])
        unit = f" {part['unit'].iloc[0]}".rstrip()
        sentences.append(f"*{text}* It {'; '.join(groups)} ({part['statistic'].iloc[0]} {values}{unit}).")
    return sentences


def _listed(runs: "pd.Series[str]") -> str:
    return ", ".join(f"`{run}`" for run in np.asarray(runs))
