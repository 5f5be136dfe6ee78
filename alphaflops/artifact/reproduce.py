"""Every figure, table and claim as a row that can be run again and compared with recorded values.

A row names its notebook and cell, the data it needs with their hashes, and what it computes. ``expected.json`` in the
data folder holds what came out when the row was last recorded, how long it took and how much memory; `check` computes
it anew and compares.
"""

import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .. import datasets, figures
from ..errors import AlphaflopsError
from ..paths import data_folder
from ..records import read_json, replace_file
from ..study import claims, scores

if TYPE_CHECKING:
    from ..records import Run

EXACT: Final = 1e-6
"""Largest relative difference from the recorded value, where a row only counts and divides."""
FITTED: Final = 0.02
"""The same where a row fits numbers: another library of linear algebra ends elsewhere."""
SCORED: Final = ("macs", "macs+t0", "alpha", "roofline+t0", "best")
"""Models whose held-out errors are recorded."""

Values = dict[str, float | str | None]


@dataclass(frozen=True)
class Row:
    """One thing that can be reproduced.

    Attributes
    ----------
    name : str
        What follows ``--figure``, ``--table`` or ``--claim``.
    kind : str
        ``figure``, ``table`` or ``claim``.
    title : str
        What it shows.
    notebook, cell : str
        Page of the book, and the label of the cell in it.
    values : callable
        ``(run, authors' run or None) -> numbers by name``, for one data set.
    data : callable
        Gives the names of its data sets.
    tolerance : float
        Largest relative difference from the recorded value.
    """

    name: str
    kind: str
    title: str
    notebook: str
    cell: str
    values: "Callable[[Run, Run | None], Values]"
    data: Callable[[], list[str]]
    tolerance: float = EXACT

    @property
    def command(self) -> str:
        """How to run it again."""
        return f"alphaflops reproduce --{self.kind} {self.name}"


@dataclass(frozen=True)
class Outcome:
    """What came of running a row: its key, whether it agrees, and what does not (empty where all does)."""

    key: str
    reproduced: bool
    problems: tuple[str, ...]


def sweep_values(experiment: str) -> "Callable[[Run, Run | None], Values]":
    """Give the function that counts what a figure of one experiment shows of a run."""

    def values(run: "Run", _: "Run | None") -> Values:
        if not (run.table["experiment"] == experiment).any():
            return {"layers": 0}
        return _summary(figures.sweep([run], experiment))

    return values


def _summary(frame: Any) -> Values:
    cost = frame["time_ms"] / frame["macs"]
    lines = cost.groupby(frame["line"], sort=False)
    return {
        "layers": len(frame),
        "total_ms": float(frame["time_ms"].sum()),
        "ns_per_kmac_median": float(cost.median() * 1e9),
        "slowest_over_fastest_per_mac": float((lines.max() / lines.min()).median()),
        "prediction_error_median_pct": float((frame["predicted_ms"] / frame["time_ms"] - 1).abs().median() * 100),
    }


def _equal_flops(run: "Run", _: "Run | None") -> Values:
    if not (run.table["experiment"] == "conv_fixed_progressive").any():
        return {"layers": 0}
    same = figures.equal_flops(figures.sweep([run], "conv_fixed_progressive"))
    times = {f"{line}_ms": float(ms) for line, ms in zip(same["line"], same["time_ms"], strict=True)}
    return {"layers": len(same), **times}


def _accuracy(run: "Run", _: "Run | None") -> Values:
    from ..calibrate import score

    found = score(run, "alpha-published")
    return {name: float(getattr(found, name)) for name in ("n", "mape_pct", "median_ape_pct", "r2", "spearman")}


def _parameters(run: "Run", _: "Run | None") -> Values:
    from ..calibrate import fit_model
    from ..calibrate.fitting import check_times
    from ..costs import BEST, features

    return {**fit_model(BEST, features(run.table), check_times(run.time_ms())).parameters}


def _held_out(run: "Run", _: "Run | None") -> Values:
    from ..calibrate import score

    return {f"{model}_mape_pct": score(run, model, "random", whole=False).mape_pct for model in SCORED}


def _networks(run: "Run", _: "Run | None") -> Values:
    from ..whole.comparison import comparison, traced

    found = comparison(traced(), [run.id])
    times = {f"{name}_ms": float(ms) for name, ms in zip(found["network"], found["predicted_ms"], strict=True)}
    return {"median_error_pct": 100 * float(found["error"].abs().median()), **times}


def _shown() -> list[str]:
    return [run.id for run in figures.load()]


def _references() -> list[str]:
    return [run.id for run in scores.reference_runs()]


def _scored() -> list[str]:
    return [run.id for run in scores.scored_runs()]


def _with_networks() -> list[str]:
    from ..whole.comparison import measured_networks

    return measured_networks()


def _claim_values(name: str) -> "Callable[[Run, Run | None], Values]":
    def values(run: "Run", authors: "Run | None") -> Values:
        found = next(verdict for verdict in claims.judge(run, authors=authors) if verdict.claim == name)
        return {"verdict": found.verdict, "value": found.value}

    return values


_SWEEPS = (
    (
        "1",
        "Dense against convolutional layers of equal FLOPs",
        "01_dense_against_conv",
        "fig-dense-conv",
        "conv_fixed_progressive",
    ),
    ("2a", "The kernel grows, the channels shrink", "02_kernels", "fig-kernel-channels", "conv_K_vs_C"),
    ("2b", "The kernel grows, the input shrinks", "02_kernels", "fig-kernel-size", "conv_K_vs_S"),
    ("5-width", "The input becomes wider", "04_other_dimensions", "fig-width", "increasing_W"),
    ("5-outputs", "More output channels, 3×3 kernel", "04_other_dimensions", "fig-cout", "increasing_Cout"),
    (
        "5-outputs-1x1",
        "More output channels, 1×1 kernel",
        "04_other_dimensions",
        "fig-cout-1x1",
        "increasing_Cout_with_K1",
    ),
    ("5-inputs", "More input channels", "04_other_dimensions", "fig-cin", "increasing_Cin"),
    ("6", "Dense layers against the batch", "05_batch", "fig-batch", "increasing_batch"),
)
"""Figures of the paper; 3 and 4 are 1 and 2 with the prediction, which is drawn and compared here too."""


CLAIMS_CELL: Final = ("10_claims", "fig-verdicts")
"""Page and cell in which the claims are judged."""


def rows() -> dict[str, Row]:
    """All rows by key (kind, a space, name): figures, tables, claims."""
    found = [
        Row(name, "figure", title, page, cell, sweep_values(exp), _shown) for name, title, page, cell, exp in _SWEEPS
    ]
    found += [
        Row("1a", "table", "Layers of 327.68 million FLOPs", "01_dense_against_conv", "fig-equal-flops", _equal_flops,
            _shown),
        Row("accuracy", "table", "Errors of the published formula", "00_intro", "fig-claim", _accuracy, _shown),
        Row("parameters", "table", "Numbers of the project's formula", "06_calibration", "fig-residuals-authors",
            _parameters, _scored, FITTED),
        Row("scorecard", "table", "Errors of formulas on held-out layers", "07_scorecard", "fig-scorecard", _held_out,
            _scored, FITTED),
        Row("networks", "table", "Predicted times of whole networks", "11_whole_networks", "fig-networks", _networks,
            _with_networks, FITTED),
    ]  # fmt: skip
    found += [Row(c.id, "claim", c.text, *CLAIMS_CELL, _claim_values(c.id), _references, FITTED) for c in claims.CLAIMS]
    return {f"{row.kind} {row.name}": row for row in found}


def select(figure: Sequence[str], table: Sequence[str], claim: Sequence[str], everything: bool) -> list[str]:
    """Give the keys of the rows that were asked for.

    Raises
    ------
    AlphaflopsError
        If nothing is asked for, or there is no such row.
    """
    known = rows()
    asked = [
        f"{kind} {name}" for kind, names in (("figure", figure), ("table", table), ("claim", claim)) for name in names
    ]
    for key in asked:
        if key not in known:
            kind = key.partition(" ")[0]
            choices = ", ".join(row.name for row in known.values() if row.kind == kind)
            raise AlphaflopsError(f"{key!r} is unknown: choose one of {choices}")
    if not asked and not everything:
        raise AlphaflopsError("nothing to reproduce: give --figure, --table or --claim, or --all")
    return list(known) if everything else asked


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


def _authors() -> "Run | None":
    return _load(figures.AUTHORS) if datasets.available(figures.AUTHORS) else None


def compute(key: str, data: Sequence[str]) -> dict[str, Values]:
    """Compute a row for some data sets: numbers by name, by data set.

    Raises
    ------
    AlphaflopsError
        If a data set cannot be had.
    """
    authors = _authors() if key.startswith("claim") else None
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
    from ..machine import cpu_name

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
