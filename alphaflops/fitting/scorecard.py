"""Every model on every run under every validation, computed once for given data and code."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..costs import ANALYTIC, FORMS, MODEL_NAMES, CostModel
from ..errors import AlphaflopsError
from .scoring import CV, score

if TYPE_CHECKING:
    import pandas as pd

    from ..runs import Run

VALIDATIONS: Final[tuple[CV, ...]] = (None, "random", "figure")
PACKAGE: Final = Path(__file__).parents[1]
COLUMNS: Final = (
    "run",
    "model",
    "cv",
    "n",
    "mape_pct",
    "median_ape_pct",
    "within_10_pct",
    "within_20_pct",
    "r2",
    "spearman",
    "parameters",
)
FORM_NAMES: Final = {form.name: form for form in FORMS}


@cache
def code_hash() -> str:
    """Hash of everything that decides a score besides the data: formulas, fits and library versions."""
    import numpy as np
    import scipy

    folders = (PACKAGE / "layers", PACKAGE / "costs", PACKAGE / "fitting")
    files = [file for folder in folders for file in sorted(folder.glob("*.py"))]
    digest = hashlib.sha256(f"{np.__version__} {scipy.__version__} {_sklearn_version()}".encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _sklearn_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("scikit-learn")
    except PackageNotFoundError:
        return "none"


def scorecard(
    runs: Iterable["Run"],
    models: Sequence[str] = MODEL_NAMES,
    *,
    validations: Sequence[CV] = VALIDATIONS,
    cache_folder: Path | str | None = None,
    jobs: int = 2,
    seed: int = 0,
) -> "pd.DataFrame":
    """Score models on runs under each validation.

    Parameters
    ----------
    runs : iterable of Run
        Data sets; one with a single experiment has no "figure" rows.
    models : sequence of str
        From `alphaflops.costs.MODEL_NAMES`, or names of `alphaflops.costs.FORMS`.
    validations : sequence of None, "random", "figure"
        Which validations.
    cache_folder : path, optional
        Where scores are kept by the hash of data and code; nothing is kept if left out.
    jobs : int
        Processes; 1 computes in this one.

    Returns
    -------
    DataFrame
        One row per run, model and validation with the columns `COLUMNS`; ``cv`` is "in sample", "random" or "figure",
        ``parameters`` the count of fitted numbers (None for boosting). What cannot be scored has NaN errors.

    Raises
    ------
    AlphaflopsError
        If a model is unknown, or scores cannot be kept.
    """
    import pandas as pd

    for name in models:
        if name not in MODEL_NAMES and name not in FORM_NAMES:
            raise AlphaflopsError(f"model {name!r} is unknown: choose from {', '.join((*MODEL_NAMES, *FORM_NAMES))}")
    folder = None if cache_folder is None else Path(cache_folder)
    tasks = [(run, name, cv, seed) for run in runs for name in models for cv in _possible(run, validations)]
    known = [_read(folder, task) for task in tasks]
    todo = [i for i, row in enumerate(known) if row is None]
    for i, row in zip(todo, _compute([tasks[i] for i in todo], jobs), strict=True):
        known[i] = row
        _keep(folder, tasks[i], row)
    return pd.DataFrame(known, columns=list(COLUMNS))


def _possible(run: "Run", validations: Sequence[CV]) -> list[CV]:
    single = len(set(run.ok.table["experiment"])) == 1
    return [cv for cv in validations if not (cv == "figure" and single)]


def _compute(tasks: list[tuple["Run", str, CV, int]], jobs: int) -> Iterator[dict[str, Any]]:
    # Given one by one, so that an interrupted scorecard keeps what it has.
    if jobs == 1 or len(tasks) < 2:
        yield from map(_task, tasks)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        yield from pool.map(_task, tasks, chunksize=1)


def _one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"


def _task(task: tuple["Run", str, CV, int]) -> dict[str, Any]:
    run, name, cv, seed = task
    model = FORM_NAMES[name] if name not in MODEL_NAMES else name
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= {"run": run.id, "model": name, "cv": cv or "in sample", "parameters": count(name)}
    try:
        found = score(run, model, cv, seed=seed, whole=False).as_dict()
    except AlphaflopsError:
        return row | {"n": len(run.ok.table)}
    return row | {key: found[key] for key in COLUMNS if key not in ("run", "model", "cv", "parameters")}


def count(name: str) -> int | None:
    """Count the fitted numbers of a model or form; None for boosting."""
    known: dict[str, CostModel] = ANALYTIC | FORM_NAMES
    return len(known[name].parameters) if name in known else None


def _file(folder: Path, task: tuple["Run", str, CV, int]) -> Path:
    run, name, cv, seed = task
    key = hashlib.sha256("\n".join([run.id, run.sha256, name, str(cv), str(seed), code_hash()]).encode()).hexdigest()
    return folder / f"{key[:32]}.json"


def _read(folder: Path | None, task: tuple["Run", str, CV, int]) -> dict[str, Any] | None:
    if folder is None:
        return None
    try:
        row = json.loads(_file(folder, task).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return row if isinstance(row, dict) and set(row) == set(COLUMNS) else None


def _keep(folder: Path | None, task: tuple["Run", str, CV, int], row: dict[str, Any]) -> None:
    if folder is None:
        return
    path = _file(folder, task)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}")
        partial.write_text(json.dumps(row, allow_nan=False) + "\n", "utf-8")
        partial.replace(path)
    except OSError as error:
        raise AlphaflopsError(f"{folder} cannot be written: {error.strerror}") from error
