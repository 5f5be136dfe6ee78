"""How the project's form was chosen: errors of every form that was tried, on the layers that the choice may look at.

A choice among many forms is a fit too. It looked at the runs over the paper's experiments and at one fixed half of
each set with a single experiment, always in sample. The other half, predicted by a fit to the first, tells what the
choice is worth on layers that it did not look at.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..costs import BEST, FORMS, CostModel, features
from ..fitting import fit_model
from ..fitting.fitting import PULL, check_times
from ..fitting.scoring import errors, identical
from ..runs import Run

CHOSEN_ON: Final = (
    "paper-t2000",
    "neusight-conv-t4",
    "neusight-conv-v100",
    "neusight-dense-t4",
    "neusight-dense-v100",
    "cpu-1core",
    "cpu-allcores",
)
"""Data sets that the choice looked at."""
HALF_SEED: Final = 20261123
"""Of the half of a set with a single experiment."""
PULLS: Final = (PULL, 0.1, 0.3, 1.0)
"""Weights of the parameters' starts that were tried; the first is the chosen one."""
FEW: Final = 30
"""Layers to calibrate with, where a stronger pull could help most."""
REPEATS: Final = 3


def looked_at(run: Run) -> NDArray[np.bool_]:
    """Tell which of a run's usable layers the choice of the form looked at: all, or half of a set with one experiment.

    Identical layers stay together.
    """
    table = run.ok.table
    groups = identical(table)
    half = np.random.default_rng(HALF_SEED).random(int(groups.max()) + 1) < 0.5
    return half[groups] | (table["experiment"].nunique() > 1)


def form_errors(run: Run) -> list[dict[str, Any]]:
    """Fit every form of `costs.FORMS` to the layers that the choice looked at.

    Returns
    -------
    list of dict
        ``run, model, n`` (layers), ``mape_pct`` (%, of these layers), ``unseen_pct`` (%, of the other half; None where
        the choice looked at all), one per form.
    """
    mask, rows = looked_at(run), []
    seen, unseen = _part(run.ok, mask), None if mask.all() else _part(run.ok, ~mask)
    for form in FORMS:
        values = _fit(form, seen)
        other = _mape(form, values, unseen) if unseen else None
        found = {"n": len(seen.table), "mape_pct": _mape(form, values, seen), "unseen_pct": other}
        rows.append({"run": run.id, "model": form.name, **found})
    return rows


def pull_errors(run: Run) -> list[dict[str, Any]]:
    """Calibrate the form with few layers under stronger and stronger pulls to its starts, and judge it on the others.

    Returns
    -------
    list of dict
        ``run, pull, layers, repeat, mape_pct`` (%), for each of `PULLS`.
    """
    seen = _part(run.ok, looked_at(run))
    groups, rows = identical(seen.table), []
    for repeat in range(REPEATS):
        order = np.random.default_rng([HALF_SEED, repeat]).permutation(int(groups.max()) + 1)
        known = np.isin(groups, order[:FEW])
        few, rest = _part(seen, known), _part(seen, ~known)
        for pull in PULLS:
            found = _mape(BEST, _fit(BEST, few, pull), rest)
            rows.append({"run": run.id, "pull": pull, "layers": FEW, "repeat": repeat, "mape_pct": found})
    return rows


def _part(run: Run, mask: NDArray[np.bool_]) -> Run:
    return Run(run.meta, run.table[mask].reset_index(drop=True))


def _fit(form: CostModel, run: Run, pull: float = PULL) -> dict[str, float]:
    return fit_model(form, features(run.table), check_times(run.time_ms()), pull=pull).parameters


def _mape(form: CostModel, values: dict[str, float], run: Run) -> float:
    return errors(form.predict_ms(run.table, values), check_times(run.time_ms()))["mape_pct"]
