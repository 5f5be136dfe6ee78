"""Errors of formulas side by side: on machines where a formula was chosen, and on those where it is judged."""

from collections.abc import Iterable, Mapping
from typing import Final

import pandas as pd

from ..costs import ANALYTIC, BOOSTING, OURS
from ..results import absent, read
from ..results.makers import score_rows
from ..runs import Run, datasets
from ..runs.datasets import AUTHORS

GROUPS: Final = {"development": "where it was chosen", "judged": "where it is judged"}
"""Machines of each role, seen from this project's formula; sets of other roles are in neither mean."""
SHOWN: Final = ("macs+t0", "roofline+t0", "alpha", "alpha+t0", OURS.name, BOOSTING)
"""Models with a column of their own, set by set."""
VALIDATIONS: Final = {
    "random": "layers at random",
    "macs": "a fifth of the MACs",
    "rows": "a fifth of the rows",
    "figure": "a figure of the paper",
}


def title(model: str) -> str:
    """Name a model for readers."""
    return "boosting (learned)" if model == BOOSTING else ANALYTIC[model].title if model in ANALYTIC else model


def formulas() -> pd.DataFrame:
    """List the formulas: name, formula as Markdown, how many numbers are fitted to a machine."""
    rows = [(m.title, f"${m.equation}$".replace("|", "\\vert"), len(m.parameters)) for m in ANALYTIC.values()]
    return pd.DataFrame(rows, columns=["measure", "formula", "fitted numbers"])


def scores(runs: Iterable[Run] = ()) -> pd.DataFrame:
    """Give the errors of every model on every set in the results, and of the main formulas on further runs.

    Columns: ``run, role, vendor, model, parameters, cv, n, mape_pct, median_ape_pct, r2, spearman, within_20_pct``.
    """
    kept = read("scores")
    fresh = [
        {"run": run.id, **row}
        for run in runs
        if run.id not in set(kept["run"]) and run.meta.get("profile") != "fine"
        for model in SHOWN[:-1]
        for row in score_rows(run, model, ["random"], role="yours")
    ]
    return pd.concat([kept, pd.DataFrame(fresh)], ignore_index=True) if fresh else kept


def by_formula(frame: pd.DataFrame) -> pd.DataFrame:
    """Average held-out errors over the machines of each group, formulas from few fitted numbers to many.

    Parameters
    ----------
    frame : DataFrame
        As given by `scores`.

    Returns
    -------
    DataFrame
        ``group, model, formula`` (its name, with how many numbers it fits), ``mean, low, high`` (%, over the sets) and
        ``sets``. Published constants, which fit nothing, are left out.
    """
    part = frame[(frame["cv"] == "random") & frame["role"].isin(list(GROUPS)) & (frame["parameters"] != 0)]
    part = part[part["model"] != "params"]  # ten times as far off as anything else
    part = part.assign(group=part["role"].map(GROUPS), parameters=part["parameters"].fillna(1e9))
    grouped = part.groupby(["group", "model"], sort=False)
    errors = grouped["mape_pct"].agg(mean="mean", low="min", high="max", sets="count")
    found: pd.DataFrame = errors.join(grouped["parameters"].first()).reset_index()
    found = found.sort_values(["group", "parameters", "mean"], ascending=[True, True, False], kind="stable")
    fitted = found["parameters"].map(lambda count: "" if count > 1e8 else f" ({count:.0f})")
    return found.assign(formula=found["model"].map(title) + fitted).reset_index(drop=True)


def not_at_hand(result: str) -> str:
    """Name the machines of the data sets that were not at hand when a result was made; empty if all were."""
    known = datasets.entries()
    names = list(dict.fromkeys(known[name.partition(":")[0]].device for name in absent(result)))
    return f"Not at hand when this was computed: {', '.join(names)}." if names else ""


FRONT: Final = {"macs+t0": "FLOPs", "alpha+t0": "α-FLOPs", OURS.name: "this project’s formula"}
"""Measures on the front page, each with a constant for the call."""


def front(frame: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """Give what the front page draws: held-out errors of three measures on every set.

    Parameters
    ----------
    frame : DataFrame
        As given by `scores`.
    labels : mapping
        What each set is called on the figure.

    Returns
    -------
    DataFrame
        ``group, row, measure, mape_pct, role``, the paper's set first, then others by vendor.
    """
    part = frame[(frame["cv"] == "random") & frame["model"].isin(list(FRONT)) & (frame["role"] != "apart")]
    group = part["vendor"].where(part["run"] != AUTHORS, "The paper’s GPU").replace({"NVIDIA": "Other NVIDIA GPUs"})
    group = group.replace({"AMD": "AMD GPUs"}).fillna("Further machines")
    part = part.assign(group=group, row=part["run"].map(labels).fillna(part["run"]), measure=part["model"].map(FRONT))
    place = {name: i for i, name in enumerate(("The paper’s GPU", "Other NVIDIA GPUs", "AMD GPUs", "CPU"))}
    models = list(FRONT)
    order = part.assign(g=part["group"].map(place).fillna(9), m=part["model"].map(models.index))
    order = order.sort_values(["g", "run", "m"], kind="stable")
    return order[["group", "row", "run", "measure", "mape_pct", "role"]].reset_index(drop=True)


def judged_kinds() -> list[str]:
    """Name the kinds of layers in the judged sets at hand."""
    names = [name for name, e in datasets.entries().items() if e.role == "judged" and datasets.available(name)]
    kinds = {kind for name in names for kind in datasets.load(name).table["kind"]}
    return sorted({"conv2d": "convolutional"}.get(kind, kind) for kind in kinds)
