"""One machine beside the paper's: what differs between runs, as tables that the book and the report page show.

Every function takes runs whose rows without a time are left out already (`figures.load`) and gives a frame with one
row, or one column, per run. `UNKNOWN` stands where a run does not tell.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from .. import figures
from ..costs.alpha import PAPER_T2000, REPLICATION_RTX4090, AlphaConstants
from ..errors import AlphaflopsError
from ..figures import machines, reference_runs
from ..fitting import calibrate
from ..runs.upstream import AUTHORS
from ..study import claims, findings
from ..study.comparison import time_ratio
from ..study.evidence import ErrorOf
from ..study.scores import held_out_mape

if TYPE_CHECKING:
    import pandas as pd

    from ..fitting import Calibration
    from ..runs import Run

UNKNOWN: Final = "not recorded"
TOO_FEW: Final = "too few layers"
FITTED: Final = ("macs+t0", "alpha")
"""Models whose fitted numbers are compared."""
TRUSTED: Final = 0.5
"""Share of layers that must have reached the wanted precision for a run to be shown without a warning."""
Fits: TypeAlias = "Mapping[str, Mapping[str, Calibration | None]]"
CONSTANTS: Final = ("scale", "beta_1", "gamma_1", "beta_k", "gamma_k")
"""Fitted numbers of α-FLOPs, by their names in the model."""
SYMBOLS: Final = {
    "scale": "ms per million MAC",
    "beta_1": "β, K = 1",
    "gamma_1": "γ, K = 1",
    "beta_k": "β, K > 1",
    "gamma_k": "γ, K > 1",
}


def own_runs(runs: Iterable["Run"]) -> list["Run"]:
    """Pick the runs that are neither the authors' nor bundled references: the reader's."""
    known = {AUTHORS, *reference_runs()}
    return [run for run in runs if run.id not in known]


def introduction(runs: Sequence["Run"]) -> str:
    """Say whose machine is shown, how fast it is beside the first run's, and how far its times can be trusted."""
    names, own = machines(runs), own_runs(runs)
    if own:
        return "\n\n".join(_introduced(run, runs[0], names) for run in own)
    return (
        "No further machine was given to this book, so it shows the runs that come with it. `make rerun` measures "
        "yours and puts it here."
    )


def _introduced(run: "Run", first: "Run", names: Mapping[str, str]) -> str:
    ratio, shared = time_ratio(run, first)
    told = [f"Shown as yours: **{names[run.id].removeprefix('your ')}**, `{run.id}`."]
    if ratio is not None:
        told.append(f"It takes {findings.number(ratio)} times as long as {names[first.id]}, median of {shared} layers.")
    return " ".join([*told, *cautions(run)])


def cautions(run: "Run") -> list[str]:
    """Say why a run's times should not be relied on: it is a trial on few layers, or few of them settled."""
    told, n = [], len(run.table)
    if run.meta.get("profile") in ("smoke", "quick"):
        told.append(f"This is a trial on {n} layers: `make rerun PROFILE=paper` times all of the paper's.")
    if "converged" in run.table and _settled(run) < TRUSTED * n:
        told.append(
            f"{_settled(run) or 'None'} of {n} layers reached the wanted precision: close other programs and measure "
            "again before you draw conclusions."
        )
    return told


def _settled(run: "Run") -> int:
    return int(run.table["converged"].fillna(False).astype(bool).sum()) if "converged" in run.table else 0


def machine_cards(runs: Sequence["Run"]) -> "pd.DataFrame":
    """Describe each run's machine: one row per fact, one column per run."""
    import pandas as pd

    return pd.DataFrame({run.id: _card(run) for run in runs}).rename_axis("").reset_index()


def _card(run: "Run") -> dict[str, str]:
    machine, software = run.meta["machine"], run.meta.get("software") or {}
    cpu, gpu = machine.get("cpu") or {}, machine.get("gpu") or {}
    facts = {
        "machine": run.machine,
        "timed on": {"cuda": "GPU", "cpu": "CPU"}.get(run.meta["device"], run.meta["device"]),
        "GPU": gpu.get("name") or (run.machine if run.meta["device"] == "cuda" else "none used"),
        "CPU": cpu.get("name"),
        "threads": machine.get("threads"),
        "memory (GiB)": cpu.get("memory_gib"),
        "PyTorch": software.get("torch"),
        "CUDA, cuDNN": _pair(software, run.meta["device"]),
        "system": software.get("system"),
        "protocol": run.meta["protocol"].get("name"),
        "layers": len(run.table),
        "measured on": str(run.meta.get("started") or "")[:10] or None,
    }
    return {name: UNKNOWN if value is None else str(value) for name, value in facts.items()}


def _pair(software: dict[str, Any], device: str) -> str | None:
    if device == "cpu":
        return "none used"
    known = [str(software[name]) for name in ("cuda", "cudnn") if software.get(name)]
    return ", ".join(known) or None


def fits(runs: Iterable["Run"]) -> Fits:
    """Fit `FITTED` to each run: ``run id -> model -> calibration``, None where a run has too few layers."""
    return {run.id: {model: _fitted(run, model) for model in FITTED} for run in runs}


def _fitted(run: "Run", model: str) -> "Calibration | None":
    try:
        return calibrate(run, model)
    except AlphaflopsError:  # a smoke run has too few layers
        return None


def overheads(runs: Sequence["Run"], fitted: Fits) -> "pd.DataFrame":
    """Compare what a call costs before any work is done; `fitted` from `fits`.

    Returns
    -------
    DataFrame
        Per run: the constant of ``macs+t0`` with its interval, the median difference of latency and throughput, and the
        fastest layer (all ms, as text).
    """
    import pandas as pd

    return pd.DataFrame([{"run": run.id, **_overhead(run, fitted[run.id]["macs+t0"])} for run in runs])


def _overhead(run: "Run", fitted: "Calibration | None") -> dict[str, str]:
    t0 = _with_interval(fitted.parameters["t0"]) if fitted else TOO_FEW
    gap = UNKNOWN
    if "throughput_ms" in run.table:
        differences = (run.table["latency_ms"] - run.table["throughput_ms"]).dropna()
        gap = findings.number(float(differences.median())) if len(differences) else UNKNOWN
    return {
        "t0 fitted (ms)": t0,
        "latency − throughput, median (ms)": gap,
        "fastest layer (ms)": findings.number(float(run.table["latency_ms"].min())),
    }


def constants(runs: Sequence["Run"], fitted: Fits) -> "pd.DataFrame":
    """Compare α-FLOPs refitted to each run with the published constants; `fitted` from `fits`.

    Returns
    -------
    DataFrame
        Columns: the constant, both published sets, and per run the fitted value with its 90 % interval.
    """
    import pandas as pd

    columns: dict[str, Callable[[str], str]] = {
        "published, T2000": lambda name: _published(PAPER_T2000, name),
        "replication, RTX 4090": lambda name: _published(REPLICATION_RTX4090, name),
    }
    rows = {SYMBOLS[name]: {title: give(name) for title, give in columns.items()} for name in CONSTANTS}
    for run in runs:
        found = fitted[run.id]["alpha"]
        for name in CONSTANTS:
            rows[SYMBOLS[name]][run.id] = _with_interval(found.parameters[name]) if found else TOO_FEW
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("constant").reset_index()


def _published(source: AlphaConstants, name: str) -> str:
    if name != "scale":
        return f"{getattr(source, name):.3g}"
    one, large = f"{source.scale_1:.3g}", f"{source.scale_k:.3g}"
    return one if one == large else f"{one} (K = 1), {large} (K > 1)"


def _with_interval(entry: Any) -> str:
    return f"{findings.number(entry['value'])} ({findings.between((entry['low'], entry['high']))})"


def verdicts(runs: Sequence["Run"], *, error_of: ErrorOf = held_out_mape) -> "pd.DataFrame":
    """Give each claim's verdict per run: columns ``claim`` (its sentence), then one per run."""
    import pandas as pd

    judged = claims.table(runs, error_of=error_of)
    order = list(dict.fromkeys(judged["text"]))
    columns = {run.id: judged[judged["run"] == run.id].set_index("text")["verdict"] for run in runs}
    return pd.DataFrame(columns).loc[order].rename_axis("claim").reset_index()


def changed(told: "pd.DataFrame") -> "pd.DataFrame":
    """Keep the claims on which machines disagree, those that could not measure a claim left out."""
    answers = told.drop(columns="claim").to_numpy()
    differ = [len({answer for answer in row if answer != claims.NOT_MEASURED}) > 1 for row in answers]
    return told[differ].reset_index(drop=True)


def disagreement(told: "pd.DataFrame") -> str:
    """Write the claims on which machines disagree as a table, or that there is none; `told` from `verdicts`."""
    differing = changed(told)
    if not len(differing):
        return "The machines agree on every claim that more than one of them could measure."
    return figures.table(
        differing, "Verdict of each claim that does not come out alike everywhere.", "tab-disagreement", wide=True
    )


def lessons(runs: Sequence["Run"], told: "pd.DataFrame", fitted: Fits) -> list[str]:
    """Sum up the page: agreement on the claims, and the refitted curve at large S against the published one.

    Parameters
    ----------
    runs : sequence of Run
        As for the other tables.
    told : DataFrame
        As given by `verdicts`.
    fitted : dict
        As given by `fits`.
    """
    names, compared = machines(runs), (told.drop(columns="claim") != claims.NOT_MEASURED).sum(axis=1)
    several, differ = int((compared > 1).sum()), len(changed(told))
    said = [f"Of {several} claims that more than one machine could measure, {differ} do not come out alike."]
    for run in runs:
        if (found := fitted[run.id]["alpha"]) is not None:
            one, large = (findings.number(100 * _limit(found, kernel)) for kernel in ("1", "k"))
            said.append(
                f"**{names[run.id]}**: with many positions, a MAC of a 1×1 layer costs {one} % of what it costs with "
                f"one position, a MAC of a larger kernel {large} % (refitted β to the power γ)."
            )
    return said


def _limit(fitted: "Calibration", kernel: str) -> float:
    beta, gamma = (float(fitted.parameters[f"{name}_{kernel}"]["value"]) for name in ("beta", "gamma"))
    return float(beta**gamma)


def quality(runs: Sequence["Run"]) -> list[str]:
    """Say for each run how steady the machine was and how many rows carry a doubt."""
    return [f"**{run.id}**: {_quality(run)}" for run in runs]


def _quality(run: "Run") -> str:
    table, sentinel = run.table, run.meta.get("sentinel") or {}
    if run.meta["origin"] != "measured":
        return "taken as published; drift, convergence and spread are not recorded."
    settled = _settled(run)
    flagged = int(table["flags"].fillna("").ne("").sum()) if "flags" in table else 0
    told = f"{settled} of {len(table)} layers reached the wanted precision, {flagged} carry a flag."
    if sentinel.get("moved") is None:
        return f"{told} Too few sentinel readings to tell drift."
    return (
        f"{told} The sentinel layer was timed {sentinel['readings']} times: {sentinel['verdict']}, its time moved by "
        f"{findings.number(100 * sentinel['moved'])} % from the first to the last third and spread over "
        f"{findings.number(100 * sentinel['spread'])} %."
    )
