"""Runs on their way to others and back: what may leave is listed, what comes in is whole or not at all.

An archive is one small file; it is checked as a stranger's on return.
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from .. import experiments, files
from ..errors import AlphaflopsError
from ..runs import SIZES, Run, datasets
from ..runs.derive import OTHER
from ..runs.schema import check_slug
from .plausibility import problems

__all__ = ["import_run", "pack_run", "problems", "read_archive", "try_chapters", "verify_archive"]

KEPT: Final = (
    *("format_version", "origin", "device", "machine", "protocol", "profile", "energy", "seed"),
    *("started", "finished", "seconds", "sentinel", "imported"),
)
"""Keys of the metadata that leave as they are: measured values, settings, and names of parts on sale."""

SOFTWARE: Final = (
    *("alphaflops", "python", "torch", "numpy", "pandas", "triton", "zeus", "nvidia-ml-py", "psutil"),
    *("cuda", "cudnn", "mkldnn", "blas", "environment"),
)
"""Keys of the software that leave; of the system, its name and the numbers of its version."""

SETTINGS: Final = ("name", "dtype", "inputs", "memory_format")
"""Settings of the protocol that are text; numbers and switches leave too."""

PLAIN: Final = re.compile(r"[\w .,()-]{0,80}", re.ASCII)
"""Text that no format obeys."""

TEXTS: Final = {"message": "", **dict.fromkeys(("throttle", "energy_source"), "[a-z+-]{0,80}")}
"""What may leave of text columns: nothing, or words of this program alone."""


def shareable(run: Run, name: str, **more: Any) -> Run:
    """Give a run as strangers may see it, called `name`.

    Free text has no place in it: its title is the machine, layers of no known experiment lose their labels, messages
    are dropped. So neither a sender's private words leave nor a stranger's words arrive.
    """
    meta = {key: run.meta[key] for key in KEPT if key in run.meta} | {"run_id": name, **more}
    meta["title"] = str(run.meta["machine"]["name"])
    told = run.meta["protocol"].items()
    meta["protocol"] = {k: v for k, v in told if not isinstance(v, str) or (k in SETTINGS and PLAIN.fullmatch(v))}
    if "software" in run.meta:
        meta["software"] = _software(run.meta["software"])
    if "resumed" in run.meta:
        meta["resumed"] = [{**part, "different": _different(part["different"])} for part in run.meta["resumed"]]
    table = run.table.copy()
    strange = ~table["experiment"].isin(experiments.BY_NAME)
    for column, text in (("experiment", OTHER), ("figure", ""), ("line", "")):
        table[column] = table[column].mask(strange, text)
    for column in table.columns.intersection([*TEXTS]):
        table[column] = table[column].where(table[column].str.fullmatch(TEXTS[column]), "")
    return Run(meta, table, run.samples)


def _software(software: Mapping[str, Any]) -> dict[str, Any]:
    system = re.match(r"[A-Za-z]{1,20} \d+(?:\.\d+)*", str(software.get("system")))
    return {key: software[key] for key in SOFTWARE if key in software} | ({"system": system[0]} if system else {})


def _different(changes: Mapping[str, Any]) -> dict[str, Any]:
    allowed = {"device", "machine", "protocol", "profile", "seed", "energy", *(f"software.{key}" for key in SOFTWARE)}
    return {key: both for key, both in changes.items() if {".".join(key.split(".")[:n]) for n in (1, 2)} & allowed}


def pack_run(folder: Path | str, out: Path | str | None = None, run_id: str | None = None) -> Path:
    """Pack a finished run for others.

    The same run gives the same archive on any day, whoever packs it wherever.

    Parameters
    ----------
    folder : Path or str
        The run's folder.
    out : Path or str, optional
        The archive; ``<run id>.zip`` in the working folder by default.
    run_id : str, optional
        Another name for the run.

    Returns
    -------
    Path
        The archive.

    Raises
    ------
    AlphaflopsError
        If the run is damaged, its name is unsafe, or the archive exists or cannot be written.
    """
    run = Run.read(folder)
    name = check_slug(run.id if run_id is None else run_id)
    path = Path(out or f"{name}.zip")
    files.write_atomic(path, files.pack_zip(shareable(run, name).files()), new=True)
    return path


def read_archive(archive: Path | bytes, where: str = "") -> Run:
    """Read the run in an archive without trusting it.

    Raises
    ------
    AlphaflopsError
        If the archive holds anything but a run within the limits, a checksum is wrong, or the schema is broken.
    """
    where = where or str(archive)
    return Run.parse(files.read_zip(archive, SIZES, where), where, sent=True)


def verify_archive(path: Path | str) -> str:
    """Check all hashes, schemas and limits of an archive and say in one line what it holds.

    Raises
    ------
    AlphaflopsError
        If it is unsafe, damaged, or against the schema.
    """
    run = read_archive(Path(path))
    found = problems(run)
    judged = f"implausible: {'; '.join(found)}" if found else "plausible"
    return f"{path}: run {run.id!r} of {run.machine}, {len(run.table)} layers, every byte as written, {judged}"


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
    name = check_slug(sent.id if run_id is None else run_id)
    if os.path.lexists(home / name) or name in datasets.registered():
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

    from ..chapters import facets, frames, judged, sweep, tables

    shown = [run.ok]
    for name in (name for name in run.table["experiment"].unique() if name in experiments.BY_NAME):
        figure = facets.lines(sweep(shown, name))
        figure.canvas.draw()
        plt.close(figure)
    frames.rates(run.ok)
    judged.verdicts(shown)
    for frame in (judged.cards(shown), judged.quality(shown)):
        tables.table(frame)
    tables.loaded(shown)
