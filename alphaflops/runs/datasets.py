"""Data sets by name: those that others published, and the bundled runs."""

from pathlib import Path
from typing import Any

from ..errors import AlphaflopsError
from ..paths import data_folder
from . import FORMAT_VERSION, RUN_FILE, Run, read_table
from .upstream import AUTHORS, local, read, sources


def runs_folder() -> Path:
    """Folder of the bundled runs."""
    return data_folder() / "runs"


def bundled() -> list[str]:
    """Names of the finished runs in `runs_folder`."""
    folder = runs_folder()
    return sorted(p.parent.name for p in folder.glob(f"*/{RUN_FILE}")) if folder.is_dir() else []


def names() -> list[str]:
    """Names that `load` knows: upstream data sets, then bundled runs."""
    return [*sources(), *bundled()]


def load(name: str | Path) -> Run:
    """Load a data set or a run.

    Parameters
    ----------
    name : str or Path
        A name from `names`, a run folder, or a CSV file with the layer columns and ``latency_ms``.

    Raises
    ------
    AlphaflopsError
        If nothing of that name exists, the file cannot be had, or its content is not what it should be.
    """
    known = sources()
    if str(name) in known:
        return read(known[str(name)])
    if str(name) in bundled():
        return Run.read(runs_folder() / str(name))
    path = Path(name)
    if path.is_dir():
        return Run.read(path)
    if path.suffix == ".csv":
        return _from_csv(path)
    raise AlphaflopsError(f"run {str(name)!r} is unknown: give a folder, a CSV file or one of {', '.join(names())}")


def available(name: str) -> bool:
    """Whether a data set can be loaded now without the network: bundled, mirrored or downloaded before."""
    known = sources()
    return name in bundled() or (name in known and local(known[name]) is not None)


def authors() -> Run | None:
    """Load the layers that the paper's authors measured; None where their data cannot be had without the network."""
    return load(AUTHORS).ok if available(AUTHORS) else None


def inventory() -> list[dict[str, Any]]:
    """Describe each of `names`: name, machine, origin, points (None until it is here), where it is."""
    entries: list[dict[str, Any]] = []
    for name, source in sources().items():
        here = local(source)
        points = len(load(name).table) if here else None
        where = str(here) if here else "downloaded on first use"
        entries.append({"name": name, "machine": source.device, "origin": "upstream", "points": points, "where": where})
    for name in bundled():
        run = load(name)
        where = str(runs_folder() / name)
        entries.append(
            {"name": name, "machine": run.machine, "origin": "measured", "points": len(run.table), "where": where}
        )
    return entries


def _from_csv(path: Path) -> Run:
    table = read_table(path)
    meta = {
        "format_version": FORMAT_VERSION,
        "run_id": path.stem,
        "origin": "file",
        "title": path.name,
        "device": "unknown",
        "machine": {"name": "unknown"},
        "protocol": {"name": "unknown"},
    }
    return Run(meta, table)
