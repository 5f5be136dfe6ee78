"""What results there are, and their files: tables, and stamps that say which data and code each set's rows rest on."""

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import pandas as pd

from .. import paths
from ..costs import MODEL_NAMES
from ..errors import AlphaflopsError
from ..files import json_bytes, read_json, sha256, write_atomic
from ..runs import datasets
from ..runs.datasets import AUTHORS, OWN
from . import makers

MADE: Final = "made.json"
NOT_AT_HAND: Final = "not at hand"
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
    """Name the data sets whose layers can be held out: all but fine grids and the few layers of a run of joules."""
    left_out = {name for name, meta in datasets.metas().items() if meta.get("profile") == "fine" or meta.get("energy")}
    return [name for name in datasets.names() if name not in left_out]


def networks() -> list[str]:
    """Name the runs for whose machine operators and networks were measured too."""
    from ..prediction.machine import measured_networks  # which loads torch

    return measured_networks()


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
        Result("operators", makers.operators, networks, (*BASE, "prediction"), needs=("calibrations",),
            beside=("operators/{}.json",)),
        Result("claims", makers.claims, datasets.names, (*BASE, "claims"), needs=("scores",), also=(AUTHORS,)),
        Result("figures", makers.figures, shown, digits=6, tolerance=1e-5),
        Result("networks", makers.networks, networks, (*BASE, "network", "prediction"), needs=("operators",),
            beside=("networks/{}.csv", "operators/{}.json")),
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


def folder() -> Path:
    """Folder of the results."""
    return paths.data_folder() / "results"


def table(name: str) -> pd.DataFrame:
    """Read a file of results as it is, rows of sets that were not at hand included; empty where there is none."""
    try:
        return pd.read_csv(folder() / f"{name}.csv", keep_default_na=False, na_values=[""])
    except FileNotFoundError:
        return pd.DataFrame({"run": [], "status": []}, dtype=str)
    except ValueError as error:
        raise AlphaflopsError(f"{folder() / name}.csv is no table of results: `alphaflops refresh {name}`") from error


def read(name: str) -> pd.DataFrame:
    """Read recorded results; sets that were not at hand have no rows (`absent` names them).

    Raises
    ------
    AlphaflopsError
        If the file is damaged.
    """
    found = table(name)
    return found[found["status"] != NOT_AT_HAND].drop(columns="status").reset_index(drop=True)


def absent(name: str) -> list[str]:
    """Name the data sets of a result that were not at hand when it was made."""
    found = table(name)
    return found.loc[found["status"] == NOT_AT_HAND, "run"].tolist()


def made() -> dict[str, dict[str, str]]:
    """Read the stamps by result and data set."""
    path = folder() / MADE
    return read_json(path) if path.exists() else {}


def write(result: Result, rows: Mapping[str, list[dict[str, Any]]], stamps: Mapping[str, str]) -> None:
    """Write a table, one data set after the other, and its stamps."""
    listed = [{"run": name, "status": "", **row} for name, group in rows.items() for row in group]
    folder().mkdir(parents=True, exist_ok=True)
    text = pd.DataFrame(listed or {"run": [], "status": []}).to_csv(index=False, lineterminator="\n")
    write_atomic(folder() / f"{result.name}.csv", text.encode())
    write_atomic(folder() / MADE, json_bytes(made() | {result.name: dict(stamps)}))


def stamp(result: Result, name: str) -> str:
    """Hash what the rows of a data set rest on: three words for the data, the code, and the results that it needs."""
    beside = [paths.data_folder() / pattern.format(name) for pattern in result.beside]
    hashes = [data(known) for known in (name, *result.also)] + [sha256(path) for path in beside if path.exists()]
    needed = [found[found["run"] == name].to_csv(index=False) for found in map(table, result.needs)]
    return " ".join([_short(hashes), code(result.code), _short(needed)])


def data(name: str) -> str:
    """Hash a data set."""
    entry = datasets.entries()[name.partition(":")[0]]
    return datasets.load(name).sha256 if entry.reader == OWN else f"{name} {entry.sha256} {dict(entry.where)}"


def _short(texts: list[str]) -> str:
    return sha256("\n".join(texts).encode())[:16]


@cache
def code(places: tuple[str, ...]) -> str:
    """Hash what packages and modules do: their syntax without comments and docstrings, whatever Python reads it."""
    found = []
    for path in map(paths.PACKAGE.joinpath, places):
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            tree = ast.parse(file.read_text(encoding="utf-8"))
            found.append(f"{file.relative_to(paths.PACKAGE).as_posix()} {_plain(tree)!r}")
    return _short(found)


def _plain(node: Any) -> Any:
    if isinstance(node, list):
        return [_plain(one) for one in node if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]
    if not isinstance(node, ast.AST):
        return node
    fields = [(name, _plain(value)) for name, value in ast.iter_fields(node) if name != "kind"]
    return type(node).__name__, [field for field in fields if field[1] not in (None, [])]
