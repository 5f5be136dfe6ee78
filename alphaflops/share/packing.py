"""A run as one small file for others: what may leave is listed, so nothing private need be looked for."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from .. import experiments, files
from ..errors import AlphaflopsError
from ..runs import Run
from ..runs.derive import OTHER
from ..runs.run import RUN_FILE, SIZES
from ..runs.schema import check_slug, meta_schema
from .plausibility import problems

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

WORDS: Final = ("throttle", "energy_source")
"""Text columns that hold words of this program alone."""


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
    if "message" in table:
        table["message"] = ""
    for column in WORDS:
        if column in table:
            table[column] = table[column].where(table[column].str.fullmatch(r"[a-z+-]{0,80}"), "")
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
    name = check_slug(run_id or run.id)
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
    content = files.read_zip(archive, SIZES, where)
    if RUN_FILE not in content:
        raise AlphaflopsError(f"{where} holds no run: it has no {RUN_FILE}")
    meta = files.parse_json(content[RUN_FILE], f"{where}/{RUN_FILE}")
    files.check(meta, meta_schema()["$defs"]["sent"], where, needed=True)
    run = Run.parse(content, where)
    check_slug(run.id)
    return run


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
