"""What results there are: of which data sets, made by which function, resting on which code and other results."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from ..costs import MODEL_NAMES
from ..errors import AlphaflopsError
from ..runs import datasets
from ..runs.sources import AUTHORS, OWN

BASE: Final = ("costs", "experiments.py", "fitting", "layers", "results/makers.py", "runs")
"""Packages that decide what is fitted, and to what."""
VARIANTS: Final = tuple(
    f"{kind}{direction}" for kind in ("", ":fp16") for direction in ("", ":backward-data", ":backward-weights")
)
"""Number types and directions of a find-db."""


@dataclass(frozen=True)
class Result:
    """One table of results.

    Attributes
    ----------
    name : str
        Of its file, and for `read`.
    make : str
        Function ``(data set, part) -> rows`` as "module:function": named, not imported, since some stand above this room.
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
    make: str
    sets: Callable[[], list[str]]
    code: tuple[str, ...] = BASE
    parts: tuple[str, ...] = ("",)
    needs: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    digits: int = 4
    tolerance: float = 0.02

    def rows(self, name: str, part: str) -> list[dict[str, Any]]:
        """Compute the rows of one data set, or of one part of its work."""
        module, _, function = self.make.partition(":")
        found: list[dict[str, Any]] = getattr(import_module(module), function)(name, part)
        return found


def scored() -> list[str]:
    """Name the data sets whose layers can be held out: all but fine grids."""
    return [name for name in datasets.entries() if not _fine(name)]


def _fine(name: str) -> bool:
    return datasets.entries()[name].reader == OWN and datasets.meta(name).get("profile") == "fine"


def fitted() -> list[str]:
    """Name the data sets that get calibrations: those of `scored` that are no test sets of a machine that has one."""
    known = datasets.entries()
    return [name for name in scored() if known[name].role != "apart" or known[name].reader == OWN]


def dissected() -> list[str]:
    """Name the data sets that are dissected: those of `scored`, find-dbs in every number type and direction."""
    known = datasets.entries()
    return [n + variant for n in scored() for variant in (VARIANTS if known[n].reader == "miopen" else ("",))]


def shown() -> list[str]:
    """Name the data sets over the paper's experiments."""
    return [AUTHORS, *(name for name, entry in datasets.entries().items() if entry.reader == OWN)]


def measured_networks() -> list[str]:
    """Name the runs for whose machine whole networks were measured too."""
    found: list[str] = import_module("alphaflops.prediction.comparison").measured_networks()
    return found


_MAKERS: Final = "alphaflops.results.makers:"
RESULTS: Final = {
    result.name: result
    for result in (
        Result("scores", _MAKERS + "scores", scored, parts=MODEL_NAMES),
        Result("terms", _MAKERS + "terms", scored),
        Result("dissection", _MAKERS + "dissection", dissected, digits=3),
        Result("coverage", _MAKERS + "coverage", scored),
        Result("learning", _MAKERS + "learning", fitted),
        Result("calibrations", _MAKERS + "calibrations", fitted),
        Result(
            "claims",
            _MAKERS + "claims",
            datasets.names,
            (*BASE, "claims"),
            needs=("scores",),
            also=(AUTHORS,),
        ),
        Result("figures", _MAKERS + "figures", shown, digits=6, tolerance=1e-5),
        Result(
            "networks",
            _MAKERS + "networks",
            measured_networks,
            (*BASE, "network", "prediction"),
            needs=("calibrations",),
            beside=("networks/{}.csv", "operators/{}.json"),
        ),
    )
}
"""Results by name, each after those that it needs."""


def chosen(names: tuple[str, ...]) -> list[Result]:
    """Give results by name, all without a name, in the order of `RESULTS`.

    Raises
    ------
    AlphaflopsError
        If there is no such result.
    """
    if unknown := [name for name in names if name not in RESULTS]:
        raise AlphaflopsError(f"result {unknown[0]!r} is unknown: choose from {', '.join(RESULTS)}")
    return [result for result in RESULTS.values() if not names or result.name in names]
