"""Machines, verdicts and errors side by side: how good data are, which claims hold, which formula predicts where."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import pandas as pd

from .. import claims
from ..costs import ANALYTIC, BOOSTING, OURS
from ..results import read
from ..results.makers import score_rows
from ..runs import Run, datasets
from .frames import described, devices, is_data_set

NOT_RECORDED: Final = "not recorded"
GROUPS: Final = {"development": "chosen on these machines", "judged": "judged on these machines"}
"""Roles, as this project's formula sees them; sets of other roles are in neither mean."""
SHOWN: Final = ("macs+t0", "roofline+t0", "alpha", "alpha+t0", "power", OURS.name, BOOSTING)
"""Models with a column of their own, set by set."""


def cards(runs: Sequence[Run]) -> pd.DataFrame:
    """Describe each run's machine: one row per fact, one column per run."""
    return pd.DataFrame({run.id: _card(run) for run in runs}).rename_axis("").reset_index()


def _card(run: Run) -> dict[str, str]:
    machine, software = run.meta["machine"], run.meta.get("software") or {}
    cpu, gpu = machine.get("cpu") or {}, machine.get("gpu") or {}
    on_gpu = run.meta["device"] == "cuda"
    cuda = ", ".join(str(software[name]) for name in ("cuda", "cudnn") if software.get(name))
    facts = {
        "machine": run.machine,
        "timed on": {"cuda": "GPU", "cpu": "CPU"}.get(run.meta["device"], run.meta["device"]),
        "GPU": (gpu.get("name") or run.machine) if on_gpu else "none used",
        "CPU": cpu.get("name"),
        "threads": machine.get("threads"),
        "host memory (GiB)": cpu.get("memory_gib"),
        "PyTorch": software.get("torch"),
        "CUDA, cuDNN": (cuda or None) if on_gpu else "none used",
        "system": software.get("system"),
        "layers": len(run.table),
        "timed on day": str(run.meta.get("started") or "")[:10] or None,
    }
    return {name: NOT_RECORDED if value is None else str(value) for name, value in facts.items()}


def verdicts(runs: Sequence[Run]) -> pd.DataFrame:
    """Judge every claim on every run: as kept in the results where a set is known, anew for others.

    One row per claim and run, with the columns of `alphaflops.claims.row`.
    """
    kept, authors, told = read("claims").fillna({"reason": ""}), datasets.authors(), list[claims.Verdict]()
    kept = kept[kept["claim"].isin([claim.id for claim in claims.CLAIMS])]
    for run in runs:
        rows: Any = kept[kept["run"] == run.id].to_dict("records") if is_data_set(run) else []
        recorded = [claims.Verdict(machine=run.machine, **row) for row in rows]
        told += recorded or claims.judge(run, authors=authors)
    return pd.DataFrame([claims.row(verdict) for verdict in told])


def quality(runs: Sequence[Run]) -> pd.DataFrame:
    """Tell how steady each measured run was: layers that settled, layers with a flag, and the sentinel."""
    return pd.DataFrame([_quality(run) for run in runs if run.meta["origin"] == "measured"])


def _quality(run: Run) -> dict[str, Any]:
    table, sentinel = run.ok.table, run.sentinel
    narrowed = "converged" in table and run.meta["protocol"].get("name") == "adaptive"
    return {
        "run": run.id,
        "machine": described(run).machine,
        "layers": len(table),
        "settled": int(table["converged"].fillna(False).astype(bool).sum()) if narrowed else NOT_RECORDED,
        "with a flag": int(table["flags"].fillna("").ne("").sum()) if "flags" in table else NOT_RECORDED,
        "sentinel": sentinel.verdict,
        "sentinel moved by (%)": NOT_RECORDED if sentinel.moved is None else round(100 * sentinel.moved, 1),
    }


def label_of(runs: Sequence[Run] = ()) -> dict[str, str]:
    """Name every data set, and further runs, in few words: the machine and what was timed."""
    labels = devices(runs) | {name: entry.label for name, entry in datasets.entries().items() if entry.label}
    makers = r"NVIDIA |AMD |Tesla |Instinct |Radeon |-PCIE.*| PCIe| HBM3"
    return {name: re.sub(makers, "", label) for name, label in labels.items()}


def title(model: str) -> str:
    """Name a model for readers."""
    return "boosting (learned)" if model == BOOSTING else ANALYTIC[model].title if model in ANALYTIC else model


def scores(runs: Iterable[Run] = ()) -> pd.DataFrame:
    """Give the errors of every model on every set in the results, and of the main formulas on further runs.

    Columns: ``run, role, vendor, model, parameters, cv, n, mape_pct, median_ape_pct, r2, spearman, within_20_pct``.
    """
    kept = read("scores")
    fresh = [
        {"run": run.id, **row}
        for run in runs
        if run.id not in set(kept["run"]) and run.meta.get("profile") != "fine"
        for model in SHOWN[:-1]
        for row in score_rows(run, model, ["random"], role="yours")
    ]
    return pd.concat([kept, pd.DataFrame(fresh)], ignore_index=True) if fresh else kept


def dense_only(names: Iterable[str]) -> list[str]:
    """Name those of some data sets that hold dense layers only."""
    return [name for name in names if (datasets.load(name).table["kind"] == "dense").all()]
