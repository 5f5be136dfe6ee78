"""From text to book: notebooks are run in a stage outside the sources, then Jupyter Book builds pages from the stage.

A chapter is ``notebooks/NN_name.md`` (MyST text with a ``parameters`` cell) and beside it the same notebook run with
default parameters, ``NN_name.ipynb``, which only `update` rewrites. To add one: write the text with the header of an
existing chapter, name the data sets it needs under ``alphaflops: needs:``, list it in ``_toc.yml``, run
``alphaflops update``, and commit both files.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import datasets, paths
from ..errors import AlphaflopsError
from ..records import replace_file
from . import manifest, noting, provenance

TIMEOUT_S = 1800
"""Longest time that one cell may take (s)."""

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


@dataclass(frozen=True)
class Chapter:
    """One notebook of the book.

    Parameters
    ----------
    text : Path
        The MyST source.
    needs : tuple of str
        Data sets without which it cannot run.
    """

    text: Path
    needs: tuple[str, ...]

    @property
    def name(self) -> str:
        """File name without its ending."""
        return self.text.stem

    @property
    def committed(self) -> Path:
        """The notebook with the outputs of its default run."""
        return self.text.with_suffix(".ipynb")


def default_out() -> Path:
    """Folder of the book where none is named: ``_build`` in the checkout."""
    return _checkout() / "_build"


def _checkout() -> Path:
    if not paths.in_checkout() or not (paths.CHECKOUT / "_toc.yml").is_file():
        raise AlphaflopsError("the book's sources are not here: run this in a checkout of the repository")
    return paths.CHECKOUT


def chapters(checkout: Path | None = None) -> list[Chapter]:
    """Notebooks of the book in the order of ``_toc.yml``."""
    import yaml

    root = checkout or _checkout()
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    texts = [root / f"{name}.md" for name in _files(toc) if name.startswith("notebooks/")]
    return [Chapter(text, tuple(_read(text).metadata.get("alphaflops", {}).get("needs", ()))) for text in texts]


def _files(node: Any) -> list[str]:
    if isinstance(node, list):
        return [name for item in node for name in _files(item)]
    if not isinstance(node, dict):
        return []
    own = [str(node[key]) for key in ("root", "file") if key in node]
    return own + [name for value in node.values() if isinstance(value, list) for name in _files(value)]


def _read(text: Path) -> Any:
    import jupytext

    try:
        notebook = jupytext.read(text)
    except OSError as error:
        raise AlphaflopsError(f"{text} is in _toc.yml but cannot be read: {error.strerror}") from error
    for i, cell in enumerate(notebook.cells):  # jupytext's own ids are random
        cell.id = f"c{i:02d}-{hashlib.sha256(cell.source.encode()).hexdigest()[:8]}"
    return notebook


def _missing(needs: Sequence[str]) -> str | None:
    for name in needs:
        try:
            datasets.load(name)
        except AlphaflopsError as error:
            return str(error)
    return None


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
    checkout, out = _checkout(), Path(out or default_out()).resolve()
    html = out / "html"
    if html.exists() and not (html / ".buildinfo").is_file():
        raise AlphaflopsError(f"{html} exists and holds no book: choose another folder or remove it")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="stage-", dir=out) as folder:
            stage = Path(folder)
            for name in SOURCES:
                _copy(checkout / name, stage / name)
            given = {**(parameters or {}), **({"runs": _staged_runs(runs, stage)} if runs else {})}
            _run_all(chapters(checkout), stage / "notebooks", given, jobs)
            _build_pages(stage)
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
        if reason := _missing(chapter.needs):
            raise AlphaflopsError(f"{chapter.text.name} cannot be run: {reason}")
    with tempfile.TemporaryDirectory() as folder:
        _run_all(wanted, Path(folder), {}, jobs)
        for chapter in wanted:
            replace_file(chapter.committed, (Path(folder) / chapter.committed.name).read_bytes())
    return [chapter.committed for chapter in wanted]


def stage_committed(stage: Path) -> None:
    """Copy sources and committed notebooks into an empty folder: a book of which nothing has to be run."""
    for name in SOURCES:
        _copy(_checkout() / name, stage / name)
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


def _run_all(wanted: Sequence[Chapter], folder: Path, parameters: Mapping[str, Any], jobs: int) -> None:
    folder.mkdir(exist_ok=True)
    bare = {chapter: _write_bare(chapter, folder) for chapter in wanted}
    known = {chapter: _known_parameters(path) for chapter, path in bare.items()}
    for name in parameters:
        if not any(name in names for names in known.values()):
            choices = ", ".join(sorted(set().union(*known.values())))
            raise AlphaflopsError(f"parameter {name!r} is in no notebook: choose one of {choices}")
    absent = {needs: _missing(needs) for needs in {chapter.needs for chapter in wanted}}
    threads = max(1, (os.cpu_count() or 1) // jobs)

    def run(chapter: Chapter) -> None:
        out = folder / chapter.committed.name
        if reason := absent[chapter.needs]:
            _write_committed(chapter, out, reason)
            return
        given = {name: value for name, value in parameters.items() if name in known[chapter]}
        _execute(bare[chapter], out, given, threads)
        bare[chapter].unlink()

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(run, wanted))
    for path in bare.values():
        path.unlink(missing_ok=True)


def _write_bare(chapter: Chapter, folder: Path) -> Path:
    path = folder / f"{chapter.name}.bare.ipynb"
    _write_notebook(_read(chapter.text), path)
    return path


def _write_notebook(notebook: Any, path: Path) -> None:
    import nbformat

    nbformat.write(notebook, path)


def _known_parameters(notebook: Path) -> set[str]:
    import papermill

    return set(papermill.inspect_notebook(str(notebook)))


def _write_committed(chapter: Chapter, out: Path, reason: str) -> None:
    import nbformat

    try:
        notebook = nbformat.read(chapter.committed, 4)
    except OSError as error:
        raise AlphaflopsError(f"{chapter.committed} cannot be read: run `alphaflops update`") from error
    note = f":::{{note}}\nThis chapter was not run just now: {reason}. It shows the committed results.\n:::"
    cell = nbformat.v4.new_markdown_cell(note, id="not-run")
    notebook.cells.insert(1, cell)
    _write_notebook(notebook, out)


def _execute(bare: Path, out: Path, parameters: Mapping[str, Any], threads: int) -> None:
    command = [sys.executable, "-m", "papermill", str(bare), str(out), "--kernel", "python3", "--cwd", str(bare.parent)]
    command += ["--no-progress-bar", "--no-request-save-on-cell-execute", "--execution-timeout", str(TIMEOUT_S)]
    command += ["--parameters_yaml", json.dumps(dict(parameters))] if parameters else []
    settings = {
        "OMP_NUM_THREADS": str(threads),
        "PYTHONHASHSEED": "0",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    }
    given = bare.parent.parent / "runs"
    with tempfile.TemporaryDirectory() as folder:
        noting.prepare(Path(folder), provenance.roots(given))
        environment = {**os.environ, **settings, "IPYTHONDIR": folder}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        notes = noting.read(Path(folder))
    if done.returncode or notes is None:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise AlphaflopsError(f"notebook {out.stem} failed: {lines[-1] if lines else 'its kernel took no notes'}")
    _clean(out, notes, given)


def _clean(path: Path, notes: Sequence[noting.Note], given: Path) -> None:
    """Drop what differs from run to run (times, paths, versions, random ids) and add where the outputs come from."""
    import nbformat

    notebook = nbformat.read(path, 4)
    notebook.metadata.pop("papermill", None)
    notebook.metadata.get("language_info", {}).pop("version", None)
    for i, cell in enumerate(notebook.cells):
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if cell.metadata.get("tags") == []:
            del cell.metadata["tags"]
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.id, cell.metadata["tags"] = f"c{i:02d}-parameters", ["injected-parameters", "remove-cell"]
    try:
        told = provenance.record(notebook, notes, given)
    except AlphaflopsError as error:
        raise AlphaflopsError(f"notebook {path.stem}: {error}") from error
    notebook.metadata["alphaflops"] = {**notebook.metadata.get("alphaflops", {}), "provenance": told}
    _write_notebook(notebook, path)


def _build_pages(stage: Path) -> None:
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
