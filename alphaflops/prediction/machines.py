"""Everything that whole networks need of one further machine: operators, networks, calibration, shared error."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import AlphaflopsError
from ..fitting import calibrate
from ..host import describe
from ..measuring.opening import choose
from ..network.inputs import Shape
from ..paths import data_folder
from ..runs import replace_file
from .correction import fit_in_turns
from .curves import PARTS, measure_operators
from .measuring import measure_network
from .operators import OperatorTable, read_operators
from .predict import shared_error_of
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
    threads = run.meta["machine"].get("threads")
    device = choose(str(run.meta["device"]))
    here = describe(device, threads)["name"]
    if here != run.machine:
        raise AlphaflopsError(f"run {run.id!r} was measured on {run.machine}, this is {here}: measure networks there")
    frames: list[pd.DataFrame] = []

    def networks_once(part: int) -> None:
        for name, (make, shape) in networks.items():
            say(f"{name}, {part + 1} of {PARTS}")
            first = part == 0
            found = _times(make, shape, device, threads, profile, layers=first, training=training and first)
            frames.extend(frame.assign(network=name, part=part + 1) for frame in found)

    say("operators and layers")
    table = measure_operators(run.id, device=device, threads=threads, profile=profile, between=networks_once)
    versions = {**table.run["versions"], "transformers": metadata.version("transformers")}
    table = replace(table, run={**table.run, "versions": versions})
    rows = pd.concat(frames, ignore_index=True)
    rows = rows[["network", "part", *(column for column in rows if column not in ("network", "part"))]]
    say("calibration and shared error")
    calibration = folder / "calibrations" / f"{run.id}.json"
    fitted = None if calibration.is_file() else calibrate(run, "best")
    table = with_fits(table, run)
    written = [table.write(folder / "operators" / f"{run.id}.json")]
    path = folder / "networks" / f"{run.id}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, rows.to_csv(index=False, lineterminator="\n").encode())
    written.append(path)
    return written if fitted is None else [*written, fitted.write(calibration)]


def _times(
    make: "Callable[[], torch.nn.Module]", shape: Shape, device: str, threads: int | None, profile: str, *,
    layers: bool, training: bool,
) -> "list[pd.DataFrame]":  # fmt: skip
    import torch

    with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make()
    frames = [measure_network(model.eval(), shape, device=device, threads=threads, profile=profile, layers=layers)]
    if training:
        both = measure_network(
            model.train(), shape, device=device, threads=threads, profile=profile, training=True, layers=False
        )
        frames.append(both.assign(what="training"))
    return frames


def with_fits(table: OperatorTable, run: "Run") -> OperatorTable:
    """Record the formula fitted to the layers in turns, and which share of its error layers of one line have in common.

    Both depend on the formula, the second on the run too; `refresh_fits` works them out anew.
    """
    found = {"rho": round(shared_error_of(run), 3), "rho_from": {"model": "best", "run_sha256": run.sha256}}
    return replace(table, run={**table.run, **found}, formula=fit_in_turns(table.layers))


def refresh_fits(run: "Run", folder: Path) -> Path | None:
    """Fit anew what the table of a run in a folder holds; None where the run has no table."""
    path = folder / f"{run.id}.json"
    return with_fits(read_operators(path), run).write(path) if path.is_file() else None
