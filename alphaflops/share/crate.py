"""The whole artifact as an RO-Crate: code, data, notebooks and book in one file whose every byte can be checked."""

import hashlib
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from .. import __version__
from ..errors import AlphaflopsError
from ..paths import CHECKOUT, in_checkout
from ..runs import RUN_FILE
from ..zips import Limits, blocks, opened, pack
from .citation import PAPER, SOFTWARE, SOFTWARE_LICENCE, SOFTWARE_LICENCE_AT, TEXT_LICENCE, TEXT_LICENCE_AT
from .privacy import check_clean, own_folders
from .runs import SIZES, parse_files, write_new

CRATE_FILE: Final = "ro-crate-metadata.json"
SUMS: Final = "SHA256SUMS"

FOLDERS: Final = (
    "alphaflops",
    "benchmarks",
    "binder",
    "book",
    "data",
    "notebooks",
    "tests",
    "workflow",
    ".ci",
    ".devcontainer",
    ".github",
)
"""Folders of the checkout that belong to the artifact."""

FILES: Final = (
    "*.md",
    "*.toml",
    "*.yml",
    "*.txt",
    "*.cff",
    "*.json",
    "LICENSE*",
    "Makefile",
    "Dockerfile",
    ".dockerignore",
    ".gitignore",
    ".pre-commit-config.yaml",
    ".zenodo.json",
)
"""Files beside them, as patterns."""

HTML: Final = "_build/html"
"""Where the built book lies, in the checkout and in the crate."""

LEFT_OUT: Final = re.compile(
    r"(^|/)(__pycache__|\.ipynb_checkpoints|\.snakemake|\.[^/]*cache|.*\.egg-info)(/|$)|\.(pyc|pyo|part|log|lock)$"
)
"""Paths that are made anew by every use."""

SAFE: Final = re.compile(r"(?!.*(?:^|/)\.{1,2}(?:/|$))[\w.+@ -]+(?:/[\w.+@ -]+)*")
"""Paths that stay inside the folder they are unpacked into, on every system."""

LARGEST: Final = 2**27
CRATE_LIMITS: Final = Limits(lambda name: LARGEST if SAFE.fullmatch(name) and len(name) <= 200 else 0, 20_000, 2**31)
"""What a crate may hold: 20 000 files, 128 MiB each, 2 GiB in all."""

FORMATS: Final = {
    ".py": "text/x-python",
    ".md": "text/markdown",
    ".ipynb": "application/x-ipynb+json",
    ".json": "application/json",
    ".csv": "text/csv",
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".toml": "application/toml",
    ".yml": "application/yaml",
    ".npz": "application/zip",
}


@dataclass(frozen=True)
class Checked:
    """What `verify_crate` found: number of files, number of runs, total size (bytes)."""

    files: int
    runs: int
    size: int


def members(root: Path, html: Path | None = None) -> Iterator[tuple[str, Path]]:
    """Files of the artifact under `root`, by their path in the crate, sorted; links are left out."""
    found: dict[str, Path] = {}
    for pattern in FILES:
        found |= {path.name: path for path in root.glob(pattern)}
    for folder in FOLDERS:
        found |= {path.relative_to(root).as_posix(): path for path in (root / folder).rglob("*")}
    if html is not None:
        found |= {f"{HTML}/{path.relative_to(html).as_posix()}": path for path in html.rglob("*")}
    for name in sorted(found):
        if not LEFT_OUT.search(name) and found[name].is_file() and not found[name].is_symlink():
            yield name, found[name]


def _is_text(name: str) -> bool:
    """Whether a file has the licence of text and data; all others have the crate's own, that of software."""
    return name.startswith(("book/", "data/", "notebooks/", HTML))


def stamp() -> str:
    """Date of the state that is packed: ``SOURCE_DATE_EPOCH``, else the last commit, else today (UTC).

    Raises
    ------
    AlphaflopsError
        If ``SOURCE_DATE_EPOCH`` is no number of seconds.
    """
    told = os.environ.get("SOURCE_DATE_EPOCH")
    if told is None:
        command = ["git", "-C", str(CHECKOUT), "log", "-1", "--format=%ct"]
        with suppress(OSError, subprocess.SubprocessError):
            told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    try:
        moment = datetime.fromtimestamp(int(told), UTC) if told else datetime.now(UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise AlphaflopsError(f"SOURCE_DATE_EPOCH is {told!r}: expected seconds since 1970") from error
    return moment.date().isoformat()


def described(files: dict[str, bytes]) -> bytes:
    """Write the crate's description of some files, by their path in it, as JSON-LD.

    Raises
    ------
    AlphaflopsError
        Without ro-crate-py.
    """
    try:
        from rocrate.model import ContextEntity
        from rocrate.rocrate import ROCrate
    except ImportError as error:
        raise AlphaflopsError("the artifact is packed with ro-crate-py: pip install 'alphaflops[archive]'") from error
    crate = ROCrate()
    crate.metadata.extra_terms["sha256"] = "https://schema.org/sha256"
    crate.name, crate.description = SOFTWARE["title"], SOFTWARE["abstract"]
    licences = {
        name: crate.add(ContextEntity(crate, address, {"@type": "CreativeWork", "name": name}))
        for name, address in ((SOFTWARE_LICENCE, SOFTWARE_LICENCE_AT), (TEXT_LICENCE, TEXT_LICENCE_AT))
    }
    crate.license = licences[SOFTWARE_LICENCE]
    crate.root_dataset["author"] = crate.add(
        ContextEntity(crate, "#authors", {"@type": "Organization", "name": SOFTWARE["author"]})
    )
    crate.root_dataset["version"] = __version__
    crate.datePublished = stamp()
    article = {"@type": "ScholarlyArticle", "name": PAPER["title"], "identifier": PAPER["doi"]}
    crate.root_dataset["isBasedOn"] = crate.add(
        ContextEntity(crate, f"https://doi.org/{PAPER['doi']}", properties=article)
    )
    with tempfile.TemporaryDirectory(prefix="alphaflops-") as scratch:
        for name, data in files.items():
            digest = hashlib.sha256(data).hexdigest()
            properties = {"name": Path(name).name, "contentSize": str(len(data)), "sha256": digest}
            if (kind := FORMATS.get(Path(name).suffix)) is not None:
                properties["encodingFormat"] = kind
            file = crate.add_file(dest_path=name, source=None, properties=properties)
            if _is_text(name):
                file["license"] = licences[TEXT_LICENCE]
        crate.metadata.write(Path(scratch))
        written = json.loads((Path(scratch) / CRATE_FILE).read_text(encoding="utf-8"))
    written["@graph"].sort(key=lambda entity: str(entity["@id"]))
    return (json.dumps(written, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def pack_artifact(out: Path | str | None = None, html: Path | str | None = None) -> Path:
    """Pack code, data, notebooks and, where it is built, the book into one RO-Crate.

    Parameters
    ----------
    out : Path or str, optional
        The archive; ``alphaflops-<version>.zip`` in the working folder by default.
    html : Path or str, optional
        Folder of the built book; ``_build/html`` of the checkout where it exists.

    Raises
    ------
    AlphaflopsError
        Outside a checkout, without ro-crate-py, if a file names a folder of this machine or is too large, or if the
        archive exists.
    """
    if not in_checkout():
        raise AlphaflopsError(
            "only a checkout holds the whole artifact: clone the project, or pack one run with --run DIR"
        )
    built = Path(html) if html else CHECKOUT / HTML
    if html and not built.is_dir():
        raise AlphaflopsError(f"{built} does not exist: build the book first (make book)")
    files = {name: path.read_bytes() for name, path in members(CHECKOUT, built if built.is_dir() else None)}
    folders = own_folders()
    for name, data in files.items():
        check_clean(name, data, folders, patterns=False)
        if not CRATE_LIMITS.allowed(name) or len(data) > LARGEST:
            raise AlphaflopsError(f"{name} has {len(data)} bytes or a name that is not portable: it cannot be packed")
    files[CRATE_FILE] = described(files)
    files[SUMS] = "".join(
        f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items())
    ).encode()
    path = Path(out) if out else Path(f"alphaflops-{__version__}.zip")
    write_new(path, pack(files))
    return path


def verify_crate(path: Path) -> Checked:
    """Check every file of a crate against its checksums, every run against the schema, and the description itself.

    Raises
    ------
    AlphaflopsError
        Naming the first file that is missing, extra, changed or against the schema.
    """
    with opened(path, CRATE_LIMITS, str(path)) as archive:
        names = set(archive.namelist())
        if not {CRATE_FILE, SUMS} <= names:
            raise AlphaflopsError(f"{path} is neither a run nor an artifact: it has no {RUN_FILE} and no {CRATE_FILE}")
        wanted = _sums(b"".join(blocks(archive, SUMS)), path)
        for name in sorted({*wanted, *names} - {SUMS}):
            if name not in names or name not in wanted:
                raise AlphaflopsError(f"{path}: {name!r} is {'not listed in ' + SUMS if name in names else 'missing'}")
            digest = hashlib.sha256()
            for block in blocks(archive, name):
                digest.update(block)
            if digest.hexdigest() != wanted[name]:
                raise AlphaflopsError(f"{path}: {name!r} does not match its checksum")
        _check_description(b"".join(blocks(archive, CRATE_FILE)), wanted, path)
        folders = sorted(name.rpartition("/")[0] for name in names if re.fullmatch(r"data/runs/[^/]+/run\.json", name))
        for folder in folders:
            inside = {name: f"{folder}/{name}" for name in SIZES if f"{folder}/{name}" in names}
            for name, full in inside.items():
                if archive.getinfo(full).file_size > SIZES[name]:
                    raise AlphaflopsError(f"{path}: {full!r} is larger than a run's {name} may be")
            parse_files({name: b"".join(blocks(archive, full)) for name, full in inside.items()}, f"{path}: {folder}")
        return Checked(len(names), len(folders), sum(info.file_size for info in archive.infolist()))


def _sums(data: bytes, path: Path) -> dict[str, str]:
    wanted = {}
    for line in data.decode("utf-8", "replace").splitlines():
        digest, separator, name = line.partition("  ")
        if not separator or not re.fullmatch(r"[0-9a-f]{64}", digest) or name in wanted:
            raise AlphaflopsError(f"{path}: {SUMS} has a line that is no checksum: {line[:80]!r}")
        wanted[name] = digest
    return wanted


def _check_description(data: bytes, wanted: dict[str, str], path: Path) -> None:
    try:
        graph = json.loads(data)["@graph"]
        told = {entity["@id"]: entity.get("sha256") for entity in graph if entity.get("@type") == "File"}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise AlphaflopsError(f"{path}: {CRATE_FILE} is no description of a crate ({type(error).__name__})") from error
    for name in sorted({*wanted} - {CRATE_FILE}):
        if told.get(name) != wanted[name]:
            raise AlphaflopsError(f"{path}: {CRATE_FILE} does not give the sha256 of {name!r}")
