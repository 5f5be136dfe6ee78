"""One check for both kinds of archive: a run, or the whole artifact."""

from pathlib import Path

from ..records import RUN_FILE
from ..zips import opened
from .crate import CRATE_LIMITS, verify_crate
from .plausibility import problems
from .runs import read_run


def verify_archive(path: Path | str) -> str:
    """Check all hashes and schemas of an archive and say in one line what it holds.

    Raises
    ------
    AlphaflopsError
        If it is unsafe, damaged, or against the schema.
    """
    path = Path(path)
    with opened(path, CRATE_LIMITS, str(path)) as archive:
        is_run = RUN_FILE in archive.namelist()
    if is_run:
        run, _ = read_run(path)
        found = problems(run)
        judged = f"; implausible: {'; '.join(found)}" if found else ", plausible"
        return f"{path}: run {run.id!r} of {run.machine}, {len(run.table)} layers, every byte as written{judged}"
    checked = verify_crate(path)
    size = f"{checked.size / 1e6:.1f} MB"
    return f"{path}: artifact of {checked.files} files ({size}) with {checked.runs} runs, every byte as written"
