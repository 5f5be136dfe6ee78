"""Joules of whole networks: the same cost formulas, fitted to what an energy run measured.

A formula in milliseconds becomes one in millijoules when its times are replaced by energies; each rate then counts per
joule instead of per second. Nothing is derived from a rated power.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from ..costs import OURS
from ..errors import AlphaflopsError
from ..fitting import Calibration, fit

if TYPE_CHECKING:
    from ..runs import Run

ENERGY: Final = "energy"
"""Quantity of a calibration that predicts millijoules."""


def joules_file(run_id: str) -> str:
    """Name of the file of the calibration with the joules of a machine, from the id of its run."""
    return f"{run_id.removesuffix('-energy')}-joules.json"


def calibrate_energy(run: "Run", name: str = OURS.name, *, seed: int = 0, draws: int = 200) -> Calibration:
    """Fit a cost formula to the net energy per call of each layer.

    Parameters
    ----------
    run : Run
        A run made with ``alphaflops measure --energy``; rows without a positive ``energy_j`` are left out.
    name : str
        One of `alphaflops.costs.MODEL_NAMES`.
    seed, draws : int
        As in `alphaflops.fitting.fit`.

    Returns
    -------
    Calibration
        Its ``predicted_ms`` are millijoules; ``run["quantity"]`` is `ENERGY`.

    Raises
    ------
    AlphaflopsError
        If the run has no joules; the reason that it recorded is in the message.
    """
    from ..runs import Run

    table = run.ok.table
    joules = table["energy_j"].to_numpy(dtype=np.float64) if "energy_j" in table else np.full(len(table), np.nan)
    known = np.isfinite(joules) & (joules > 0)
    if not known.any():
        reasons = set(table["energy_source"]) if "energy_source" in table else {"it measured times only"}
        raise AlphaflopsError(
            f"run {run.id!r} has no joules ({', '.join(sorted(reasons))}): make one with `alphaflops measure --energy`"
        )
    kept = table[known].assign(latency_ms=1e3 * joules[known])
    found = fit(Run(run.meta, kept), name, seed=seed, draws=draws)
    parameters = {key: {**entry, "unit": _per_joule(str(entry["unit"]))} for key, entry in found.parameters.items()}
    origin = {**found.run, "quantity": ENERGY, "sha256": run.sha256}
    return replace(found, run=origin, parameters=parameters)


def _per_joule(unit: str) -> str:
    return f"mJ{unit[2:]}" if unit.startswith("ms") else f"{unit[:-1]}J" if unit.endswith("/s") else unit


def default_energy(folder: Path, calibration: Calibration) -> Path | None:
    """File with the joules of the same machine in a folder of calibrations, or None where there is none."""
    path = folder / joules_file(str(calibration.run["id"]))
    return path if path.is_file() else None
