"""Several runs side by side: speed on shared layers, and which formula predicts which machine."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from ..costs import OURS
from ..errors import AlphaflopsError
from ..layers import COLUMNS
from .validate import score

if TYPE_CHECKING:
    from ..runs import Run

MODELS: Final = ("macs", "macs+t0", "alpha-published", "alpha", "roofline+t0", OURS.name)
"""Formulas that every comparison shows, fitted in sample except the published one."""


def compare(runs: Sequence["Run"], quantity: str = "latency") -> list[dict[str, Any]]:
    """Compare runs with the first of them.

    Parameters
    ----------
    runs : sequence of Run
        Two or more.
    quantity : str
        ``latency`` or ``throughput``.

    Returns
    -------
    list of dict
        One per run: ``run, machine, layers``, ``shared`` (layers also in the first run), ``time_ratio`` (median over
        those of its time divided by the first run's), ``t0_ms`` (overhead in `macs+t0`) and the MAPE (%) of each model.

    Raises
    ------
    AlphaflopsError
        If there are fewer than two runs, or one lacks the quantity.
    """
    if len(runs) < 2:
        raise AlphaflopsError(f"{len(runs)} run given: name two or more to compare")
    rows, first = [], _times(runs[0], quantity).rename("first")
    for run in runs:
        shared = _times(run, quantity).to_frame("own").join(first, how="inner")
        ratio = float((shared["own"] / shared["first"]).median()) if len(shared) else None
        scores = {name: score(run, name, quantity=quantity) for name in MODELS}
        rows.append(
            {
                "run": run.id,
                "machine": run.machine,
                "layers": len(run.ok.table),
                "shared": len(shared),
                "time_ratio": ratio,
                "t0_ms": scores["macs+t0"].parameters["t0"],
                **{f"{name} %": round(found.mape_pct, 2) for name, found in scores.items()},
            }
        )
    return rows


def _times(run: "Run", quantity: str) -> Any:
    table = run.ok.table
    return run.ok.time_ms(quantity).groupby([table[name] for name in COLUMNS]).median()
