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
from ..measuring.opening import choose, opened
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

    folder = into or data_folder()
    device, threads = choose(str(run.meta["device"])), run.meta["machine"].get("threads")
    here = describe(device, threads)["name"]
    if here != run.machine:
        raise AlphaflopsError(f"run {run.id!r} was measured on {run.machine}, this is {here}: measure networks there")
    frames: list[pd.DataFrame] = []

    def networks_once(part: int) -> None:
        for name, (make, shape) in networks.items():
            say(f"{name}, {part + 1} of {curves.PARTS}")
            found = _network(make, shape, first=part == 0, training=training, how={**how, "profile": profile})
            frames.extend(frame.assign(network=name, part=part + 1) for frame in found)

    how: dict[str, Any] = {"device": device, "threads": threads}
    say("operators and layers")
    table = measure_operators(run, between=networks_once, profile=profile)
    rows = pd.concat(frames, ignore_index=True).assign(run_sha256=run.sha256)
    first = ["run_sha256", "network", "part"]
    rows = rows[[*first, *(column for column in rows if column not in first)]]
    say("calibration and shared error")
    path = folder / "calibrations" / f"{run.id}.json"
    calibration = fit(run, OURS.name)
    written = [with_fits(table, run, calibration).write(folder / "operators" / f"{run.id}.json")]
    written.append(folder / "networks" / f"{run.id}.csv")
    written[-1].parent.mkdir(parents=True, exist_ok=True)
    write_atomic(written[-1], export_csv(rows))
    return written if path.is_file() else [*written, calibration.save(path)]


def measure_operators(
    run: "Run", *, profile: str = "quick", between: Callable[[int], None] = lambda part: None
) -> OperatorTable:
    """Measure the table of the machine of a run, which must be this one.

    Parameters
    ----------
    run : Run
        Names device and threads.
    profile : str
        How narrow the intervals must be; ``smoke`` also leaves out large tensors and most layers.
    between : callable
        Called with 0, 1, … after each part in which layers are timed: what it measures sees the same minutes.
    """
    import torch

    small, settings = profile == "smoke", for_profile(profile)
    settings = replace(settings, latency_s=min(settings.latency_s, 0.25))
    with opened(choose(str(run.meta["device"])), settings, run.meta["machine"].get("threads")) as device:
        found = curves.curves(device, settings, small=small)
        windows = curves.pooling(device, settings)
        grid = curves.layer_grid(4 if small else curves.GRID_LAYERS)
        deep = curves.depthwise_grid()[:: 6 if small else 1]
        parts = []
        for part in range(curves.PARTS):
            parts.append(curves.groups_in_turns(device, [*grid, *deep], 1 if small else ROUNDS, part))
            between(part)
        name, threads = device.name, torch.get_num_threads()
    times = [float(ms) for ms in np.median(parts, axis=0)]
    versions = {name: metadata.version(name) for name in ("torch", "transformers")}
    turns = {"rounds": ROUNDS, "parts": curves.PARTS, "together": curves.TOGETHER}
    about = {"id": run.id, "sha256": run.sha256, "device": name, "threads": threads, "turns": turns}
    about |= {"protocol": settings.record(), "versions": {"alphaflops": __version__, **versions}}
    layers: dict[str, list[Any]] = {str(k): v.tolist() for k, v in as_table(grid).items()} | {"ms": times[: len(grid)]}
    families = {name: named_family(name) or "pointwise" for name in found}
    terms = [depthwise_terms(layer) for layer in deep]
    fit = curves.fit_terms(DEPTHWISE_TERMS, terms, times[len(grid) :])
    return OperatorTable(about, found, families, fit, windows, layers)


def _network(
    make: "Callable[[], torch.nn.Module]", shape: Shape, *, first: bool, training: bool, how: Mapping[str, Any]
) -> "list[pd.DataFrame]":
    import torch

    with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make()
    frames = [measure_network(model.eval(), shape, layers=first, **how)]
    if first and training:
        both = measure_network(model.train(), shape, training=True, layers=False, **how)
        frames.append(both.assign(what="training"))
    return frames


def with_fits(table: OperatorTable, run: "Run", calibration: Calibration) -> OperatorTable:
    """Give the table with what depends on the run's calibration: the correction, and the share of errors in common."""
    rho = round(shared_error_of(run, calibration.model), 3)
    return replace(table, rho=rho, correction=fit_correction(calibration, table.layers))
