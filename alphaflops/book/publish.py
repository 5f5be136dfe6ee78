"""From text to book: notebooks are run in a stage outside the sources, then Jupyter Book builds pages from the stage.

A chapter is ``notebooks/NN_name.md`` (MyST text with a ``parameters`` cell) and beside it the same notebook run with
default parameters, ``NN_name.ipynb``, which only `update` rewrites. To add one: write the text with the header of an
existing chapter, name the data sets it needs under ``alphaflops: needs:``, list it in ``_toc.yml``, run
``alphaflops update``, and commit both files.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import AlphaflopsError
from ..runs import datasets, replace_file
from . import manifest
from .contents import chapters, checkout
from .running import missing, run_all

SOURCES = (
    "book",
    "_config.yml",
    "_toc.yml",
    ".ci/run",
    ".github/workflows/ci.yml",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "Dockerfile",
    "LICENSE",
    "LICENSE-data",
    "README.md",
    "REPRODUCING.md",
    "codemeta.json",
    "constraints.txt",
    "data/upstream.json",
    "environment.yml",
    "tests",
    "workflow",
)
"""What a book is made of beside its notebooks, and what its pages offer as a download."""


def default_out() -> Path:
    """Folder of the book where none is named: ``_build`` in the checkout."""
    return checkout() / "_build"


def build(
    runs: Sequence[str | Path] | None = None,
    out: Path | None = None,
    *,
    jobs: int = 2,
    parameters: Mapping[str, Any] | None = None,
) -> Path:
    """Run the notebooks and build the book.

    Parameters
    ----------
    runs : sequence of str or Path, optional
        Names, folders or CSV files of runs to show beside the authors' data and the bundled reference runs.
    out : Path, optional
        Folder that gets ``html/``; `default_out` by default. An older book in it stays until the new one is complete.
    jobs : int
        Notebooks run at a time.
    parameters : mapping, optional
        Further parameters, given to each notebook that has them.

    Returns
    -------
    Path
        The book's ``index.html``.

    Raises
    ------
    AlphaflopsError
        If a run or parameter is unknown, a notebook fails, the book has a warning, or `out` cannot be used.
    """
    root, out = checkout(), Path(out or default_out()).resolve()
    html = out / "html"
    if html.exists() and not (html / ".buildinfo").is_file():
        raise AlphaflopsError(f"{html} exists and holds no book: choose another folder or remove it")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="stage-", dir=out) as folder:
            stage = Path(folder)
            for name in SOURCES:
                _copy(root / name, stage / name)
            given = {**(parameters or {}), **({"runs": _staged_runs(runs, stage)} if runs else {})}
            run_all(chapters(), stage / "notebooks", given, jobs)
            build_pages(stage)
            if html.exists():
                html.rename(stage / "replaced")
            (stage / "_build" / "html").rename(html)
    except OSError as error:
        raise AlphaflopsError(f"{out} cannot be written: {error.strerror}") from error
    return html / "index.html"


def update(*, jobs: int = 2) -> list[Path]:
    """Rewrite the committed notebooks from their text, run with default parameters.

    Returns
    -------
    list of Path
        The notebooks, in the order of the book.

    Raises
    ------
    AlphaflopsError
        If a notebook fails or needs data that cannot be had; then no notebook is changed.
    """
    wanted = chapters()
    for chapter in wanted:
        if reason := missing(chapter.needs):
            raise AlphaflopsError(f"{chapter.text.name} cannot be run: {reason}")
    with tempfile.TemporaryDirectory() as folder:
        run_all(wanted, Path(folder), {}, jobs)
        for chapter in wanted:
            replace_file(chapter.committed, (Path(folder) / chapter.committed.name).read_bytes())
    return [chapter.committed for chapter in wanted]


def stage_committed(stage: Path) -> None:
    """Copy sources and committed notebooks into an empty folder: a book of which nothing has to be run."""
    for name in SOURCES:
        _copy(checkout() / name, stage / name)
    for chapter in chapters():
        _copy(chapter.committed, stage / "notebooks" / chapter.committed.name)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)


def _staged_runs(runs: Sequence[str | Path], stage: Path) -> list[str]:
    given = []
    for run in runs:
        run_id = datasets.load(run).id  # an unknown or damaged run is refused before anything is run
        if str(run) in datasets.names():
            given.append(str(run))
            continue
        # copied, so that no path of this computer gets into a page
        name = re.sub(r"[^\w.-]", "-", run_id) + Path(run).suffix * Path(run).is_file()
        if (stage / "runs" / name).exists():
            raise AlphaflopsError(f"run {run_id!r} is given twice: name each run once")
        (stage / "runs").mkdir(exist_ok=True)
        _copy(Path(run), stage / "runs" / name)
        given.append(f"../runs/{name}")
    return given


def build_pages(stage: Path) -> None:
    """Build the pages from a stage, warnings as errors, and write their manifest beside them.

    Raises
    ------
    AlphaflopsError
        With the first warning or error.
    """
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(stage)]
    command += ["-W", "--keep-going", "--quiet"]
    # with SOURCE_DATE_EPOCH, Sphinx would write its year into the copyright, depending on today's
    settings = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    settings["PYTHONHASHSEED"] = "0"
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    if done.returncode:
        plain = re.sub(r"\x1b\[[0-9;]*m", "", done.stderr + done.stdout).replace(f"{stage}{os.sep}", "")
        lines = [line for line in plain.splitlines() if re.search(r"WARNING|ERROR|^[\w.]*Error", line)]
        raise AlphaflopsError(f"the book was not built: {lines[0] if lines else 'jupyter-book gave no message'}")
    manifest.write(stage / "_build" / "html", stage / "notebooks")
