"""Data sets by name: where each comes from, whose machine it is, and how its file gets here.

Files of others are downloaded once and checked by their hash; they are never committed.
"""

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from .. import files
from ..errors import AlphaflopsError
from ..paths import data_folder

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
    schema = json.loads(Path(__file__).with_name("datasets.schema.json").read_text(encoding="utf-8"))
    files.check(content, schema, where)
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
        raise AlphaflopsError(
            f"data set {source.name!r} cannot be downloaded ({type(error).__name__}): "
            f"connect to the network or point {MIRROR} at a folder of copies"
        ) from error
    return target
