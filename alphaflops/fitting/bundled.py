"""The calibrations that come with the project: which runs, which formulas, and how they are made anew."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .calibration import calibrate

if TYPE_CHECKING:
    from ..runs import Run

BUNDLED_MODELS: Final = ("best", "macs+t0", "alpha")
"""Formulas kept for each run; the first one's file bears the run's name alone."""


def has_folds(run: "Run") -> bool:
    """Whether layers of a run can be held out; on a fine grid each has a neighbour that is almost the same."""
    return run.meta.get("profile") != "fine"


def file_name(run: str, model: str) -> str:
    """Name of the file of a calibration."""
    return f"{run}.json" if model == BUNDLED_MODELS[0] else f"{run}-{model.replace('+', '-')}.json"


def rewrite(run: "Run", folder: Path) -> Iterator[Path]:
    """Fit every bundled formula to a run and write the calibrations; none for a fine grid, which has no scores.

    Raises
    ------
    AlphaflopsError
        If the run cannot be fitted or the folder cannot be written.
    """
    for model in BUNDLED_MODELS if has_folds(run) else ():
        yield calibrate(run, model).write(folder / file_name(run.id, model))
