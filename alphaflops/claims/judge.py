"""Judge the claims of the paper and of its replication on runs."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..runs.sources import AUTHORS
from .definitions import CLAIMS, NOT_MEASURED, Claim
from .statistics import ErrorOf, held_out_mape

if TYPE_CHECKING:
    import pandas as pd

    from ..runs import Run


@dataclass(frozen=True)
class Verdict:
    """Outcome of one claim on one run: value of the statistic (None if not measured) and why it was not measured."""

    claim: str
    run: str
    machine: str
    verdict: str
    value: float | None
    reason: str


def judge(run: "Run", *, authors: "Run | None" = None, error_of: ErrorOf = held_out_mape) -> list[Verdict]:
    """Judge every claim on one run.

    Parameters
    ----------
    run : Run
        Measured layers; rows that failed are left out.
    authors : Run, optional
        The authors' data, for claims that compare with them.
    error_of : callable
        ``(run, model) -> held-out MAPE (%)``.

    Returns
    -------
    list of Verdict
        In the order of `CLAIMS`.
    """
    good = run.ok
    return [_judged(claim, good, authors, error_of) for claim in CLAIMS]


def _judged(claim: Claim, run: "Run", authors: "Run | None", error_of: ErrorOf) -> Verdict:
    reason = next((why for need in claim.needs if (why := need(run)) is not None), None)
    value = math.nan if reason else claim.value(run, error_of, authors)
    verdict = claim.threshold.verdict(value)
    if verdict == NOT_MEASURED:
        return Verdict(claim.id, run.id, run.machine, verdict, None, reason or "too few layers to tell")
    return Verdict(claim.id, run.id, run.machine, verdict, value, "")


def find(claim: str) -> Claim:
    """Give a claim by its slug."""
    return {c.id: c for c in CLAIMS}[claim]


def table(runs: Iterable["Run"], *, error_of: ErrorOf = held_out_mape) -> "pd.DataFrame":
    """Judge every claim on every run.

    Returns
    -------
    DataFrame
        One row per claim and run: ``claim, label, by, text, test, statistic, unit, rule, run, machine, verdict, value,
        reason``.
    """
    import pandas as pd

    given = list(runs)
    authors = next((run.ok for run in given if run.id == AUTHORS), None)
    verdicts = [verdict for run in given for verdict in judge(run, authors=authors, error_of=error_of)]
    return pd.DataFrame([row(verdict) for verdict in verdicts])


def row(verdict: Verdict) -> dict[str, Any]:
    """Give a verdict with the claim that it is about, as plain values."""
    claim = find(verdict.claim)
    about = {name: getattr(claim, name) for name in ("label", "by", "text", "test", "statistic", "unit", "rule")}
    outcome = {name: getattr(verdict, name) for name in ("run", "machine", "verdict", "value", "reason")}
    return {"claim": claim.id, **about, **outcome}
