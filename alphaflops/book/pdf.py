"""The whole book as one PDF: all pages in one, printed by a Chromium that is installed here."""

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from ..errors import AlphaflopsError
from ..files import write_atomic
from . import publish
from .contents import Chapter, chapters
from .execute import program

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--no-pdf-header-footer",
    "--virtual-time-budget=20000",
)
TIMEOUT_S: Final = 300


def browser() -> str:
    """Give the command of an installed browser that can print.

    Raises
    ------
    AlphaflopsError
        If there is none.
    """
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        raise AlphaflopsError(f"no browser to print with: install one of {', '.join(BROWSERS)}")
    return found


def print_book(out: Path) -> Path:
    """Print the committed chapters; nothing is measured or run.

    Parameters
    ----------
    out : Path
        The PDF; an older one stays until the new one is complete.

    Raises
    ------
    AlphaflopsError
        If no browser is installed, the pages cannot be built or printed, or `out` cannot be written.
    """
    command = browser()
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder)
        publish.stage_committed(stage)
        page = _one_page(stage, chapters()[0])
        printed = stage / "book.pdf"
        _run([command, *FLAGS, f"--user-data-dir={stage / 'profile'}", f"--print-to-pdf={printed}", page.as_uri()])
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(out, printed.read_bytes())
        except OSError as error:
            raise AlphaflopsError(f"{out} cannot be written: {error.strerror}") from error
    return out


def _one_page(stage: Path, root: Chapter) -> Path:
    _run([*publish.JUPYTER_BOOK, str(stage), "--builder", "singlehtml", "--quiet"])
    html = stage / "_build" / "singlehtml"
    # The page lies in a folder but refers to its styles and figures as if it lay above.
    return Path(shutil.copyfile(html / "notebooks" / f"{root.name}.html", html / "book.html"))


def _run(command: list[str]) -> None:
    name = Path(command[0]).name
    try:
        told = program(command, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise AlphaflopsError(f"{name} took longer than {TIMEOUT_S} s") from error
    if told:
        raise AlphaflopsError(f"{name} failed: {told[-1]}")
