"""The way back in: a run that somebody sent is checked and added to the bundled ones, whole or not at all."""

import os
from collections.abc import Callable
from pathlib import Path

from .. import experiments, files
from ..errors import AlphaflopsError
from ..runs import Run, datasets
from ..runs.schema import check_slug
from ..runs.sources import registered
from .packing import read_archive, shareable
from .plausibility import problems


def import_run(
    archive: Path | str,
    run_id: str | None = None,
    allow_implausible: bool = False,
    into: Path | str | None = None,
    trial: Callable[[Run], None] | None = None,
) -> Path:
    """Check an archive that somebody sent and add its run to the bundled ones.

    Two imports at once, or one that is killed, leave the run whole or absent.

    Parameters
    ----------
    archive : Path or str
        As written by `alphaflops.share.pack_run`.
    run_id : str, optional
        Another name for the run.
    allow_implausible : bool
        Add the run although it looks implausible; the reasons are then recorded in its metadata.
    into : Path or str, optional
        Folder of runs; ``data/runs`` by default.
    trial : callable, optional
        Tries what the book does with a run; whatever it raises keeps the run out.

    Returns
    -------
    Path
        The run's new folder.

    Raises
    ------
    AlphaflopsError
        If the archive is unsafe, damaged or against the schema, the run implausible, or its name taken. Nothing is
        written in any of these cases.
    """
    path, home = Path(archive), Path(into) if into else datasets.runs_folder()
    data = files.read_bytes(path, 2**28)
    sent = read_archive(data, str(path))
    name = check_slug(run_id or sent.id)
    if os.path.lexists(home / name) or name in registered():
        raise AlphaflopsError(f"a run or data set {name!r} exists already: give this one another name (--id NAME)")
    found = problems(sent)
    if found and not allow_implausible:
        raise AlphaflopsError(f"{path} is implausible: {found[0]} (--allow-implausible adds it and records the reason)")
    record = {"sha256": files.sha256(data), "run_id": sent.id, "implausible": [files.one_line(x, 240) for x in found]}
    run = shareable(sent, name, imported=record)
    if trial is not None:
        try:
            trial(run)
        except Exception as error:  # a chapter may fail on a stranger's run in any way
            why = f"{type(error).__name__}: {files.one_line(error)}"
            raise AlphaflopsError(f"{path} is not taken in: the book cannot show it ({why})") from error
    return run.write(home / name)


def try_chapters(run: Run) -> None:
    """Compute and draw what the chapters show of a run, and judge the claims on it: what fails would stop a page.

    Raises
    ------
    Exception
        Whatever a chapter raises.
    """
    from matplotlib import pyplot as plt

    from ..chapters import beside, facets, judged, limits, sweep, tables

    shown = [run.ok]
    for name in (name for name in run.table["experiment"].unique() if name in experiments.BY_NAME):
        figure = facets.lines(sweep(shown, name))
        figure.canvas.draw()
        plt.close(figure)
    limits.rates(run.ok)
    judged.verdicts(shown)
    for frame in (beside.cards(shown), judged.quality(shown)):
        tables.table(frame)
    tables.loaded(shown)
