"""A run as one small file that can be sent to others, and the way back in for files that strangers sent."""

import hashlib
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .. import datasets, upstream
from ..errors import AlphaflopsError
from ..paths import data_folder
from ..records import RUN_FILE, SAMPLES_FILE, SUMS_FILE, TABLE_FILE, TEXT_COLUMNS, Run, replace_file
from ..zips import Limits, pack, read_files
from .networks import BESIDE, Check, found_beside, place
from .plausibility import FAST_ALGORITHM, peak_flops, problems
from .privacy import check_clean, own_words, scrub, scrub_text

SIZES: Final = {RUN_FILE: 2**22, TABLE_FILE: 2**25, SAMPLES_FILE: 2**28, SUMS_FILE: 2**12}
"""Files of an archived run and the most bytes that each may have."""

ALLOWED: Final = {**SIZES, **dict.fromkeys(BESIDE, 2**20)}
RUN_LIMITS: Final = Limits(lambda name: ALLOWED.get(name, 0), len(ALLOWED), sum(ALLOWED.values()))

SLUG: Final = re.compile(r"[a-z0-9](?:[a-z0-9]|[._-](?=[a-z0-9])){0,63}")
"""Names of runs that are safe as a folder on every system."""

RESERVED: Final = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
"""Names that some systems do not allow as a folder."""


@dataclass(frozen=True)
class Packed:
    """What `pack_run` wrote.

    Attributes
    ----------
    path : Path
        The archive.
    layers : int
        Rows of the run.
    size : int
        Length of the archive (bytes).
    removed : bool
        Whether something private was taken out of texts.
    networks : bool
        Whether times of networks are in it too.
    """

    path: Path
    layers: int
    size: int
    removed: bool
    networks: bool


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


def check_slug(name: str) -> str:
    """Give a run's name if it is safe as a folder.

    Raises
    ------
    AlphaflopsError
        If it is not 1 to 64 of ``a–z 0–9 . _ -``, begins or ends with a sign, or is reserved.
    """
    if not SLUG.fullmatch(name) or len(name) > 64 or name.partition(".")[0] in RESERVED:
        raise AlphaflopsError(
            f"run id {name[:80]!r} cannot be a folder: use up to 64 of a-z, 0-9 and single . _ - (--id NAME)"
        )
    return name


def _plain_files(folder: Path) -> dict[str, bytes]:
    found = {}
    for name, largest in SIZES.items():
        path = folder / name
        if path.is_symlink():
            raise AlphaflopsError(f"{path} is a link: only plain files are packed")
        if path.is_file():
            if path.stat().st_size > largest:
                raise AlphaflopsError(f"{path} has {path.stat().st_size} bytes: at most {largest} are allowed")
            found[name] = path.read_bytes()
    return found


def contents(run: Run) -> dict[str, bytes]:
    """Give the files of a run as bytes by name, without a folder that stays."""
    with tempfile.TemporaryDirectory(prefix="alphaflops-") as scratch:
        run.write_files(Path(scratch))
        return {path.name: path.read_bytes() for path in sorted(Path(scratch).iterdir())}


def _scrubbed(run: Run, run_id: str, words: list[str]) -> Run:
    meta = {**scrub(dict(run.meta), words), "run_id": run_id}
    table = run.table.copy()
    for name in TEXT_COLUMNS:
        if name in table:
            table[name] = [scrub_text(text, words) for text in table[name]]
    return Run(meta, table, run.samples)


def pack_run(
    folder: Path | str, out: Path | str | None = None, run_id: str | None = None, data: Path | str | None = None
) -> Packed:
    """Pack a finished run for others, with nothing in it that names its owner or one particular computer.

    Texts are scrubbed; a run that needs no scrubbing is packed byte for byte. The same run gives the same archive on
    any day. Times that ``alphaflops measure-networks`` took for the run are packed with it.

    Parameters
    ----------
    folder : Path or str
        The run's folder.
    out : Path or str, optional
        The archive; ``<run id>.zip`` in the working folder by default.
    run_id : str, optional
        Another name for the run.
    data : Path or str, optional
        Data folder with times of networks; the project's own by default.

    Raises
    ------
    AlphaflopsError
        If the run is damaged, its name is private or unsafe, the archive exists, or something private stays.
    """
    folder = Path(folder)
    files = _plain_files(folder)
    run = Run.read(folder)
    name = check_slug(run_id or run.id)
    words = own_words()
    if scrub_text(name, words) != name:
        raise AlphaflopsError("the run id names this machine or its user: choose another with --id NAME")
    cleaned = _scrubbed(run, name, words)
    removed = scrub(dict(run.meta), words) != dict(run.meta) or not cleaned.table.equals(run.table)
    if removed or name != run.id:
        files = contents(cleaned)
    beside = found_beside(run.id, cleaned.sha256, Path(data) if data else data_folder())
    for file, content in {**files, **beside}.items():
        check_clean(f"{folder / file}", content, words, patterns=file not in (SAMPLES_FILE, SUMS_FILE))
    path = Path(out) if out else Path(f"{name}.zip")
    packed = pack({**files, **beside})
    write_new(path, packed)
    return Packed(path, len(run.table), len(packed), removed, bool(beside))


def write_new(path: Path, data: bytes) -> None:
    """Write a file that must not exist yet, whole or not at all.

    Raises
    ------
    AlphaflopsError
        If it exists or cannot be written.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".part-", delete=False) as handle:
            partial = Path(handle.name)
            handle.write(data)
        try:
            partial.chmod(0o644)
            path.hardlink_to(partial)  # fails where the file exists, also if it appeared a moment ago
        finally:
            partial.unlink()
    except FileExistsError as error:
        raise AlphaflopsError(f"{path} exists already: choose another file with --out or remove it") from error
    except OSError as error:
        raise AlphaflopsError(f"{path} cannot be written: {error.strerror}") from error


def read_run(archive: Path | bytes, where: str = "") -> tuple[Run, dict[str, bytes]]:
    """Read the run in an archive without trusting it; give the run and its files.

    Raises
    ------
    AlphaflopsError
        If the archive holds anything but a run within the limits, or the run is damaged or against the schema.
    """
    where = where or str(archive)
    files = read_files(archive, RUN_LIMITS, where)
    wanted = [RUN_FILE, TABLE_FILE, SUMS_FILE]
    if files.keys() & BESIDE.keys():
        wanted += BESIDE
    for name in wanted:
        if name not in files:
            raise AlphaflopsError(f"{where} holds no run: it has no {name}")
    return parse_files(files, where), files


def parse_files(files: Mapping[str, bytes], where: str) -> Run:
    """Read a run from its files' contents by name, naming `where` in errors.

    Raises
    ------
    AlphaflopsError
        As `Run.read`.
    """
    with tempfile.TemporaryDirectory(prefix="alphaflops-") as scratch:
        for name, data in files.items():
            (Path(scratch) / name).write_bytes(data)
        try:
            return Run.read(scratch)
        except AlphaflopsError as error:
            raise AlphaflopsError(str(error).replace(f"{scratch}/", f"{where}: ").replace(scratch, where)) from error


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
        As written by `pack_run`.
    run_id : str, optional
        Another name for the run.
    allow_implausible : bool
        Add the run although it looks implausible; the reasons are then recorded in its metadata.
    into : Path or str, optional
        Folder of runs; ``data/runs`` by default.
    check : callable, optional
        What checks times of networks that came with the run, such as `alphaflops.whole.received.check`. They are added
        to ``operators`` and ``networks`` beside the folder of runs; without a check they are left out.

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
