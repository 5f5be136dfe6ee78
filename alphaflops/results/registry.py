"""What results there are: of which data sets, made by which function, resting on which code and other results."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..costs import MODEL_NAMES
from ..errors import AlphaflopsError
from ..prediction.comparison import measured_networks
from ..runs import datasets
from ..runs.sources import AUTHORS, OWN
from . import makers

BASE: Final = ("costs", "experiments.py", "fitting", "layers", "results/makers.py", "runs")
"""Packages that decide what is fitted, and to what."""


@dataclass(frozen=True)
class Result:
    """One table of results.

    Attributes
    ----------
    name : str
        Of its file, and for `read`.
    make : callable
        ``(data set, part) -> rows`` of one data set.
    sets : callable
        Gives the names of the data sets that have rows, at hand or not.
    code : tuple of str
        Packages and modules that decide the numbers.
    parts : tuple of str
        Shares of the work on one set, which different processes may do.
    needs : tuple of str
        Results that it rests on.
    beside : tuple of str
        Files under the data folder that it reads too, with ``{}`` for the name of the set.
    also : tuple of str
        Data sets that every row rests on.
    digits : int
        Digits that are kept.
    tolerance : float
        Largest relative difference from the recorded number: other libraries of linear algebra end elsewhere.
    """

    name: str
    make: Callable[[str, str], list[dict[str, Any]]]
    sets: Callable[[], list[str]]
    code: tuple[str, ...] = BASE
    parts: tuple[str, ...] = ("",)
    needs: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    digits: int = 4
    tolerance: float = 0.02


def scored() -> list[str]:
    """Name the data sets whose layers can be held out: all but fine grids."""
    known = datasets.entries()
    return [n for n, entry in known.items() if entry.reader != OWN or datasets.load(n).meta.get("profile") != "fine"]


def development() -> list[str]:
    """Name the data sets on which formulas may be chosen."""
    return [name for name, entry in datasets.entries().items() if entry.role == "development"]


def fitted() -> list[str]:
    """Name the data sets that get calibrations: those of `scored` that are no further set of a machine."""
    known = datasets.entries()
    return [name for name in scored() if known[name].role != "apart" or known[name].reader == OWN]


def dissected() -> list[str]:
    """Name the data sets that are dissected: those of `scored`, find-dbs in every number type and direction."""
    known = datasets.entries()
    every = [kind + way for kind in ("", ":fp16") for way in ("", ":backward-data", ":backward-weights")]
    return [name + one for name in scored() for one in (every if known[name].reader == "miopen" else [""])]


def shown() -> list[str]:
    """Name the data sets over the paper's experiments."""
    return [AUTHORS, *(name for name, entry in datasets.entries().items() if entry.reader == OWN)]


RESULTS: Final = {
    result.name: result
    for result in (
        Result("scores", makers.scores, scored, parts=MODEL_NAMES),
        Result("terms", makers.terms, development),
        Result("dissection", makers.dissection, dissected, digits=3),
        Result("coverage", makers.coverage, scored),
        Result("learning", makers.learning, fitted),
        Result("calibrations", makers.calibrations, fitted),
        Result(
            "operators", makers.operators, measured_networks, (*BASE, "prediction"),
            needs=("calibrations",), beside=("operators/{}.json",),
        ),
        Result("claims", makers.claims, datasets.names, (*BASE, "claims"), needs=("scores",), also=(AUTHORS,)),
        Result("figures", makers.figures, shown, digits=6, tolerance=1e-5),
        Result(
            "networks", makers.networks, measured_networks, (*BASE, "network", "prediction"),
            needs=("operators",), beside=("networks/{}.csv", "operators/{}.json"),
        ),
    )
}  # fmt: skip
"""Results by name, each after those that it needs."""


def chosen(names: Sequence[str]) -> list[Result]:
    """Give results by name, all without a name, in the order of `RESULTS`.

    Raises
    ------
    AlphaflopsError
        If there is no such result.
    """
    if unknown := [name for name in names if name not in RESULTS]:
        raise AlphaflopsError(f"result {unknown[0]!r} is unknown: choose from {', '.join(RESULTS)}")
    return [result for result in RESULTS.values() if not names or result.name in names]
