"""Data sets by name: those that others published, where they come from, and the runs that come with the project.

Files of others are downloaded once and checked by their hash; they are never committed.
"""

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from .. import files
from ..errors import AlphaflopsError
from ..paths import data_folder
from . import RUN_FILE, Run, read_files, whole_meta
from .schema import declared, is_slug

AUTHORS: Final = "paper-t2000"
"""The data set of the paper's authors."""
MIRROR: Final = "ALPHAFLOPS_MIRROR"
"""Environment variable: a folder that holds copies of the upstream files."""
ROLES: Final = ("development", "judged", "apart")
"""What a set may be used for: to choose a formula, to judge it, or neither (a fine grid, or a further set of a machine
on which formulas were chosen)."""
OWN: Final = "own"
"""Reader of the runs that come with the project."""


@dataclass(frozen=True)
class DataSet:
    """One data set: an entry of ``datasets.json`` together with what its collection says.

    Attributes
    ----------
    name, device, vendor : str
        Name for `load`, machine, and who made it ("CPU" for processors).
    role : str
        One of `ROLES`.
    reader : str
        How its file is read; `OWN` for a run folder of this project.
    url, mirror_path, sha256, commit : str
        Address, place under the folder that `MIRROR` names, hash and version; empty for own runs.
    licence, citation, protocol, note : str
        Terms, source, how times were taken, and what to know of their quality.
    label : str
        Name in a figure, where the device alone does not tell it from others.
    where : dict
        Column and value of the rows that belong to this set, where the file holds several.
    peak_tflops, matrix_tflops, peak_gbs : float or None
        Data-sheet peaks: fp32 arithmetic, fp32 on matrix units (10¹² FLOP/s), memory (10⁹ bytes/s).
    """

    name: str
    reader: str
    device: str
    vendor: str
    role: str
    licence: str
    citation: str
    protocol: str
    url: str = ""
    mirror_path: str = ""
    sha256: str = ""
    commit: str = ""
    note: str = ""
    label: str = ""
    where: Mapping[str, str] = field(default_factory=dict)
    peak_tflops: float | None = None
    matrix_tflops: float | None = None
    peak_gbs: float | None = None


@cache
def registered() -> dict[str, DataSet]:
    """Give the entries of ``datasets.json`` by name."""
    path = data_folder() / "datasets.json"
    return parse(files.read_bytes(path), str(path))


def parse(data: bytes, where: str) -> dict[str, DataSet]:
    """Read a register of data sets, as ``datasets.schema.json`` declares it.

    Raises
    ------
    AlphaflopsError
        Naming the key that is missing or wrong, the collection that is unknown or the name that occurs twice.
    """
    content, found = files.parse_json(data, where), {}
    files.check(content, declared("datasets"), where)
    for entry in content["sets"]:
        name, collection = entry["name"], entry.pop("collection")
        if name in found or collection not in content["collections"]:
            raise AlphaflopsError(f"{where}: {name} occurs twice, or has the unknown collection {collection}")
        told = content["collections"][collection] | entry
        mirror, file = told.pop("mirror", ""), told.pop("file", "")
        if file and not (mirror and {"url", "sha256", "commit"} <= told.keys()):
            raise AlphaflopsError(f"{where}: {name}: a file needs url, mirror, sha256 and commit")
        if file:
            told |= {"url": told["url"] + quote(file), "mirror_path": mirror + file}
        found[name] = files.from_json(DataSet, told, f"{where}: {name}")
    return found


def _pooch() -> Any:
    with warnings.catch_warnings():  # pooch loads tqdm, which in a notebook asks for a widget that nobody uses here
        warnings.filterwarnings("ignore", message="IProgress not found")
        import pooch
    return pooch


def cache_folder() -> Path:
    """Give the user's folder of downloaded files and tables read from them."""
    return Path(os.environ.get("ALPHAFLOPS_CACHE") or _pooch().os_cache("alphaflops"))


def _places(source: DataSet) -> list[Path]:
    mirror = os.environ.get(MIRROR)
    kept = cache_folder() / f"{source.sha256[:16]}-{Path(source.mirror_path).name}"
    return [*([Path(mirror) / source.mirror_path] if mirror else []), kept]


def local(source: DataSet) -> Path | None:
    """Give the first copy of an upstream file that is on this computer, whatever it holds, or None."""
    return next((path for path in _places(source) if path.is_file()), None)


def fetch(source: DataSet) -> Path:
    """Give the path of an upstream file whose sha256 is right: from the mirror, the cache, or the network.

    Raises
    ------
    AlphaflopsError
        If the file has another hash, or cannot be reached.
    """
    here = local(source)
    if here is not None:
        if (found := files.sha256(here)) != source.sha256:
            raise AlphaflopsError(f"{here} has sha256 {found[:12]}…, expected {source.sha256[:12]}…: remove it")
        return here
    pooch, target = _pooch(), _places(source)[-1]
    try:
        pooch.get_logger().setLevel("WARNING")
        pooch.retrieve(source.url, f"sha256:{source.sha256}", target.name, target.parent)
    except ValueError as error:
        raise AlphaflopsError(f"{source.url} gave a file with another sha256: not used") from error
    except Exception as error:  # requests, urllib3 and OS errors share no base class
        why = f"data set {source.name!r} cannot be downloaded ({type(error).__name__})"
        how = f"connect to the network or point {MIRROR} at a folder of copies"
        raise AlphaflopsError(f"{why}: {how}") from error
    return target


def runs_folder() -> Path:
    """Folder of the bundled runs."""
    return data_folder() / "runs"


def bundled() -> list[str]:
    """Names of the finished runs in `runs_folder` that can be read."""
    return list(metas())


def metas() -> dict[str, dict[str, Any]]:
    """Metadata of each of `bundled`, by name."""
    try:
        told = {path.name: _meta(path.name) for path in sorted(runs_folder().iterdir())}
    except OSError:
        return {}
    return {name: meta for name, meta in told.items() if isinstance(meta, dict)}


def _meta(name: str) -> dict[str, Any] | str | None:
    """Give the metadata of a run in `runs_folder`, or why it is left out; None where no finished run has that name.

    What is left out no chapter shows, and none fails for it.
    """
    path = runs_folder() / name
    if name != path.name or name.startswith(".") or not os.path.isfile(path / RUN_FILE):
        return None
    return _checked(path, _stamp(path))


def _stamp(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Say which files a folder holds: what was read of it holds as long as this is the same."""
    told = [(entry.name, entry.stat(follow_symlinks=False)) for entry in os.scandir(path)]
    return tuple(sorted((name, stat.st_mtime_ns, stat.st_size) for name, stat in told))


@lru_cache(maxsize=64)
def _checked(path: Path, _: tuple[tuple[str, int, int], ...]) -> dict[str, Any] | str:
    if not is_slug(path.name):
        return "the name of the folder is no name of a run: use a-z, 0-9 and single . _ -"
    try:
        meta = whole_meta(read_files(path), str(path))
    except AlphaflopsError as error:
        return files.one_line(error)
    return meta if meta["run_id"] == path.name else f"the folder holds a run of another name, {meta['run_id']!r}"


_read: Callable[[Path, Any], Run] = lru_cache(maxsize=64)(lambda path, _: Run.read(path))


def entries() -> dict[str, DataSet]:
    """Describe every data set by name: those of ``datasets.json``, then other runs in `runs_folder`."""
    here, known = metas(), registered()
    listed = {name: entry for name, entry in known.items() if entry.reader != OWN or name in here}
    return listed | {name: _described(name, meta) for name, meta in here.items() if name not in known}


def _described(name: str, meta: Mapping[str, Any]) -> DataSet:
    machine = str(meta["machine"]["name"])
    vendor = "CPU" if meta["device"] == "cpu" else "AMD" if machine.startswith(("AMD", "Radeon")) else "NVIDIA"
    return DataSet(name, OWN, machine, vendor, "apart", "CC-BY-4.0", "received", "stands in run.json")


def names() -> list[str]:
    """Names that `load` knows; those of a find-db also take a variant, such as ``miopen-mi100:fp16``."""
    return list(entries())


def load(name: str | Path) -> Run:
    """Load a data set or a run.

    Parameters
    ----------
    name : str or Path
        A name from `names`, a run folder, or a CSV file with the layer columns and ``latency_ms``. A find-db gives fp32
        and the forward direction unless its name is followed by ``:fp16``, ``:backward-data``, ``:backward-weights``,
        or a number type and a direction (``miopen-mi100:fp16:backward-data``).

    Raises
    ------
    AlphaflopsError
        If nothing of that name exists, the file cannot be had, or its content is not what it should be.
    """
    from .readers import READERS, from_csv

    base, _, variant = str(name).partition(":")
    source = registered().get(base)
    if source and source.reader != OWN and (not variant or source.reader == "miopen"):
        return READERS[source.reader](source, fetch(source), *([variant] if variant else []))
    if isinstance(told := _meta(str(name)), str):
        raise AlphaflopsError(f"run {str(name)!r} is left out: {told}")
    if told:
        held = _read(own := runs_folder() / str(name), _stamp(own))
        return Run.made(held.meta, held.table.copy(), held.samples)
    path = Path(name)
    if os.path.isdir(path):
        return Run.read(path)
    if path.suffix.lower() == ".csv":
        return from_csv(path)
    raise AlphaflopsError(f"run {str(name)!r} is unknown: give a folder, a CSV file or one of {', '.join(names())}")


def available(name: str) -> bool:
    """Whether a data set can be loaded now without the network: bundled, mirrored or downloaded before."""
    source = registered().get(name.partition(":")[0])
    if source is None or source.reader == OWN:
        return name in bundled()
    return local(source) is not None


def at_hand(*roles: str) -> list[str]:
    """Name the data sets of some roles, or of all, that can be loaded now without the network."""
    return [name for name, entry in entries().items() if (not roles or entry.role in roles) and available(name)]


def authors() -> Run | None:
    """Load the layers that the paper's authors measured; None where their data cannot be had without the network."""
    return load(AUTHORS).ok if available(AUTHORS) else None


def inventory() -> list[dict[str, Any]]:
    """Describe each of `names`: name, vendor, machine, role, origin, points (None until it is here), where it is."""
    told = []
    for name, entry in entries().items():
        own = entry.reader == OWN
        here = runs_folder() / name if own else local(entry)
        about: dict[str, Any] = {"name": name, "vendor": entry.vendor, "machine": entry.device, "role": entry.role}
        about |= {"origin": "measured" if own else "upstream", "points": len(load(name).table) if here else None}
        told.append(about | {"where": str(here or "downloaded on first use")})
    return told
