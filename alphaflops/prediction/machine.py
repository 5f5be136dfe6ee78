"""Everything that whole networks need of one further machine: operators, networks, calibration, shared error."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..costs import OURS
from ..errors import AlphaflopsError
from ..files import export_csv, write_atomic
from ..fitting import Calibration, fit
from ..host import describe
from ..layers import as_table
from ..measuring.device import choose, opened
from ..measuring.protocol import for_profile
from ..network.families import named_family
from ..network.inputs import Shape
from ..paths import data_folder
from . import curves
from .correction import fit_correction
from .operators import DEPTHWISE_TERMS, OperatorTable, depthwise_terms
from .predict import shared_error_of
from .timing import ROUNDS, measure_network
from .zoo import NETWORKS

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from ..runs import Run

Networks = Mapping[str, tuple[Callable[[], "torch.nn.Module"], Shape]]


def choose_networks(names: tuple[str, ...]) -> Networks:
    """Give the book's networks of these names, or all.

    Raises
    ------
    AlphaflopsError
        If a name is unknown.
    """
    for name in names:
        if name not in NETWORKS:
            raise AlphaflopsError(f"network {name!r} is unknown: choose from {', '.join(NETWORKS)}")
    return {name: NETWORKS[name] for name in names or NETWORKS}


def measure_machine(
    run: "Run",
    networks: Networks = NETWORKS,
    *,
    training: bool = True,
    profile: str = "quick",
    into: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Measure operators and networks on the machine of a run, and write what the book and `estimate` need of it.

    Parameters
    ----------
    run : Run
        Measured on this machine; it names device and threads.
    networks : mapping
        Name → builder and input.
    training : bool
        Also time forward and backward together.
    profile : str
        How narrow the intervals must be.
    into : Path, optional
        Data folder; the project's own by default.
    say : callable
        Told what is being measured.

    Returns
    -------
    list of Path
        ``operators/RUN.json``, ``networks/RUN.csv`` and, where there was none, ``calibrations/RUN.json``.

    Raises
    ------
    AlphaflopsError
        If this is another machine than the run's, or a file cannot be written. Nothing is written before all is
        measured.
    """
    import pandas as pd
    import torch

    folder, small, settings = into or data_folder(), profile == "smoke", for_profile(profile)
    settings = replace(settings, latency_s=min(settings.latency_s, 0.25))
    chosen, threads = choose(str(run.meta["device"])), run.meta["machine"].get("threads")
    here = describe(chosen, threads)["name"]
    if here != run.machine:
        raise AlphaflopsError(f"run {run.id!r} was measured on {run.machine}, this is {here}: measure networks there")
    how: dict[str, Any] = {"device": chosen, "threads": threads, "profile": profile}
    frames: dict[tuple[str, str, int], pd.DataFrame] = {}
    parts = []
    say("operators and layers")
    with opened(chosen, settings, threads) as device:
        found, windows = curves.curves(device, settings, small=small), curves.pooling(device, settings)
        grid = curves.layer_grid(4 if small else curves.GRID_LAYERS)
        deep = curves.depthwise_grid()[:: 6 if small else 1]
        for part in range(curves.PARTS):  # networks see the same minutes as layers
            parts.append(curves.groups_in_turns(device, [*grid, *deep], 1 if small else ROUNDS, part))
            for name, (make, shape) in networks.items():
                say(f"{name}, {part + 1} of {curves.PARTS}")
                frames[run.sha256, name, part + 1] = _network(make, shape, part == 0, training and part == 0, how)
        at = {"device": device.name, "threads": torch.get_num_threads()}
    turns = {"rounds": ROUNDS, "parts": curves.PARTS, "together": curves.TOGETHER}
    versions = {"alphaflops": __version__} | {name: metadata.version(name) for name in ("torch", "transformers")}
    how_timed = {"turns": turns, "protocol": settings.record(), "versions": versions}
    about = {"id": run.id, "sha256": run.sha256, **at, **how_timed}
    times = [float(ms) for ms in np.median(parts, axis=0)]
    layers: dict[str, list[Any]] = {str(k): v.tolist() for k, v in as_table(grid).items()} | {"ms": times[: len(grid)]}
    families = {name: named_family(name) or "pointwise" for name in found}
    terms = [depthwise_terms(layer) for layer in deep]
    fitted = curves.fit_terms(DEPTHWISE_TERMS, terms, times[len(grid) :])
    table = OperatorTable(about, found, families, fitted, windows, layers)
    say("calibration and shared error")
    path = folder / "calibrations" / f"{run.id}.json"
    calibration = fit(run, OURS.name)
    written = [with_fits(table, run, calibration).write(folder / "operators" / f"{run.id}.json")]
    written.append(folder / "networks" / f"{run.id}.csv")
    written[-1].parent.mkdir(parents=True, exist_ok=True)
    rows = pd.concat(frames, names=["run_sha256", "network", "part"]).droplevel(-1).reset_index()
    write_atomic(written[-1], export_csv(rows))
    return written if path.is_file() else [*written, calibration.save(path)]


def _network(
    make: "Callable[[], torch.nn.Module]", shape: Shape, layers: bool, training: bool, how: Mapping[str, Any]
) -> "pd.DataFrame":
    import pandas as pd
    import torch

    with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make()
    found = measure_network(model.eval(), shape, layers=layers, **how)
    if training:
        both = measure_network(model.train(), shape, training=True, layers=False, **how)
        found = pd.concat([found, both.assign(what="training")], ignore_index=True)
    return found


def with_fits(table: OperatorTable, run: "Run", calibration: Calibration) -> OperatorTable:
    """Give the table with what depends on the run's calibration: the correction, and the share of errors in common."""
    rho = round(shared_error_of(run, calibration.model), 3)
    return replace(table, rho=rho, correction=fit_correction(calibration, table.layers))
