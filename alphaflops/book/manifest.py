"""The list of a built book: every file with its hash, every figure and number with the data behind it.

``manifest.json`` lies beside ``index.html``. It is written last, from the records that the notebooks carry, and
`check` holds a book against it.
"""

import hashlib
import json
import platform
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from .. import __version__, paths
from ..errors import AlphaflopsError
from ..runs import read_json
from .provenance import code_sha256

MANIFEST: Final = "manifest.json"

LIBRARIES: Final = ("jupyter-book", "matplotlib", "myst-nb", "numpy", "pandas", "scipy", "seaborn", "sphinx", "torch")
"""Libraries whose version may show in a page."""

CALCULATOR: Final = ("book/calculator.html", "_static/calculator-data.js")
"""The page that computes in the browser, and the script that gives it its numbers."""


def hashes(html: Path) -> dict[str, str]:
    """Hash every file of a built book but the manifest: sha256 by path, sorted."""
    files = sorted(path for path in html.rglob("*") if path.is_file())
    found = {path.relative_to(html).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return {name: digest for name, digest in found.items() if name != MANIFEST}


def write(html: Path, notebooks: Path) -> Path:
    """Write the manifest of a book.

    Parameters
    ----------
    html : Path
        The built book.
    notebooks : Path
        Folder of the executed notebooks that it was built from.
    """
    import nbformat

    files = hashes(html)
    pages: dict[str, Any] = {}
    for path in sorted(notebooks.glob("*.ipynb")):
        metadata = nbformat.read(path, 4).metadata
        told = metadata.get("alphaflops", {}).get("provenance")
        if told is not None:
            name = f"notebooks/{path.stem}.html"
            pages[name] = _page(told, (html / name).read_text(encoding="utf-8"), files)
    if CALCULATOR[1] in files:
        pages[CALCULATOR[0]] = _calculator(files)
    content = {
        "version": __version__,
        "code": code_sha256(),
        "software": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
        "data": _data(pages),
        "pages": pages,
        "files": files,
    }
    target = html / MANIFEST
    target.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return target


def _page(told: Mapping[str, Any], text: str, files: Mapping[str, str]) -> dict[str, Any]:
    images = dict(re.findall(r'<figure[^>]* id="([\w-]+)".*?<img[^>]* src="(?:\.\./)*([^"]+)"', text, re.DOTALL))
    made = []
    for entry in told["made"]:
        image = images.get(entry["name"])
        made.append({**entry, "file": image, "sha256": files[image]} if image else dict(entry))
    return {**told, "made": made}


def _calculator(files: Mapping[str, str]) -> dict[str, Any]:
    folder = paths.data_folder()
    found = {path.relative_to(folder).as_posix(): path for path in sorted((folder / "calibrations").glob("*.json"))}
    data = {
        name: {"file": f"data/{name}", "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for name, path in found.items()
    }
    script = {"kind": "script", "name": CALCULATOR[1], "data": list(data), "parameters": []}
    made = [{**script, "file": CALCULATOR[1], "sha256": files[CALCULATOR[1]]}]
    return {"version": __version__, "code": code_sha256(), "parameters": {}, "data": data, "made": made}


def _data(pages: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Turn the pages' data around: each file once, with the pages that show it."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for page, told in pages.items():
        for name, entry in told["data"].items():
            found.setdefault((name, entry["file"], entry["sha256"]), []).append(page)
    return [
        {"id": name, "file": file, "sha256": digest, "pages": shown}
        for (name, file, digest), shown in sorted(found.items())
    ]


def check(html: Path) -> int:
    """Hold a built book against its manifest and give the number of files.

    Raises
    ------
    AlphaflopsError
        If the manifest is damaged, or naming the first file that is missing, extra or changed.
    """
    content = read_json(html / MANIFEST)
    wanted = content.get("files")
    if not isinstance(wanted, dict):
        raise AlphaflopsError(f"{html / MANIFEST} lists no files: build the book again")
    found = hashes(html)
    for name in sorted({*wanted, *found}):
        if wanted.get(name) != found.get(name):
            state = "is missing" if name not in found else "has changed" if name in wanted else "is not listed"
            raise AlphaflopsError(f"{html}: {name} {state}: build the book again")
    return len(found)
