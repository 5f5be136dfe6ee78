"""A run as one small file that can be sent to others, and how such a file is read without trusting it."""

import hashlib
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import AlphaflopsError
from ..paths import data_folder
from ..runs import RUN_FILE, SAMPLES_FILE, SUMS_FILE, TABLE_FILE, TEXT_COLUMNS, Run
from ..zips import Limits, pack, read_files
from .networks import BESIDE, found_beside
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
    packed = pack({**files, **beside, SUMS_FILE: files[SUMS_FILE] + b"".join(_sums(beside).values())})
    write_new(path, packed)
    return Packed(path, len(run.table), len(packed), removed, bool(beside))


def _sums(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Lines of ``SHA256SUMS`` by the name of the file."""
    return {name: f"{hashlib.sha256(data).hexdigest()}  {name}\n".encode() for name, data in sorted(files.items())}


def _own_sums(files: Mapping[str, bytes], where: str) -> bytes:
    """Check what came beside the run against its lines in ``SHA256SUMS``; give the lines of the run alone."""
    lines = files[SUMS_FILE].splitlines(keepends=True)
    for name, line in _sums({name: files[name] for name in BESIDE if name in files}).items():
        if line not in lines:
            raise AlphaflopsError(f"{where}: {name} does not match its checksum")
        lines.remove(line)
    return b"".join(lines)


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
    """Read the run in an archive without trusting it; give the run and its files, ``SHA256SUMS`` as in its folder.

    Raises
    ------
    AlphaflopsError
        If the archive holds anything but a run within the limits, a checksum is wrong, or the schema is broken.
    """
    where = where or str(archive)
    files = read_files(archive, RUN_LIMITS, where)
    wanted = [RUN_FILE, TABLE_FILE, SUMS_FILE]
    if files.keys() & BESIDE.keys():
        wanted += BESIDE
    for name in wanted:
        if name not in files:
            raise AlphaflopsError(f"{where} holds no run: it has no {name}")
    files[SUMS_FILE] = _own_sums(files, where)
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
