"""What the paper and its replication claim, each judged on a run by a test with thresholds fixed beforehand."""

import math
from dataclasses import dataclass
from typing import Any

from ..runs import Run
from .definitions import CLAIMS, FAILS, HOLDS, IN_PART, NOT_MEASURED, Claim
from .statistics import ErrorOf, held_out_mape

__all__ = ["CLAIMS", "FAILS", "HOLDS", "IN_PART", "NOT_MEASURED", "Verdict", "judge", "row"]


@dataclass(frozen=True)
class Verdict:
    """Outcome of one claim on one run: value of the statistic (None if not measured) and why it was not measured."""

    claim: str
    run: str
    machine: str
    verdict: str
    value: float | None
    reason: str


def judge(run: Run, *, authors: Run | None = None, error_of: ErrorOf = held_out_mape) -> list[Verdict]:
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


def _judged(claim: Claim, run: Run, authors: Run | None, error_of: ErrorOf) -> Verdict:
    reason = next((why for need in claim.needs if (why := need(run)) is not None), None)
    value = reason or claim.value(run, error_of, authors)
    if isinstance(value, str):
        return Verdict(claim.id, run.id, run.machine, NOT_MEASURED, None, value)
    if not math.isfinite(value):
        return Verdict(claim.id, run.id, run.machine, NOT_MEASURED, None, "too few layers to tell")
    return Verdict(claim.id, run.id, run.machine, claim.threshold.verdict(value), value, "")


def row(verdict: Verdict) -> dict[str, Any]:
    """Give a verdict with the claim that it is about, as plain values."""
    (claim,) = (claim for claim in CLAIMS if claim.id == verdict.claim)
    about = {name: getattr(claim, name) for name in ("label", "by", "text", "test", "statistic", "unit", "rule")}
    return {"claim": claim.id, **about, **vars(verdict)}
