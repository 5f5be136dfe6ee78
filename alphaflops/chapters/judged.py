"""Data sets and verdicts side by side: what is at hand, how good it is, which claims hold where."""

from collections.abc import Sequence
from typing import Any, Final

import pandas as pd

from .. import claims
from ..results import read
from ..results.makers import exponent_rows
from ..runs import Run, datasets
from ..runs.datasets import AUTHORS, OWN
from .beside import NOT_RECORDED
from .frames import SHOWN, described


def own_grid() -> list[str]:
    """Names of the bundled runs over the layers of the paper or of the replication."""
    return [name for name in datasets.bundled() if datasets.load(name).meta.get("profile") in (*SHOWN, "fine")]


def others() -> list[Run]:
    """Load the sets of layers that others timed, other than the authors', where they are at hand."""
    names = [name for name, entry in datasets.entries().items() if entry.reader not in (OWN, "paper")]
    return [datasets.load(name).ok for name in names if datasets.available(name)]


def verdicts(runs: Sequence[Run]) -> pd.DataFrame:
    """Judge every claim on every run: as kept in the results where a set is known, anew for others.

    Columns as given by `alphaflops.claims.table`.
    """
    machines = {run.id: run.machine for run in runs}
    kept = read("claims")
    kept = kept[kept["run"].isin(machines) & kept["run"].isin(datasets.names())]
    kept = kept[kept["claim"].isin([claim.id for claim in claims.CLAIMS])]
    kept = kept.assign(machine=kept["run"].map(machines))[["claim", "run", "machine", "verdict", "value", "reason"]]
    told = [claims.Verdict(*row) for row in kept.itertuples(index=False, name=None)]
    fresh = [run for run in runs if run.id not in set(kept["run"])]
    authors = datasets.authors() if fresh else None
    told += [verdict for run in fresh for verdict in claims.judge(run, authors=authors)]
    found = pd.DataFrame([claims.row(verdict) for verdict in told])
    return found.sort_values("run", key=lambda ids: ids.map(list(machines).index), kind="stable", ignore_index=True)


def columns(runs: Sequence[Run]) -> dict[str, str]:
    """Write two short lines for each run, to stand above its column."""
    return {run.id: run.id.replace("-", "\n", 1) for run in runs}


def sources() -> pd.DataFrame:
    """Describe every data set as its entry does, with the number of its layers where it is at hand."""
    known = datasets.entries()
    found = pd.DataFrame([vars(entry) for entry in known.values()])
    found = found[["name", "device", "role", "protocol", "note", "licence", "sha256"]]
    layers = [len(datasets.load(name).table) if datasets.available(name) else "not at hand" for name in known]
    found.insert(3, "layers", layers)
    return found.assign(sha256=found["sha256"].str[:12])


def quality(runs: Sequence[Run]) -> pd.DataFrame:
    """Tell how steady each measured run was: layers that settled, layers with a flag, and the sentinel."""
    return pd.DataFrame([_quality(run) for run in runs if run.meta["origin"] == "measured"])


def _quality(run: Run) -> dict[str, Any]:
    table, sentinel = run.ok.table, run.sentinel
    return {
        "run": run.id,
        "machine": described(run).machine,
        "layers": len(table),
        "settled": int(table["converged"].fillna(False).astype(bool).sum()) if "converged" in table else NOT_RECORDED,
        "with a flag": int(table["flags"].fillna("").ne("").sum()) if "flags" in table else NOT_RECORDED,
        "sentinel": sentinel.verdict,
        "sentinel moved by (%)": NOT_RECORDED if sentinel.moved is None else round(100 * sentinel.moved, 1),
    }


NAMES: Final = ("S", "K", "Cin", "Cout")
"""Dimensions that the figure shows."""


def exponents(runs: Sequence[Run]) -> pd.DataFrame:
    """Gather the exponents of time of every set in the results, and of further runs at hand.

    Returns
    -------
    DataFrame
        One row per set, dimension and kind of time: ``run, machine, label`` (machine and kind of layers), ``vendor,
        number_type, direction, variant, dimension, name, of`` ("measured" or "α-FLOPs"), ``exponent, low, high``.
    """
    kept = read("dissection")
    fresh: list[dict[str, Any]] = []
    for run in (run for run in runs if run.id not in set(kept["run"])):
        vendor = "CPU" if run.meta["device"] == "cpu" else "yours"
        fresh += exponent_rows(run, "measured", run=run.id, vendor=vendor, number_type="fp32", direction="forward")
    found = pd.concat([kept, pd.DataFrame(fresh)], ignore_index=True)
    found = found[found["dimension"].isin(NAMES)]
    known = datasets.entries()
    base = found["run"].str.partition(":")[0]
    machines = {run.id: run.machine for run in runs} | {name: entry.device for name, entry in known.items()}
    found = found.assign(
        machine=base.map(machines),
        label=[_label(name, machines[name]) for name in base],
        name=found["dimension"],
        of=found["times"].map({"measured": "measured", "alpha-published": "α-FLOPs"}),
        variant=found["number_type"] + ", " + found["direction"].str.replace("-", " to "),
    )
    order = {"NVIDIA": 0, "AMD": 1, "CPU": 3}
    return found.sort_values("vendor", key=lambda names: names.map(order).fillna(2), kind="stable", ignore_index=True)


def label_of(runs: Sequence[Run] = ()) -> dict[str, str]:
    """Name every data set, and further runs, in few words: the machine and what was timed."""
    known = {name: entry.device for name, entry in datasets.entries().items()}
    return {name: _label(name, machine) for name, machine in (known | {r.id: r.machine for r in runs}).items()}


def counted_on_gpus(claim: str) -> dict[str, int]:
    """Count the verdicts on a claim over all sets of GPUs but the authors', by verdict; those not measured left out."""
    kept = read("claims")
    gpus = [name for name, entry in datasets.entries().items() if entry.vendor != "CPU" and name != AUTHORS]
    found = kept.loc[(kept["claim"] == claim) & kept["run"].isin(gpus), "verdict"]
    return {verdict: int((found == verdict).sum()) for verdict in (claims.HOLDS, claims.IN_PART, claims.FAILS)}


def _label(run: str, machine: str) -> str:
    kinds = {"neusight-conv": "conv", "neusight-dense": "dense", "neusight-test": "dense, test", "paper": "paper"}
    kind = next((kind for start, kind in kinds.items() if run.startswith(start)), "")
    short = machine.removeprefix("NVIDIA ").removeprefix("AMD ").split(" virtual machine")[0].split("-PCIE")[0]
    threads = machine.partition("machine, ")[2].replace(" of 2 virtual cores", " core")
    return f"{short} {kind or threads.replace('virtual cores', 'cores')}".strip()
