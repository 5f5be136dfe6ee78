"""Times of networks that travel with a run: which files they are, and where they lie."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from ..runs import Run, read_json

BESIDE: Final = {"operators.json": "operators", "networks.csv": "networks"}
"""Files in the archive of a run, and the folder of ``data`` that each lies in."""

Check = Callable[[Run, bytes, bytes, float], None]
"""Refuses operators and networks of a run that cannot be: run, the two files, most FLOP/s of the machine."""


def place(data: Path, file: str, name: str) -> Path:
    """Give the path, in a data folder, of one of the files `BESIDE` the run of this name."""
    return data / BESIDE[file] / f"{name}{Path(file).suffix}"


def found_beside(run_id: str, sha256: str, data: Path) -> dict[str, bytes]:
    """Give the files in a data folder if they were measured for the run of this name and hash; else none.

    Raises
    ------
    AlphaflopsError
        If they are there but cannot be read.
    """
    paths = {name: place(data, name, run_id) for name in BESIDE}
    if not all(path.is_file() for path in paths.values()):
        return {}
    told = read_json(paths["operators.json"]).get("run", {}).get("rho_from", {})
    return {name: path.read_bytes() for name, path in paths.items()} if told.get("run_sha256") == sha256 else {}
