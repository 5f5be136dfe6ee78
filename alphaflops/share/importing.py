"""The way back in: a run that somebody sent is checked and added to the bundled ones, whole or not at all."""

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import AlphaflopsError
from ..runs import SUMS_FILE, Run, datasets, replace_file, upstream
from .networks import BESIDE, Check, place
from .plausibility import FAST_ALGORITHM, peak_flops, problems
from .runs import check_slug, contents, read_run


@dataclass(frozen=True)
class Imported:
    """What `import_run` added.

    Attributes
    ----------
    run : Run
        The run as it now stands in `path`.
    path : Path
        Its new folder.
    implausible : tuple of str
        What was found wrong and allowed; empty for a plausible run.
    networks : bool
        Whether times of networks came with it and were added.
    """

    run: Run
    path: Path
    implausible: tuple[str, ...]
    networks: bool


def _checked_origin(run: Run, where: str) -> None:
    if run.meta["origin"] != "measured":
        raise AlphaflopsError(f"{where}: origin is {run.meta['origin']!r}: only measured runs are imported")
    if run.meta["device"] not in ("cpu", "cuda", "mps"):
        raise AlphaflopsError(f"{where}: device is {run.meta['device']!r}: expected cpu, cuda or mps")


def import_run(
    archive: Path | str,
    run_id: str | None = None,
    allow_implausible: bool = False,
    into: Path | str | None = None,
    check: Check | None = None,
) -> Imported:
    """Check an archive that somebody sent and add its run to the bundled ones.

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
    check : callable, optional
        What checks times of networks that came with the run, such as `alphaflops.prediction.received.check`. They are
        added to ``operators`` and ``networks`` beside the folder of runs; without a check they are left out.

    Raises
    ------
    AlphaflopsError
        If the archive is unsafe, damaged or against the schema, the run implausible, or its name taken. Nothing is
        written in any of these cases.
    """
    path, home = Path(archive), Path(into) if into else datasets.runs_folder()
    run, files = read_run(path)
    _checked_origin(run, str(path))
    name = check_slug(run_id or run.id)
    beside = {place(home.parent, file, name): data for file in BESIDE if (data := files.pop(file, None)) is not None}
    taken = {entry.name.casefold() for entry in home.iterdir()} if home.is_dir() else set()
    if name in taken or name in upstream.sources() or any(path.exists() for path in beside):
        raise AlphaflopsError(f"a run or data set {name!r} exists already: give this one another name (--id NAME)")
    found = problems(run)
    if found and not allow_implausible:
        raise AlphaflopsError(f"{path} is implausible: {found[0]} (--allow-implausible adds it and records the reason)")
    if beside and check:
        operators, networks = beside.values()
        check(run, operators, networks, FAST_ALGORITHM * peak_flops(run.meta))
    if found or name != run.id:
        received = {"sha256": hashlib.sha256(files[SUMS_FILE]).hexdigest(), "run_id": run.id, "implausible": found}
        run = Run({**run.meta, "run_id": name, "imported": received}, run.table, run.samples)
        files = contents(run)
    return Imported(run, _added(home, name, files, beside if check else {}), tuple(found), bool(beside and check))


def _added(home: Path, name: str, files: dict[str, bytes], beside: Mapping[Path, bytes]) -> Path:
    scratch: Any = None
    written: list[Path] = []
    try:
        home.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".import-", dir=home.parent))
        for file, data in files.items():
            (scratch / file).write_bytes(data)
        scratch.chmod(0o755)
        for path, data in beside.items():
            path.parent.mkdir(exist_ok=True)
            replace_file(path, data)
            written.append(path)
        scratch.rename(home / name)
    except OSError as error:
        raise AlphaflopsError(f"{home / name} cannot be written: {error.strerror}") from error
    finally:
        if scratch is not None and scratch.exists():  # it was not moved: nothing of the run stays
            shutil.rmtree(scratch, ignore_errors=True)
            for path in written:
                path.unlink()
    return home / name
