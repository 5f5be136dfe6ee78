"""Scores that the book shows, kept in ``data/scores.json`` so that building it refits nothing.

The file names the hash of each run and of the code that scored it. What does not match is computed anew and kept in a
cache, so that a page never shows the scores of other data or other code. `refresh` rewrites the file.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .. import paths
from ..costs import BEST, MODEL_NAMES
from ..errors import AlphaflopsError
from ..fitting import calibrate, has_folds, scorecard
from ..runs import Run, datasets, replace_file
from ..runs.upstream import AUTHORS
from . import choosing, learning

if TYPE_CHECKING:
    import pandas as pd

UPSTREAM: Final = (
    AUTHORS,
    "neusight-conv-t4",
    "neusight-conv-v100",
    "neusight-dense-t4",
    "neusight-dense-v100",
)
"""Data sets of others that the scorecard shows."""
SCORED_BY: Final = ("layers/*.py", "costs/*.py", "fitting/*.py", "study/learning.py", "study/choosing.py")
"""Sources that decide a score."""
KINDS: Final = ("scores", "forms", "pulls", "learning", "coverage", "parameters")
CHOICE: Final = ("forms", "pulls")
"""Kinds that are kept for the data sets that the choice of the project's form looked at."""


def path() -> Path:
    """Give the file of the committed scores."""
    return paths.data_folder() / "scores.json"


@cache
def code_hash() -> str:
    """Hash of the sources that decide a score, by name and content."""
    files = sorted(file for pattern in SCORED_BY for file in paths.PACKAGE.glob(pattern))
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(paths.PACKAGE).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def reference_runs() -> list[Run]:
    """Load the data sets of `UPSTREAM` that can be had now and every bundled run."""
    return [datasets.load(name) for name in (*UPSTREAM, *datasets.bundled()) if datasets.available(name)]


def scored_runs() -> list[Run]:
    """Load the data sets of the scorecard: `reference_runs` without fine grids."""
    return [run for run in reference_runs() if has_folds(run)]


def stored() -> dict[str, Any]:
    """Read the committed scores; empty sections where there is no such file.

    Raises
    ------
    AlphaflopsError
        If the file is damaged.
    """
    nothing: dict[str, Any] = {"code": "", "runs": {}, **{kind: [] for kind in KINDS}}
    try:
        content = json.loads(path().read_bytes().decode("utf-8"))
    except FileNotFoundError:
        return nothing
    except (OSError, ValueError) as error:
        raise AlphaflopsError(f"{path()} cannot be read: run `alphaflops scorecard --update`") from error
    return nothing | content if isinstance(content, dict) else nothing


def stale(runs: Iterable[Run]) -> list[str]:
    """Say what in the committed scores does not match code and data: one phrase each, none if all is well."""
    known = stored()
    found = [] if known["code"] == code_hash() else ["the code that scores has changed"]
    return found + [f"run {run.id!r} is missing or has changed" for run in runs if not _same(run, known)]


def _same(run: Run, known: dict[str, Any]) -> bool:
    return bool(known["runs"].get(run.id) == run.sha256)


def of(runs: Sequence[Run], kind: str = "scores") -> "pd.DataFrame":
    """Give the scores of runs: committed ones where they match, others computed and cached.

    Parameters
    ----------
    runs : sequence of Run
        Data sets.
    kind : str
        ``scores`` (rows of `calibrate.scorecard` for every model), ``forms`` (of `choosing.form_errors`), ``pulls`` (of
        `choosing.pull_errors`), ``learning`` (of `learning.learning_curve`), ``coverage`` (of `learning.coverage`) or
        ``parameters`` (of `calibrate.calibrate` for the project's form).
    """
    import pandas as pd

    known = stored()
    fresh = True
    rows = []
    for run in runs:
        if fresh and _same(run, known):
            rows += [row for row in known[kind] if row["run"] == run.id]
        else:
            rows += _cached(kind, run)
    return pd.DataFrame(rows)


def plain_rows(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Give the rows of a frame by column name, None for what is not known: what JSON can hold."""
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def held_out_mape(run: Run, model: str) -> float:
    """Mean error (%) of a model on five held-out folds of a run, committed or computed and cached; NaN if unknown."""
    known = stored()
    if _same(run, known):
        rows = [row for row in known["scores"] if (row["run"], row["model"], row["cv"]) == (run.id, model, "random")]
        found = rows[0]["mape_pct"]
    else:
        kept = scorecard([run], [model], validations=["random"], cache_folder=cache_folder(), jobs=1)
        found = kept["mape_pct"].iloc[0]
    return float("nan") if found is None else float(found)


def cache_folder() -> Path:
    """Folder of computed scores: in ``_build`` of the checkout, or the user's cache."""
    if paths.in_checkout():
        return paths.CHECKOUT / "_build" / "cache"
    import pooch

    return Path(os.environ.get("ALPHAFLOPS_CACHE") or pooch.os_cache("alphaflops")) / "scores"


def refresh(*, jobs: int = 2) -> Path:
    """Compute the scores of `scored_runs` and rewrite the committed file.

    Learning curves, coverage and fitted numbers are kept for the authors' data and our own runs.

    Parameters
    ----------
    jobs : int
        Processes.

    Raises
    ------
    AlphaflopsError
        If an upstream data set cannot be had, or the file cannot be written; then nothing is changed.
    """
    runs = [run for name in (*UPSTREAM, *datasets.bundled()) if has_folds(run := datasets.load(name))]
    hashes = {run.id: run.sha256 for run in runs}
    content: dict[str, Any] = {"code": code_hash(), "runs": hashes, "versions": _versions()}
    content["scores"] = plain_rows(_card(runs, jobs))
    tasks = [(kind, run) for kind in KINDS[1:] for run in runs if _kept(kind, run)]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(_cached, *zip(*tasks, strict=True), chunksize=1))
    for kind in KINDS[1:]:
        content[kind] = [row for (k, _), rows in zip(tasks, found, strict=True) if k == kind for row in rows]
    replace_file(path(), (_dump(content) + "\n").encode())
    return path()


def _kept(kind: str, run: Run) -> bool:
    own = run.id == AUTHORS or run.meta["origin"] == "measured"
    return run.id in choosing.CHOSEN_ON if kind in CHOICE else own or kind == "coverage"


def _dump(content: dict[str, Any]) -> str:
    # One row per line: diffs stay readable.
    parts = [f" {json.dumps(key)}: {_dump_value(value)}" for key, value in content.items()]
    return "{\n" + ",\n".join(parts) + "\n}"


def _dump_value(value: Any) -> str:
    if isinstance(value, list):
        return "[\n" + ",\n".join(f"  {json.dumps(row, allow_nan=False)}" for row in value) + "\n ]"
    return json.dumps(value, allow_nan=False)


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("numpy", "scipy", "scikit-learn")}


def _cached(kind: str, run: Run) -> list[dict[str, Any]]:
    key = hashlib.sha256("\n".join([kind, run.id, run.sha256, code_hash()]).encode()).hexdigest()
    file = cache_folder() / f"{kind}-{key[:24]}.json"
    try:
        return list(json.loads(file.read_text("utf-8")))
    except (OSError, ValueError):
        rows = _COMPUTE[kind](run)
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file, json.dumps(rows, allow_nan=False).encode())
    return rows


def _card(runs: Sequence[Run], jobs: int) -> "pd.DataFrame":
    return scorecard(runs, MODEL_NAMES, cache_folder=cache_folder(), jobs=jobs)


def _scores(run: Run) -> list[dict[str, Any]]:
    return plain_rows(_card([run], 2))


def _coverage(run: Run) -> list[dict[str, Any]]:
    try:
        return learning.coverage(run)
    except AlphaflopsError:  # a smoke run has too few layers for halves
        return []


def _parameters(run: Run) -> list[dict[str, Any]]:
    found = calibrate(run, BEST.name)
    return [{"run": run.id, "parameter": name, **entry} for name, entry in found.parameters.items()]


_COMPUTE: Final[dict[str, Callable[[Run], list[dict[str, Any]]]]] = {
    "scores": _scores,
    "forms": choosing.form_errors,
    "pulls": choosing.pull_errors,
    "learning": learning.learning_curve,
    "coverage": _coverage,
    "parameters": _parameters,
}
