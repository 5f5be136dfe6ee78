"""Run chapters by papermill in a folder outside the sources, and keep only what is the same in every run."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import AlphaflopsError
from ..files import markdown
from ..runs import datasets
from ..runs.datasets import registered
from .contents import Chapter, read_text

TIMEOUT_S = 1800
"""Longest time that a cell may take which measures nothing (s)."""


def missing(needs: Sequence[str]) -> str | None:
    """Say why the first of some data sets that cannot be had is missing; None where all are here."""
    for name in needs:
        try:
            datasets.load(name)
        except AlphaflopsError as error:
            return str(error)
    return None


def run_all(wanted: Sequence[Chapter], folder: Path, parameters: Mapping[str, Any], jobs: int = 2) -> list[str]:
    """Run chapters into a folder.

    A chapter whose data cannot be had shows its committed results, and one that cannot show the given runs leaves
    them out; both say so.

    Parameters
    ----------
    wanted : sequence of Chapter
    folder : Path
        Gets one notebook per chapter.
    parameters : mapping
        Given to each notebook that has them. With a ``device``, chapters that measure come first, one after another,
        and fill the run folder ``out``, which the others show.
    jobs : int
        Notebooks run at a time where nothing is measured.

    Returns
    -------
    list of str
        Per chapter that left the given runs out, its name and why.

    Raises
    ------
    AlphaflopsError
        If no notebook has a parameter, the first measurement fails, or a notebook fails that shows neither a given
        run nor one that somebody sent.
    """
    known = sorted(set().union(*(chapter.parameters for chapter in wanted)))
    if unknown := [name for name in parameters if name not in known]:
        raise AlphaflopsError(f"parameter {unknown[0]!r} is in no notebook: choose one of {', '.join(known)}")
    folder.mkdir(exist_ok=True)
    absent = cache(missing)

    def run(chapter: Chapter, given: Mapping[str, Any], threads: int | None, must: bool = False) -> str | None:
        out = folder / chapter.committed.name
        if reason := absent(chapter.needs):
            _show_committed(chapter, out, reason)
            return None
        given = {name: value for name, value in given.items() if name in chapter.parameters}
        try:
            execute(chapter.text, out, given, threads)
            return None
        except AlphaflopsError as error:
            if must or not (given.keys() & {"device", "runs"} or strangers):
                raise
            reason = str(error)
        try:
            execute(chapter.text, out, {}, threads)
        except AlphaflopsError:  # a received run disturbs the chapter even where no run was given
            _show_committed(chapter, out, reason)
        else:
            _note(out, "The given runs are left out here, since this chapter could not show them:", reason)
        return f"{chapter.name} leaves runs out: {reason}"

    strangers = [path for path in datasets.runs_folder().iterdir() if path.name not in registered()]
    first = [chapter for chapter in wanted if parameters.get("device") and chapter.measures]
    told = [run(chapter, parameters, None, must=chapter is first[0]) for chapter in first]
    if first:
        parameters = {**parameters, "runs": [*parameters.get("runs", []), parameters["out"]]}
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with ThreadPoolExecutor(jobs) as pool:
        told += pool.map(lambda chapter: run(chapter, parameters, threads), (c for c in wanted if c not in first))
    return [line for line in told if line]


def program(command: Sequence[str], added: Mapping[str, str] | None = None, **settings: Any) -> list[str]:
    """Run a program whose outcome depends on no hash seed and no date; gives what it wrote where it failed.

    Parameters
    ----------
    command : sequence of str
    added : mapping of str to str, optional
        Variables of its environment beside those of this process.
    **settings
        For `subprocess.run`.

    Returns
    -------
    list of str
        Lines that are not blank, at least one; empty where the program did its work.
    """
    # with SOURCE_DATE_EPOCH, Sphinx would write its year into the copyright, depending on today's
    kept = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    environment = {**kept, "PYTHONHASHSEED": "0", **(added or {})}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, **settings)
    text = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
    return [line for line in text.splitlines() if line.strip()] or ["no message"] if done.returncode else []


def execute(text: Path, out: Path, parameters: Mapping[str, Any], threads: int | None = None) -> None:
    """Run one notebook's text by papermill.

    Parameters
    ----------
    text : Path
        MyST text of the notebook.
    out : Path
        Gets the notebook; it runs in the folder of this file.
    parameters : mapping
    threads : int, optional
        Threads of the kernel's numeric libraries; as this process where not given.

    Raises
    ------
    AlphaflopsError
        If a cell fails, with the last line of its error.
    """
    import nbformat

    command = [sys.executable, "-m", "papermill", "-", str(out), "--kernel", "python3", "--cwd", str(out.parent)]
    command += ["--no-progress-bar", "--no-request-save-on-cell-execute", "-y", json.dumps(dict(parameters))]
    settings = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    if threads:
        settings["OMP_NUM_THREADS"] = str(threads)
    with tempfile.TemporaryDirectory() as profile, ExitStack() as stack:
        shown = []
        if parameters.get("device"):  # minutes to hours: the reader sees the kernel's line of progress
            # through a pipe: papermill would empty the file that standard error may be
            cat = stack.enter_context(subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=2))
            shown = [cat.stdin.fileno()] if cat.stdin else []
            command += ["--stderr-file", f"/dev/fd/{shown[0]}"]
        else:
            command += ["--execution-timeout", str(TIMEOUT_S)]
        given = nbformat.writes(read_text(text))
        failed = program(command, {**settings, "IPYTHONDIR": profile}, input=given, pass_fds=shown)
    if failed:
        raise AlphaflopsError(f"notebook {out.stem} failed: {failed[-1].strip()}")
    _clean(out)


def _clean(path: Path) -> None:
    """Drop what differs from run to run: times, paths, versions, random ids, progress bars."""
    import nbformat

    notebook = nbformat.read(path, 4)
    notebook.metadata.pop("papermill", None)
    notebook.metadata.get("language_info", {}).pop("version", None)
    for i, cell in enumerate(notebook.cells):
        kept = {key: told for key, told in cell.metadata.items() if told and key not in ("papermill", "execution")}
        if "injected-parameters" in kept.get("tags", []):
            cell.id, kept["tags"] = f"c{i:02d}-parameters", ["injected-parameters", "remove-cell"]
        cell.metadata = nbformat.from_dict(kept)
        if cell.cell_type == "code":
            # a progress bar, or what is left of one that was overwritten
            bars = [o for o in cell.outputs if o.get("name") == "stderr" and ("\r" in o.text or not o.text.strip())]
            cell.outputs = [output for output in cell.outputs if output not in bars]
    nbformat.write(notebook, path)


def _show_committed(chapter: Chapter, out: Path, reason: str) -> None:
    try:
        out.write_bytes(chapter.committed.read_bytes())
    except OSError as error:
        raise AlphaflopsError(f"{chapter.committed} cannot be read: run `alphaflops refresh notebooks`") from error
    _note(out, "This chapter was not run just now and shows the committed results:", reason)


def _note(path: Path, words: str, reason: str) -> None:
    """Put a note under the title of a notebook."""
    import nbformat

    notebook = nbformat.read(path, 4)
    text = f":::::{{note}}\n{words} {markdown(reason)}.\n:::::"
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell(text, id="not-run"))
    nbformat.write(notebook, path)
