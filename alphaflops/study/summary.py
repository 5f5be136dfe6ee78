"""The front page in words: what is claimed, what holds, what is shown. Every number is computed."""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from .. import __version__, claims, experiments
from ..costs.alpha import published_ms
from ..layers import macs
from . import conclusions
from .findings import between, extremes, number

if TYPE_CHECKING:
    import pandas as pd

    from ..runs import Run

ORDER, HELPS = "flops-do-not-order-times", "alpha-beats-flops"


def counted(judged: "pd.DataFrame", claim: str) -> str:
    """Count on how many data sets a claim holds: ``"holds on 3 of 7 data sets, in part on 2, fails on 2"``.

    Parameters
    ----------
    judged : DataFrame
        As given by `claims.table`.
    claim : str
        Slug of the claim.
    """
    verdicts = judged.loc[judged["claim"] == claim, "verdict"]
    holds, in_part, fails = (int((verdicts == name).sum()) for name in (claims.HOLDS, claims.IN_PART, claims.FAILS))
    rest = [f"{words} {count}" for words, count in (("in part on", in_part), ("fails on", fails)) if count]
    return ", ".join([f"holds on {holds} of {holds + in_part + fails} data sets", *rest])


def lines(same: "pd.DataFrame", judged: "pd.DataFrame", scores: "pd.DataFrame") -> list[str]:
    """Say in five lines what is claimed and what holds.

    Parameters
    ----------
    same : DataFrame
        As given by `figures.equal_flops`; its first run is told.
    judged : DataFrame
        As given by `claims.table`.
    scores : DataFrame
        As given by `scores.of`: held-out errors of the same data sets.
    """
    first = extremes(same).iloc[0]
    errors = conclusions.errors(scores, "random")
    wins = errors["macs+t0"] < errors["alpha"]
    others = errors.drop(columns=["best", "boosting"], errors="ignore").min(axis=1)
    ahead = int((errors["best"] < others).sum())
    return [
        f"**The claim**: FLOPs do not tell the time. On the authors' {same['machine'].iloc[0]}, layers of "
        f"{number(2e-6 * same['macs'].iloc[0], 3)} million FLOPs each take {number(first['fast_ms'])} to "
        f"{number(first['slow_ms'])} ms.",
        f"**Ranking**: that FLOPs put layers into a wrong order {counted(judged, ORDER)}.",
        f"**The correction**: that α-FLOPs predict better than FLOPs {counted(judged, HELPS)}. Their mean error is "
        f"{between(errors['alpha'])} %, that of FLOPs {between(errors['macs'])} %.",
        f"**A plain rival**: FLOPs plus one constant for the cost of a call predict better than α-FLOPs on "
        f"{int(wins.sum())} of {len(wins)} data sets.",
        f"**This project's formula**, which counts bytes too, has the smallest mean error of all formulas on {ahead} "
        f"of {len(errors)} data sets: {between(errors['best'])} %.",
    ]


def status(runs: Sequence["Run"]) -> str:
    """Say in one line which data sets, machines and versions the book at hand shows."""
    ours = [run for run in runs if run.meta["origin"] == "measured"]
    torch = _listed((run.meta.get("software") or {}).get("torch") for run in ours)
    dates = _listed(str(run.meta.get("finished") or "")[:10] for run in ours)
    parts = [
        f"{len(runs)} data sets, {sum(len(run.table) for run in runs):,} timed layers",
        f"machines: {_listed(run.meta['machine']['name'] for run in runs)}",
        f"alphaflops {__version__}" + (f", PyTorch {torch}" if torch else ""),
    ]
    return " · ".join([*parts, *([f"measured by us on {dates}"] if dates else [])])


def _listed(names: Iterable[str | None]) -> str:
    return "; ".join(sorted({name for name in names if name}))


def citations(apa: str) -> str:
    """Write references as a Markdown list with their addresses linked; `apa` as given by `artifact.citation.cite`."""
    return "\n".join("- " + re.sub(r"(https://\S+)", r"<\1>", line) for line in apa.splitlines())


def compared(runs: "Sequence[Run]") -> "pd.DataFrame":
    """Compare FLOPs and α-FLOPs as measures of time, over all layers of the paper that each run holds, if any.

    Returns
    -------
    DataFrame
        Per machine: ``n`` (layers), ``macs_rank, alpha_rank`` (Spearman correlation with time) and ``macs_error,
        alpha_error`` (median absolute error in percent, each measure times the one factor that makes the median of
        predicted over measured time 1).
    """
    import pandas as pd

    rows = {}
    for run in runs:
        table = run.table[run.table["experiment"].isin([e.name for e in experiments.PAPER])]
        if table.empty:
            continue
        measures = {"macs": macs(table), "alpha": published_ms(table)}
        row: dict[str, float] = {"n": len(table)}
        for name, values in measures.items():
            ratio = pd.Series(values / table["latency_ms"].to_numpy())
            row[f"{name}_rank"] = pd.Series(values).rank().corr(table["latency_ms"].rank())
            row[f"{name}_error"] = 100 * (ratio / ratio.median() - 1).abs().median()
        rows[run.machine if run.machine not in rows else f"{run.machine} ({run.id})"] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def verdict(runs: "Sequence[Run]") -> list[str]:
    """Say per machine whether α-FLOPs tell the time better than FLOPs, from `compared`."""
    told = []
    for machine, row in compared(runs).iterrows():
        better = [row["alpha_rank"] > row["macs_rank"], row["alpha_error"] < row["macs_error"]]
        words = ("do no better than FLOPs", "do better in one respect and not in the other", "do better than FLOPs")[
            sum(better)
        ]
        told.append(
            f"**{machine}**, {int(row['n'])} layers: α-FLOPs {words}. Rank correlation with time "
            f"{row['alpha_rank']:.2f} against {row['macs_rank']:.2f}, median error {number(row['alpha_error'])} % "
            f"against {number(row['macs_error'])} %."
        )
    return told
