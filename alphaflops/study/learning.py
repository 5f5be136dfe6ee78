"""How few layers calibrate a model, and whether its prediction intervals hold on layers that it did not see."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..costs import features
from ..fitting import calibrate
from ..fitting.scoring import fitted, identical
from ..runs import Run

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZES: Final = (15, 30, 60, 120, 250, 500)
"""Layers to calibrate with."""
MODELS: Final = ("macs+t0", "alpha+t0", "best")
REPEATS: Final = 5
LEAST_JUDGED: Final = 50
"""Layers that must remain for judging."""
SPLITS: Final = 4


def learning_curve(
    run: Run, models: Sequence[str] = MODELS, sizes: Sequence[int] = SIZES, *, repeats: int = REPEATS, seed: int = 0
) -> list[dict[str, Any]]:
    """Calibrate models with random layers of a run and judge them on all others.

    Identical layers stay together, so that no layer is judged by its own time.

    Parameters
    ----------
    run : Run
        Measured layers; rows that failed are left out.
    models, sizes : sequence
        Models, and numbers of distinct layers; sizes that leave fewer than `LEAST_JUDGED` are left out.
    repeats, seed : int
        Draws per size, and the seed of the first.

    Returns
    -------
    list of dict
        ``run, model, layers, repeat, mape_pct`` (%).
    """
    good = run.ok
    f, times, groups = features(good.table), np.asarray(good.time_ms(), dtype=np.float64), identical(good.table)
    distinct = int(groups.max()) + 1
    rows = []
    for repeat in range(repeats):
        order = np.random.default_rng([seed, repeat]).permutation(distinct)
        for size in (s for s in sizes if s <= distinct - LEAST_JUDGED):
            known = np.isin(groups, order[:size])
            for model in models:
                predict, _ = fitted(model, f.take(known), times[known], seed=seed)
                ape = 100 * np.abs(predict(f.take(~known)) / times[~known] - 1)
                rows.append(
                    {"run": run.id, "model": model, "layers": size, "repeat": repeat, "mape_pct": float(ape.mean())}
                )
    return rows


def coverage(run: Run, model: str = "best", *, splits: int = SPLITS, seed: int = 0) -> list[dict[str, Any]]:
    """Calibrate on random halves of a run and count how many layers of the other half their intervals hold.

    Returns
    -------
    list of dict
        ``run, model, split, n`` (layers judged), ``inside_pct`` (share inside their interval, %) and ``level_pct`` (the
        share asked for, %), one per split.

    Raises
    ------
    AlphaflopsError
        If half of the run is too few layers for the model.
    """
    good = run.ok
    groups, rows = identical(good.table), []
    for split in range(splits):
        order = np.random.default_rng([seed, split]).permutation(int(groups.max()) + 1)
        known = np.isin(groups, order[: len(order) // 2])
        found = calibrate(_part(good, known), model, seed=seed, draws=1)
        judged = _part(good, ~known)
        held = found.predict(judged.table)
        inside = (judged.time_ms() >= held["low_ms"]) & (judged.time_ms() <= held["high_ms"])
        rows.append(
            {
                "run": run.id,
                "model": model,
                "split": split,
                "n": len(judged.table),
                "inside_pct": float(100 * inside.mean()),
                "level_pct": 100 * found.level,
            }
        )
    return rows


def _part(run: Run, rows: "NDArray[np.bool_]") -> Run:
    return Run(run.meta, run.table[rows].reset_index(drop=True))
