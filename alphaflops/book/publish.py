"""From text to book: notebooks are run in a stage outside the sources, then Jupyter Book builds pages from the stage.

A chapter is ``notebooks/NN_name.md`` (MyST text with a ``parameters`` cell) and beside it the same notebook run with
default parameters, ``NN_name.ipynb``, which only `notebooks` rewrites. To add one: write the text with the header of
an existing chapter, name the data sets it needs under ``alphaflops: needs:``, list it in ``_toc.yml``, run
``alphaflops refresh notebooks``, and commit both files.
"""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ..errors import AlphaflopsError
from ..files import SUMS, changed, read_bytes, sums, write_atomic
from ..runs import datasets
from .contents import chapters, checkout
from .execute import execute, missing, program, run_all

SOURCES: Final = ("book", "_config.yml", "_toc.yml")
"""What a book is made of beside its notebooks."""
COMPARING: Final = "your_machine"
"""End of the name of the chapter that puts machines beside each other."""


def build(runs: Sequence[str | Path] | None = None, folder: Path | None = None, *, jobs: int = 2, **given: Any) -> Path:
    """Run the notebooks and build the book.

    Parameters
    ----------
    runs : sequence of str or Path, optional
        Names, folders or CSV files of runs to show beside the authors' data and the bundled reference runs.
    folder : Path, optional
        Gets ``html/``; ``_build`` in the checkout by default. An older book in it stays until the new one is complete.
    jobs : int
        Notebooks run at a time.
    **given
        Further parameters, given to each notebook that has them. ``out`` is the folder of a run to be measured.

    Returns
    -------
    Path
        The book's ``index.html``.

    Raises
    ------
    AlphaflopsError
        If a run or parameter is unknown, a notebook fails, the book has a warning, or `folder` cannot be used.
    """
    folder, wanted = (folder or checkout() / "_build").resolve(), chapters()
    html = folder / "html"
    if html.exists() and not (html / SUMS).is_file():
        raise AlphaflopsError(f"{html} exists and holds no book: choose another folder or remove it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="stage-", dir=folder) as name:
            stage = Path(name)
            _stage_sources(stage)
            if runs:
                given["runs"] = stage_runs(runs, stage)
            if "out" in given:  # a link beside the stage's notebooks, so that no path of this computer gets into a page
                out = Path(given["out"]).resolve()
                out.parent.mkdir(parents=True, exist_ok=True)
                (stage / "measured").symlink_to(out.parent)
                given["out"] = f"../measured/{out.name}"
            for line in run_all(wanted, stage / "notebooks", given, jobs):
                print(line, file=sys.stderr)  # noqa: T201 - the book is built all the same
            build_pages(stage)
            if html.exists():
                html.rename(stage / "replaced")
            (stage / "_build" / "html").rename(html)
    except OSError as error:
        raise AlphaflopsError(f"{folder} cannot be written: {error.strerror}") from error
    return html / "index.html"


def rerun(device: str, profile: str, runs: Sequence[str | Path] | None = None, folder: Path | None = None) -> Path:
    """Measure every chapter's layers on this machine and build the book with it beside the paper's.

    The notebooks measure; this gives them their parameters. All chapters share one run folder beside the book, named by
    device and profile; layers that it holds already are not measured again.

    Parameters
    ----------
    device, profile : str
        As for `alphaflops.measure`.
    runs, folder
        As for `build`.

    Returns
    -------
    Path
        The book's ``index.html``.
    """
    out = (folder or checkout() / "_build") / "runs" / re.sub(r"\W", "-", f"{device}-{profile}")
    return build(runs, folder, device=device, profile=profile, out=out)


def page(runs: Sequence[str | Path], target: Path) -> Path:
    """Write the chapter that compares machines as one file to send: tables and figures inside, nothing to fetch.

    Parameters
    ----------
    runs : sequence of str or Path
        Names, folders or CSV files of the runs to show beside the authors' data and the bundled reference runs.
    target : Path
        The HTML file.

    Raises
    ------
    AlphaflopsError
        If a run is unknown, the chapter fails with the runs, or the file cannot be written.
    """
    import nbformat
    from nbconvert import HTMLExporter

    (chapter,) = [one for one in chapters() if one.name.endswith(COMPARING)]
    none = dict.fromkeys(("mathjax_url", "require_js_url", "jquery_url", "mermaid_js_url"), "")
    exporter = HTMLExporter(exclude_input=True, embed_images=True, **none)
    with tempfile.TemporaryDirectory() as name:
        run = Path(name) / "notebooks" / chapter.committed.name
        run.parent.mkdir()
        execute(chapter.text, run, {"runs": stage_runs(runs, Path(name))})
        body, _ = exporter.from_notebook_node(nbformat.read(run, 4))
    write_atomic(target, body.encode())
    return target


def notebooks(*, jobs: int = 2) -> list[Path]:
    """Rewrite the committed notebooks from their text, run with default parameters.

    Returns
    -------
    list of Path
        The notebooks, in the order of the book.

    Raises
    ------
    AlphaflopsError
        If a notebook fails, needs data that cannot be had or cannot show a run of the checkout; then none is changed.
    """
    wanted = chapters()
    for chapter in wanted:
        if reason := missing(chapter.needs):
            raise AlphaflopsError(f"{chapter.text.name} cannot be run: {reason}")
    with tempfile.TemporaryDirectory() as folder:
        if told := run_all(wanted, Path(folder), {}, jobs):
            raise AlphaflopsError(told[0])
        for chapter in wanted:
            write_atomic(chapter.committed, (Path(folder) / chapter.committed.name).read_bytes())
    return [chapter.committed for chapter in wanted]


def stage_committed(stage: Path) -> None:
    """Copy sources and committed notebooks into an empty folder: a book of which nothing has to be run."""
    _stage_sources(stage)
    for chapter in chapters():
        _copy(chapter.committed, stage / "notebooks" / chapter.committed.name)


def _stage_sources(stage: Path) -> None:
    for name in SOURCES:
        _copy(checkout() / name, stage / name)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)


def stage_runs(runs: Sequence[str | Path], stage: Path) -> list[str]:
    """Copy runs into a stage, so that no path of this computer gets into a page; names of data sets stay.

    Raises
    ------
    AlphaflopsError
        If a run is unknown, damaged or given twice.
    """
    given = []
    for run in runs:
        run_id = datasets.load(run).id
        if str(run) in datasets.names():
            given.append(str(run))
            continue
        name = re.sub(r"[^\w.-]", "-", run_id) + Path(run).suffix * Path(run).is_file()
        if (stage / "runs" / name).exists():
            raise AlphaflopsError(f"run {run_id!r} is given twice: name each run once")
        _copy(Path(run), stage / "runs" / name)
        given.append(f"../runs/{name}")
    return given


def build_pages(stage: Path) -> None:
    """Build the pages from a stage, warnings as errors, and write their checksums beside them.

    Raises
    ------
    AlphaflopsError
        With the first warning or error.
    """
    jupyter_book = (sys.executable, "-c", "from jupyter_book.cli.main import main; main()")
    told = program([*jupyter_book, "build", str(stage), "-W", "--keep-going", "--quiet"])
    if told:
        loud = [line for line in told if re.search(r"WARNING|ERROR|^[\w.]*Error", line)]
        first = loud[0].replace(f"{stage}{os.sep}", "") if loud else "jupyter-book gave no message"
        raise AlphaflopsError(f"the book was not built: {first}")
    html = stage / "_build" / "html"
    # a hash of the configuration, which names folders of the virtual environment
    (html / ".buildinfo").unlink(missing_ok=True)
    write_sums(html)


def _files(html: Path) -> dict[str, bytes | Path]:
    found = sorted(path for path in html.rglob("*") if path.is_file() and path.name != SUMS)
    return {path.relative_to(html).as_posix(): path for path in found}


def write_sums(html: Path) -> None:
    """Write the checksums of a book, last of all."""
    (html / SUMS).write_bytes(sums(_files(html)))


def check_sums(html: Path) -> int:
    """Hold a built book against its checksums and give the number of files.

    Raises
    ------
    AlphaflopsError
        If the checksums cannot be read, or naming the first file that is missing, extra or changed.
    """
    found = _files(html)
    if odd := changed(read_bytes(html / SUMS), found):
        raise AlphaflopsError(f"{html}: {odd[0]}: build the book again")
    return len(found)
