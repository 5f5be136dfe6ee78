"""Every number that the book shows and compares, in ``data/results/NAME.csv``, made anew where data or code changed.

`read` gives a table, `refresh` computes what is stale, `check` computes again and says what differs.
"""

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, Final
from unittest.mock import patch

from .. import paths
from ..files import write_atomic
from ..measuring.session import interruptible
from ..runs import datasets
from . import tables
from .makers import FILE, Rows
from .tables import RESULTS, Result, absent, chosen, read

__all__ = ["RESULTS", "absent", "check", "read", "refresh", "stale"]

Map = Callable[..., Iterable[Rows]]
WHY: Final = ("the data changed", "the code changed", "{needs} changed")
"""What another word of a stamp says."""
FEW: Final = 6
"""Data sets that are listed by name."""


def stale(names: Sequence[str] = ()) -> dict[str, dict[str, str]]:
    """Say which rows are stale and why: reasons by data set by result; sets that are not at hand are left out."""
    return {result.name: _reasons(result) for result in chosen(names)}


def _reasons(result: Result) -> dict[str, str]:
    known = tables.made().get(result.name, {})
    told = {name: _reason(result, name, known.get(name)) for name in result.sets() if datasets.available(name)}
    return {name: reason for name, reason in told.items() if reason}


def _reason(result: Result, name: str, known: str | None) -> str:
    if known is None:
        return "not made before"
    pairs = zip(known.split(), tables.stamp(result, name).split(), WHY, strict=True)
    return ", ".join(why for old, new, why in pairs if old != new).format(needs=", ".join(result.needs))


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
    wanted = {needed for result in chosen(names) for needed in (result.name, *result.needs)}
    with _workers(jobs) as run:
        for result in RESULTS.values():
            if result.name in wanted:
                yield from _renew(result, run)


@contextmanager
def _workers(jobs: int) -> Iterator[Map]:
    if jobs == 1:
        yield map
        return
    # Inherited: a worker that sets it itself has loaded OpenMP already.
    # A process that a signal ends at once would leave its workers behind.
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))
    with patch.dict(os.environ, OMP_NUM_THREADS="1"), interruptible(), pool:
        yield pool.map


def _renew(result: Result, run: Map) -> Iterator[str]:
    reasons, start = _reasons(result), time.perf_counter()
    every, known = result.sets(), tables.made().get(result.name, {})
    lacking = [name for name in every if not datasets.available(name)]
    if not reasons and {*tables.table(result.name)["run"], *known} == {*every}:
        yield f"{result.name}: up to date"
        return
    for reason in dict.fromkeys(reasons.values()):
        yield f"{result.name}: {reason}: {_listed([name for name in reasons if reasons[name] == reason])}"
    rows: dict[str, Rows] = {name: [{"status": tables.NOT_AT_HAND}] for name in lacking if name not in known}
    rows = _recorded(result) | rows | _computed(result, reasons, run)
    for row in (row for name in reasons for row in rows[name] if FILE in row):
        path, text = row.pop(FILE)
        write_atomic(paths.data_folder() / path, text.encode())
    stamps = known | {name: tables.stamp(result, name) for name in reasons}
    kept = {name: rows[name] for name in every if name in rows}
    tables.write(result, kept, {name: stamps[name] for name in every if name in stamps})
    code = tables.code(result.code)
    older = [name for name in lacking if name in known and code not in known[name]]
    for words, names in (("not at hand", [n for n in lacking if n not in known]), ("kept from older code", older)):
        if names:
            yield f"{result.name}: {words}: {_listed(names)}"
    yield f"{result.name}: {sum(map(len, kept.values()))} rows of {len(kept)} sets, {time.perf_counter() - start:.0f} s"


def _listed(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= FEW else f"{', '.join(names[:FEW])} and {len(names) - FEW} more"


def _recorded(result: Result) -> dict[str, Rows]:
    found: Any = tables.table(result.name)
    groups = found.astype(object).where(found.notna(), None).groupby("run", sort=False)
    return {str(run): group.drop(columns="run").to_dict("records") for run, group in groups}


def _computed(result: Result, names: Iterable[str], run: Map) -> dict[str, Rows]:
    found: dict[str, Rows] = {name: [] for name in names}
    tasks = [(result.name, name, part) for name in found for part in result.parts]
    for (_, name, _), rows in zip(tasks, run(_task, tasks), strict=True):
        found[name] += rows
    return found


def _task(task: tuple[str, str, str]) -> Rows:
    result = RESULTS[task[0]]
    return [{key: _rounded(value, result.digits) for key, value in row.items()} for row in result.make(*task[1:])]


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
    with _workers(jobs) as run:
        for result in chosen(names):
            known, recorded = tables.made().get(result.name, {}), _recorded(result)
            here = {name: tables.stamp(result, name).split()[0] for name in result.sets() if datasets.available(name)}
            same = [name for name, word in here.items() if known.get(name, "").startswith(word)]
            told += [f"{result.name}: {n} is not recorded, or has changed since it was" for n in here if n not in same]
            for name, rows in _computed(result, same, run).items():
                told += _differences(result, name, recorded.get(name, []), rows)
    return told


def _differences(result: Result, name: str, recorded: Rows, found: Rows) -> list[str]:
    if len(recorded) != len(found):
        return [f"{result.name}: {name} has {len(found)} rows, recorded {len(recorded)}"]
    told = []
    for old, new in zip(recorded, found, strict=True):
        words = [name, *(value for value in new.values() if isinstance(value, str) and value)]
        odd = [key for key in new if key != FILE and not _agree(old.get(key), new[key], result.tolerance)]
        told += [f"{result.name}: {', '.join(words[:5])}: {key} is {new[key]}, recorded {old.get(key)}" for key in odd]
    return told


def _agree(wanted: Any, found: Any, tolerance: float) -> bool:
    if isinstance(wanted, int | float) and isinstance(found, int | float):
        return math.isclose(wanted, found, rel_tol=tolerance, abs_tol=1e-12)
    return str(wanted or "") == str(found or "")
