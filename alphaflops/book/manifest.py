"""The list of a built book: every file with its sha256, as ``sha256sum --check`` reads it."""

from pathlib import Path
from typing import Final

from ..errors import AlphaflopsError
from ..files import read_bytes, sha256

MANIFEST: Final = "SHA256SUMS"


def hashes(html: Path) -> dict[str, str]:
    """Hash every file of a built book but the manifest: sha256 by path, sorted."""
    files = sorted(path for path in html.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(html).as_posix(): sha256(path) for path in files}


def write(html: Path) -> None:
    """Write the manifest of a book, last of all."""
    text = "".join(f"{digest}  {name}\n" for name, digest in hashes(html).items())
    (html / MANIFEST).write_text(text, encoding="utf-8")


def check(html: Path) -> int:
    """Hold a built book against its manifest and give the number of files.

    Raises
    ------
    AlphaflopsError
        If the manifest cannot be read, or naming the first file that is missing, extra or changed.
    """
    lines = read_bytes(html / MANIFEST).decode("utf-8", "replace").splitlines()
    wanted = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    found = hashes(html)
    for name in sorted({*wanted, *found}):
        if wanted.get(name) != found.get(name):
            state = "is missing" if name not in found else "has changed" if name in wanted else "is not listed"
            raise AlphaflopsError(f"{html}: {name} {state}: build the book again")
    return len(found)
