"""One machine beside the paper's: what differs between runs, as tables."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from .. import claims
from ..costs.alpha import PAPER_T2000
from ..layers import COLUMNS
from ..numbers import number
from ..runs import Run
from .frames import fitted
from .limits import CLASSES

NOT_RECORDED: Final = "not recorded"
CONSTANTS: Final = {
    "t0": "t₀ (ms)",
    "scale": "scale (ms per million MAC)",
    "beta_1": "β, K = 1",
    "gamma_1": "γ, K = 1",
    "beta_k": "β, K > 1",
    "gamma_k": "γ, K > 1",
}


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
        "memory (GiB)": cpu.get("memory_gib"),
        "PyTorch": software.get("torch"),
        "CUDA, cuDNN": (cuda or None) if on_gpu else "none used",
        "system": software.get("system"),
        "layers": len(run.table),
        "timed in": str(run.meta.get("started") or "")[:10] or None,
    }
    return {name: NOT_RECORDED if value is None else str(value) for name, value in facts.items()}


def against(run: Run, first: Run) -> pd.DataFrame:
    """Pair a run's layers with those of the first run.

    Returns
    -------
    DataFrame
        One row per layer that both hold: ``machine, class, time_ms, first_ms, ratio`` (this over the first run's time).
    """
    keys = list(COLUMNS)
    both = run.ok.table.merge(first.ok.table[[*keys, "latency_ms"]].drop_duplicates(keys), on=keys, suffixes=("", "_1"))
    kept = both[["latency_ms", "latency_ms_1"]].set_axis(["time_ms", "first_ms"], axis=1)
    return kept.assign(
        machine=run.machine,
        ratio=kept["time_ms"] / kept["first_ms"],
        **{"class": np.where((both["k1"] * both["k2"] == 1).to_numpy(), *CLASSES)},
    )


def constants(runs: Sequence[Run]) -> pd.DataFrame:
    """Fit α-FLOPs and a constant to each run, beside the published constants; blank where a run is too small."""
    published = {name: getattr(PAPER_T2000, "scale_1" if name == "scale" else name) for name in list(CONSTANTS)[1:]}
    columns: dict[str, Any] = {"published": {"t0": "none", **{name: number(v) for name, v in published.items()}}}
    for run in runs:
        columns[run.machine] = {name: number(value, 3) for name, value in fitted(run.ok).items()}
    return pd.DataFrame(columns, index=list(CONSTANTS)).rename(index=CONSTANTS).rename_axis("").reset_index()


def disagreements(judged: pd.DataFrame) -> pd.DataFrame:
    """Keep the claims on which machines differ, those that could not measure a claim left out.

    Parameters
    ----------
    judged : DataFrame
        As given by `alphaflops.chapters.judged.verdicts`.
    """
    told = judged.pivot_table("verdict", "text", "machine", aggfunc="first", sort=False)
    decided = judged[judged["verdict"] != claims.NOT_MEASURED].groupby("text")["verdict"].nunique()
    told = told[told.index.isin(decided.index[decided > 1])]
    return told.rename_axis("claim").rename_axis(None, axis=1).reset_index()
