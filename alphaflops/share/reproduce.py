"""Run the rows of `reproducible` again and compare them with recorded values.

``expected.json`` in the data folder holds the hashes of the data and what came out when a row was last recorded, how
long it took and how much memory; `check` computes it anew and compares.
"""

import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import AlphaflopsError
from ..paths import data_folder
from ..runs import datasets, read_json, replace_file
from .reproducible import Values, rows

if TYPE_CHECKING:
    from ..runs import Run


@dataclass(frozen=True)
class Outcome:
    """What came of running a row: its key, whether it agrees, and what does not (empty where all does)."""

    key: str
    reproduced: bool
    problems: tuple[str, ...]


def expected_file() -> Path:
    """File of the recorded values."""
    return data_folder() / "expected.json"


def expected() -> dict[str, Any]:
    """Read the recorded values.

    Raises
    ------
    AlphaflopsError
        If there are none, or the file is damaged.
    """
    content = read_json(expected_file())
    if not all(isinstance(content.get(key), dict) for key in ("data", "rows")):
        raise AlphaflopsError(f"{expected_file()} holds no recorded values: record them with --update")
    return content


def _load(name: str) -> "Run":
    return datasets.load(name).ok


def compute(key: str, data: Sequence[str]) -> dict[str, Values]:
    """Compute a row for some data sets: numbers by name, by data set.

    Raises
    ------
    AlphaflopsError
        If a data set cannot be had.
    """
    authors = datasets.authors() if key.startswith("claim") else None
    return {name: rows()[key].values(_load(name), authors) for name in data}


def agree(wanted: Any, found: Any, tolerance: float) -> bool:
    """Whether a value is the recorded one: texts exactly, numbers within a relative tolerance."""
    if isinstance(wanted, int | float) and isinstance(found, int | float):
        return math.isclose(wanted, found, rel_tol=tolerance, abs_tol=1e-12)
    return bool(wanted == found)


def check(key: str, recorded: Mapping[str, Any]) -> Outcome:
    """Run a row on the recorded data and compare with the recorded values.

    Parameters
    ----------
    recorded : mapping
        As given by `expected`.
    """
    if key not in recorded["rows"]:
        return Outcome(key, False, ("nothing is recorded for it",))
    problems: list[str] = []
    wanted = recorded["rows"][key]["values"]
    for name in wanted:
        try:
            if (now := _load(name).sha256) != recorded["data"][name]["sha256"]:
                problems.append(f"{name} has changed since it was recorded ({now[:12]})")
                continue
            found = compute(key, [name])[name]
        except AlphaflopsError as error:
            problems.append(f"{name} cannot be had: {error}")
            continue
        tolerance = rows()[key].tolerance
        for what in {**wanted[name], **found}:
            if not agree(wanted[name].get(what), found.get(what), tolerance):
                problems.append(f"{name}: {what} is {found.get(what)}, recorded {wanted[name].get(what)}")
    return Outcome(key, not problems, tuple(problems))


def _timed(key: str, data: Sequence[str]) -> tuple[dict[str, Values], float, float]:
    start = time.perf_counter()
    found = compute(key, data)
    return found, time.perf_counter() - start, _peak_mib()


def _peak_mib() -> float:
    try:
        import resource
    except ImportError:  # not on Windows
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _described(run: "Run") -> dict[str, Any]:
    told = {
        "sha256": run.ok.sha256,
        "machine": run.machine,
        "layers": len(run.table),
        "seconds": run.meta.get("seconds"),
    }
    if run.meta["origin"] != "measured":
        return {**told, "command": None}
    threads = f" --threads {run.meta['machine']['threads']}" if run.meta["device"] == "cpu" else ""
    command = (
        f"alphaflops measure --device {run.meta['device']}{threads} --profile {run.meta['profile']} --out {run.id}"
    )
    return {**told, "command": command}


def update() -> Path:
    """Compute every row anew, each in a process of its own, and record values, seconds and peak memory.

    Raises
    ------
    AlphaflopsError
        If a data set cannot be had or the file cannot be written.
    """
    from ..host import cpu_name

    wanted = {key: row.data() for key, row in rows().items()}
    content: dict[str, Any] = {"recorded_on": cpu_name(), "data": {}, "rows": {}}
    for name in dict.fromkeys(name for names in wanted.values() for name in names):
        content["data"][name] = _described(datasets.load(name))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for key, names in wanted.items():
            values, seconds, memory = pool.submit(_timed, key, names).result()
            content["rows"][key] = {"seconds": round(seconds, 1), "memory_mib": round(memory), "values": values}
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        replace_file(expected_file(), text.encode())
    except OSError as error:
        raise AlphaflopsError(f"{expected_file()} cannot be written: {error.strerror}") from error
    return expected_file()
