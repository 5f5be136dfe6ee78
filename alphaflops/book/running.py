"""Run notebooks in a folder outside the sources, and keep of them only what is the same in every run."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..errors import AlphaflopsError
from ..runs import datasets
from . import noting, provenance
from .contents import Chapter, read_text

TIMEOUT_S = 1800
"""Longest time that one cell may take (s)."""


def missing(needs: Sequence[str]) -> str | None:
    """Say why the first of some data sets that cannot be had is missing; None where all are here."""
    for name in needs:
        try:
            datasets.load(name)
        except AlphaflopsError as error:
            return str(error)
    return None


def run_all(wanted: Sequence[Chapter], folder: Path, parameters: Mapping[str, Any], jobs: int) -> None:
    """Run chapters into a folder; one whose data cannot be had shows its committed results and says so.

    Parameters
    ----------
    wanted : sequence of Chapter
    folder : Path
        Gets one notebook per chapter.
    parameters : mapping
        Given to each notebook that has them.
    jobs : int
        Notebooks run at a time.

    Raises
    ------
    AlphaflopsError
        If no notebook has a parameter, or a notebook fails.
    """
    folder.mkdir(exist_ok=True)
    bare = {chapter: _write_bare(chapter, folder) for chapter in wanted}
    known = {chapter: known_parameters(path) for chapter, path in bare.items()}
    for name in parameters:
        if not any(name in names for names in known.values()):
            choices = ", ".join(sorted(set().union(*known.values())))
            raise AlphaflopsError(f"parameter {name!r} is in no notebook: choose one of {choices}")
    absent = {needs: missing(needs) for needs in {chapter.needs for chapter in wanted}}
    threads = max(1, (os.cpu_count() or 1) // jobs)

    def run(chapter: Chapter) -> None:
        out = folder / chapter.committed.name
        if reason := absent[chapter.needs]:
            _write_committed(chapter, out, reason)
            return
        given = {name: value for name, value in parameters.items() if name in known[chapter]}
        _execute(bare[chapter], out, given, threads)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(run, wanted))
    for path in bare.values():
        path.unlink(missing_ok=True)


def _write_bare(chapter: Chapter, folder: Path) -> Path:
    path = folder / f"{chapter.name}.bare.ipynb"
    _write_notebook(read_text(chapter.text), path)
    return path


def _write_notebook(notebook: Any, path: Path) -> None:
    import nbformat

    nbformat.write(notebook, path)


def known_parameters(notebook: Path) -> set[str]:
    """Names of the parameters of a notebook."""
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
