"""Data sets by name: those that others published, and the runs that come with the project."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from .. import files
from ..errors import AlphaflopsError
from ..paths import data_folder
from . import RUN_FILE, Run
from .readers import READERS, from_csv
from .schema import is_slug
from .sources import AUTHORS, OWN, DataSet, fetch, local, registered


def runs_folder() -> Path:
    """Folder of the bundled runs."""
    return data_folder() / "runs"


def bundled() -> list[str]:
    """Names of the finished runs in `runs_folder` that can be read."""
    return [name for name, told in _found().items() if isinstance(told, Run)]


def _found() -> dict[str, Run | str]:
    """Give each run in the folder, or say why it is none: no chapter shows that one, and none fails for it."""
    folder = runs_folder()
    try:
        paths = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        return {path.name: _held(path, _stamp(path)) for path in paths if (path / RUN_FILE).exists()}
    except OSError:
        return {}


def _stamp(path: Path) -> tuple[tuple[str, int, int], ...]:
    return tuple(sorted((e.name, e.stat().st_mtime_ns, e.stat().st_size) for e in os.scandir(path)))


@lru_cache(maxsize=64)
def _held(path: Path, _: tuple[tuple[str, int, int], ...]) -> Run | str:
    try:
        if not is_slug(path.name):
            return "the name of the folder is no name of a run: use a-z, 0-9 and single . _ -"
        run = Run.read(path)
    except AlphaflopsError as error:
        return files.one_line(error)
    return run if run.id == path.name else f"the folder holds a run of another name, {run.id!r}"


def entries() -> dict[str, DataSet]:
    """Describe every data set by name: those of ``datasets.json``, then other runs in `runs_folder`."""
    here, known = bundled(), registered()
    listed = {name: entry for name, entry in known.items() if entry.reader != OWN or name in here}
    return listed | {name: _described(load(name)) for name in here if name not in known}


def _described(run: Run) -> DataSet:
    machine = str(run.meta["machine"]["name"])
    vendor = "AMD" if machine.startswith(("AMD", "Radeon")) else "NVIDIA"
    vendor = "CPU" if run.meta["device"] == "cpu" else vendor
    return DataSet(run.id, OWN, machine, vendor, "apart", "CC-BY-4.0", "received", "stands in run.json")


def names() -> list[str]:
    """Names that `load` knows; those of a find-db also take a variant, such as ``miopen-mi100:fp16``."""
    return list(entries())


def load(name: str | Path) -> Run:
    """Load a data set or a run.

    Parameters
    ----------
    name : str or Path
        A name from `names`, a run folder, or a CSV file with the layer columns and ``latency_ms``. A find-db gives fp32
        and the forward direction unless its name is followed by ``:fp16``, ``:backward-data``, ``:backward-weights``,
        or a number type and a direction (``miopen-mi100:fp16:backward-data``).

    Raises
    ------
    AlphaflopsError
        If nothing of that name exists, the file cannot be had, or its content is not what it should be.
    """
    base, _, variant = str(name).partition(":")
    source = registered().get(base)
    if source and source.reader != OWN and (not variant or source.reader == "miopen"):
        return READERS[source.reader](source, fetch(source), *([variant] if variant else []))
    held = _found().get(str(name))
    if isinstance(held, Run):
        return held.copy()
    if held:
        raise AlphaflopsError(f"run {str(name)!r} is left out: {held}")
    path = Path(name)
    if path.is_dir():
        return Run.read(path)
    if path.suffix.lower() == ".csv":
        return from_csv(path)
    raise AlphaflopsError(f"run {str(name)!r} is unknown: give a folder, a CSV file or one of {', '.join(names())}")


def available(name: str) -> bool:
    """Whether a data set can be loaded now without the network: bundled, mirrored or downloaded before."""
    source = registered().get(name.partition(":")[0])
    if source is None or source.reader == OWN:
        return name in bundled()
    return local(source) is not None


def at_hand(*roles: str) -> list[str]:
    """Name the data sets of some roles, or of all, that can be loaded now without the network."""
    return [name for name, entry in entries().items() if (not roles or entry.role in roles) and available(name)]


def authors() -> Run | None:
    """Load the layers that the paper's authors measured; None where their data cannot be had without the network."""
    return load(AUTHORS).ok if available(AUTHORS) else None


def inventory() -> list[dict[str, Any]]:
    """Describe each of `names`: name, vendor, machine, role, origin, points (None until it is here), where it is."""
    told: list[dict[str, Any]] = []
    for name, entry in entries().items():
        own = entry.reader == OWN
        here = runs_folder() / name if own else local(entry)
        told.append(
            {
                "name": name,
                "vendor": entry.vendor,
                "machine": entry.device,
                "role": entry.role,
                "origin": "measured" if own else "upstream",
                "points": len(load(name).table) if here else None,
                "where": str(here) if here else "downloaded on first use",
            }
        )
    return told
