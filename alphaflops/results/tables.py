"""The files of results: tables, and the stamps that say from which data and code each set's rows were made."""

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import pandas as pd

from .. import paths
from ..errors import AlphaflopsError
from ..files import json_bytes, read_json, sha256, write_atomic
from ..runs import datasets
from ..runs.sources import OWN
from .registry import Result

MADE: Final = "made.json"
NOT_AT_HAND: Final = "not at hand"


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
    frame = pd.DataFrame(listed or {"run": [], "status": []})
    folder().mkdir(parents=True, exist_ok=True)
    text = frame.to_csv(index=False, lineterminator="\n")
    write_atomic(folder() / f"{result.name}.csv", text.encode())
    write_atomic(folder() / MADE, json_bytes(made() | {result.name: dict(stamps)}))


def stamp(result: Result, name: str) -> str:
    """Hash what the rows of a data set rest on: three words for the data, the code, and the results that it needs."""
    beside = [paths.data_folder() / pattern.format(name) for pattern in result.beside]
    hashes = [data(known) for known in (name, *result.also)] + [sha256(path) for path in beside if path.exists()]
    needed = [found[found["run"] == name].to_csv(index=False) for found in map(table, result.needs)]
    told = (_short(hashes), code(result.code), _short(needed))
    return " ".join(told)


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
    for place in places:
        path = paths.PACKAGE / place
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
