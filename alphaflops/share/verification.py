"""One check for both kinds of archive: a run, or the whole artifact."""

from pathlib import Path

from ..runs import RUN_FILE
from ..zips import opened
from .crate import CRATE_LIMITS, verify_crate
from .networks import BESIDE
from .plausibility import problems
from .runs import check_slug, read_run


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
        run, files = read_run(path)
        check_slug(run.id)
        found = problems(run)
        layers = f"{len(run.table)} layers{' and networks' if BESIDE.keys() <= files.keys() else ''}"
        judged = f"; implausible: {'; '.join(found)}" if found else ", plausible"
        return f"{path}: run {run.id!r} of {run.machine}, {layers}, every byte as written{judged}"
    checked = verify_crate(path)
    size = f"{checked.size / 1e6:.1f} MB"
    return f"{path}: artifact of {checked.files} files ({size}) with {checked.runs} runs, every byte as written"
