"""Compute what is stale, and compare recorded results with what the data and the code give now."""

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, Final

from .. import paths
from ..files import write_atomic
from ..runs import datasets
from . import tables
from .makers import FILE, plain_rows
from .registry import RESULTS, Result, chosen

Rows = dict[str, list[dict[str, Any]]]
Map = Callable[..., Iterable[list[dict[str, Any]]]]
FEW: Final = 6
"""Data sets that are listed by name."""


def stale(names: Sequence[str] = ()) -> dict[str, dict[str, str]]:
    """Say which rows are stale and why: reasons by data set by result; sets that are not at hand are left out."""
    made = tables.made()
    found = {}
    for result in chosen(tuple(names)):
        known = made.get(result.name, {})
        reasons = {name: _reason(result, name, known) for name in result.sets() if datasets.available(name)}
        found[result.name] = {name: reason for name, reason in reasons.items() if reason}
    return found


def _reason(result: Result, name: str, known: dict[str, tables.Stamp]) -> str:
    if name not in known:
        return "not made before"
    now = tables.stamp(result, name)
    words = {"data": "the data changed", "code": "the code changed", "needs": f"{', '.join(result.needs)} changed"}
    return ", ".join(word for key, word in words.items() if known[name][key] != now[key])


def refresh(names: Sequence[str] = (), *, jobs: int = 2) -> Iterator[str]:
    """Compute what is stale and write it; say what is done and why, line by line.

    Parameters
    ----------
    names : sequence of str
        Results; all without a name. What they need is made first.
    jobs : int
        Processes; 1 computes in this one.

    Raises
    ------
    AlphaflopsError
        If a result is unknown, a set cannot be read, or a file cannot be written.
    """
    wanted = {result.name for result in chosen(tuple(names))}
    wanted |= {need for name in wanted for need in RESULTS[name].needs}
    with _workers(jobs) as run:
        for result in RESULTS.values():
            if result.name in wanted:
                yield from _renew(result, run)


@contextmanager
def _workers(jobs: int) -> Iterator[Map]:
    if jobs == 1:
        yield map
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        yield pool.map


def _one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"


def _renew(result: Result, run: Map) -> Iterator[str]:
    reasons, start = stale([result.name])[result.name], time.perf_counter()
    every, known = result.sets(), tables.made().get(result.name, {})
    gone = [name for name in known if name not in every]
    lacking = [name for name in every if not datasets.available(name)]
    listed = set(tables.table(result.name)["run"])
    if not reasons and not gone and listed >= {*lacking}:
        yield f"{result.name}: up to date"
        return
    for reason in dict.fromkeys(reasons.values()):
        concerned = [name for name, why in reasons.items() if why == reason]
        yield f"{result.name}: {reason}: {_listed(concerned)}"
    fresh = _computed(result, list(reasons), run)
    for row in (row for group in fresh.values() for row in group):
        if FILE in row:
            path, text = row.pop(FILE)
            (paths.data_folder() / path).parent.mkdir(parents=True, exist_ok=True)
            write_atomic(paths.data_folder() / path, text.encode())
    rows = _recorded(result.name) | fresh
    stamps = known | {name: tables.stamp(result, name) for name in reasons}
    for name in lacking:
        if name not in known:
            rows[name] = [{"status": tables.NOT_AT_HAND}]
    kept = {name: rows[name] for name in every if name in rows}
    tables.write(result, kept, {name: stamps[name] for name in every if name in stamps})
    code = tables.code(result.code)
    older = [name for name in lacking if name in known and known[name]["code"] != code]
    for words, names in (("not at hand", [n for n in lacking if n not in known]), ("kept from older code", older)):
        if names:
            yield f"{result.name}: {words}: {_listed(names)}"
    yield f"{result.name}: {sum(map(len, kept.values()))} rows of {len(kept)} sets, {time.perf_counter() - start:.0f} s"


def _listed(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= FEW else f"{', '.join(names[:FEW])} and {len(names) - FEW} more"


def _recorded(name: str) -> Rows:
    found = tables.table(name)
    plain = found.astype(object).where(found.notna(), None)
    groups = plain.groupby("run", sort=False)
    return {str(run): plain_rows(group.drop(columns="run")) for run, group in groups}


def _computed(result: Result, names: Iterable[str], run: Map) -> Rows:
    found: Rows = {name: [] for name in names}
    tasks = [(result.name, name, part) for name in found for part in result.parts]
    for (_, name, _), rows in zip(tasks, run(_task, tasks), strict=True):
        found[name] += rows
    return found


def _task(task: tuple[str, str, str]) -> list[dict[str, Any]]:
    name, run, part = task
    result = RESULTS[name]
    return [{key: _rounded(value, result.digits) for key, value in row.items()} for row in result.rows(run, part)]


def _rounded(value: Any, digits: int) -> Any:
    if not isinstance(value, float):
        return value
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def check(names: Sequence[str] = (), *, jobs: int = 2) -> list[str]:
    """Compute results again and say what differs from what is recorded, one line a number; nothing is written.

    Parameters
    ----------
    names : sequence of str
        Results; all without a name.
    jobs : int
        Processes.
    """
    told = []
    made = tables.made()
    with _workers(jobs) as run:
        for result in chosen(tuple(names)):
            known, recorded = made.get(result.name, {}), _recorded(result.name)
            here = [name for name in result.sets() if datasets.available(name)]
            changed = [name for name in here if name not in known or known[name]["data"] != _now(result, name)]
            told += [f"{result.name}: {name} is not recorded, or has changed since it was" for name in changed]
            found = _computed(result, [name for name in here if name not in changed], run)
            for name, rows in found.items():
                told += _differences(result, name, recorded.get(name, []), rows)
    return told


def _now(result: Result, name: str) -> str:
    return tables.stamp(result, name)["data"]


def _differences(result: Result, name: str, recorded: list[dict[str, Any]], found: list[dict[str, Any]]) -> list[str]:
    if len(recorded) != len(found):
        return [f"{result.name}: {name} has {len(found)} rows, recorded {len(recorded)}"]
    told = []
    for old, new in zip(recorded, found, strict=True):
        new.pop(FILE, None)
        words = [str(value) for value in new.values() if isinstance(value, str) and value]
        for key, value in new.items():
            if not _agree(old.get(key), value, result.tolerance):
                told.append(
                    f"{result.name}: {', '.join([name, *words[:3]])}: {key} is {value}, recorded {old.get(key)}"
                )
    return told


def _agree(wanted: Any, found: Any, tolerance: float) -> bool:
    numbers = [value for value in (wanted, found) if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == 2:
        return math.isclose(*numbers, rel_tol=tolerance, abs_tol=1e-12)
    return str(wanted or "") == str(found or "")
