"""Every chapter: text and notebook are one, cells are short, figures are described, prose has no typed results."""

import html
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import jupytext.cli
import nbformat
import pytest
from nbconvert import HTMLExporter

from alphaflops import paths, style
from alphaflops.book import contents, execute
from alphaflops.files import markdown
from alphaflops.runs import Run, datasets

CHAPTERS = contents.chapters()
LONGEST_CELL = 15

each_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)


@cache
def read(chapter):
    """The text of a chapter as a notebook, once for all that only look at it."""
    return jupytext.read(chapter.text)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_every_text_is_in_the_book():
    texts = sorted(path.stem for path in (paths.CHECKOUT / "notebooks").glob("*.md"))
    assert texts == sorted(chapter.name for chapter in CHAPTERS)


@each_chapter
def test_committed_notebook_is_the_run_text(chapter):
    text, run = contents.read_text(chapter.text), nbformat.read(chapter.committed, 4)
    described = [[(c.id, c.cell_type, c.source, c.metadata) for c in nb.cells] for nb in (text, run)]
    assert described[0] == described[1]
    assert [c.execution_count for c in code_cells(run)] == list(range(1, len(code_cells(run)) + 1))


@each_chapter
def test_cells_are_short(chapter):
    for cell in code_cells(read(chapter)):
        assert len(cell.source.splitlines()) <= LONGEST_CELL, cell.source


@each_chapter
def test_one_cell_holds_the_parameters(chapter):
    tagged = [c for c in code_cells(read(chapter)) if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1
    assert re.fullmatch(r"(\w+: [^=\n]+ = .+  # .+\n?)+", tagged[0].source), "write name: type = default  # help"
    if chapter.measures:
        assert {"device", "profile", "out", "runs"} <= chapter.parameters


@each_chapter
def test_a_paired_save_keeps_header_and_text(chapter, tmp_path, monkeypatch):
    text, run = (Path(shutil.copy(path, tmp_path)) for path in (chapter.text, chapter.committed))
    os.utime(run, (2e9, 2e9))  # as if just saved by Jupyter, in a folder without this project's settings
    monkeypatch.chdir(tmp_path)
    assert jupytext.cli.jupytext(["--sync", str(run)]) == 0
    before, after = contents.read_text(chapter.text), contents.read_text(text)
    for name in ("alphaflops", "myst", "kernelspec"):
        assert after.metadata.get(name) == before.metadata.get(name)
    assert [(c.source, c.metadata) for c in after.cells] == [(c.source, c.metadata) for c in before.cells]


@each_chapter
def test_numbers_in_prose_show_everywhere(chapter):
    prose = "\n".join(c.source for c in read(chapter).cells if c.cell_type == "markdown")
    assert not re.findall(r"\{(?:glue|eval)[^}]*\}", prose), "Jupyter and nbconvert show such a role as it is written"


@each_chapter
def test_outputs_hold_no_warning_path_or_error(chapter):
    for cell in code_cells(nbformat.read(chapter.committed, 4)):
        kinds = [output.output_type for output in cell.outputs]
        assert set(kinds) <= {"display_data", "execute_result"}, cell.source
    assert str(paths.CHECKOUT) not in chapter.committed.read_text(encoding="utf-8")


@each_chapter
def test_figures_have_label_caption_and_alt_text(chapter):
    for cell in code_cells(nbformat.read(chapter.committed, 4)):
        images = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        assert len(images) <= 1, "one figure per cell, so that each has its caption"
        if images:
            shown = cell.metadata["mystnb"]
            assert shown["figure"]["name"].startswith("fig-")
            assert len(shown["figure"]["caption"]) > 40
            assert len(shown["image"]["alt"]) > 40


@each_chapter
def test_no_text_in_a_figure_is_smaller_than_the_style_allows(chapter):
    source = "\n".join(cell.source for cell in code_cells(read(chapter)))
    sizes = re.findall(r"(?:fontsize|labelsize|titlesize)\D{0,5}([\d.]+)", source)
    assert [size for size in sizes if float(size) < style.SMALL_PT] == []


@each_chapter
def test_prose_has_no_typed_measurement(chapter):
    prose = "\n".join(c.source for c in read(chapter).cells if c.cell_type == "markdown")
    prose = re.sub(r"\]\([^)]*\)|```.*?```", "", prose, flags=re.DOTALL)  # addresses and BibTeX hold digits too
    typed = re.findall(r"\d[\d.,]*\s*(?:%|ms|GB/s|GFLOP|TFLOP|MB)|factor of \d|\d+ times|\d+\.\d+", prose)
    assert not typed


@each_chapter
def test_chapter_opens_with_a_question(chapter):
    first = read(chapter).cells[0].source
    assert first.startswith("# ")
    assert "?" in first


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The run of all chapters that measure, by the smoke profile on this machine, and what each of them shows of it.

    One kernel runs them one after the other: each would load the same libraries.
    """
    if not datasets.available(datasets.AUTHORS):
        pytest.skip("the authors' data are neither in a mirror nor downloaded: chapters show their committed results")
    folder = tmp_path_factory.mktemp("measured")
    first, *others = (contents.read_text(chapter.text) for chapter in CHAPTERS if chapter.measures)
    for other in others:
        first.cells += [cell for cell in other.cells if "parameters" not in cell.metadata.get("tags", [])]
    jupytext.write(first, folder / "all.md", fmt="md:myst")
    (folder / "notebooks").mkdir()
    given = {"device": "cpu", "profile": "smoke", "out": "../run"}
    execute.execute(folder / "all.md", folder / "notebooks" / "all.ipynb", given)
    shown = {}
    for cell in nbformat.read(folder / "notebooks" / "all.ipynb", 4).cells:
        if cell.source.startswith("# ") and cell.cell_type == "markdown":
            shown[cell.source.partition("\n")[0]] = outputs = []
        outputs += cell.get("outputs", [])
    return Run.read(folder / "run"), shown


@pytest.mark.slow
def test_every_experiment_can_be_measured_and_shows_the_machine(measured):
    run, shown = measured
    assert len(shown) == sum(chapter.measures for chapter in CHAPTERS) >= 5
    for title, outputs in shown.items():
        told = "".join(
            str(output.get("data", {}).get("text/markdown", "")) + output.get("text", "") for output in outputs
        )
        assert run.id in told or markdown(run.machine) in told, title
        assert any("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.slow
@pytest.mark.usefixtures("paper")
def test_a_bare_papermill_takes_one_run_as_a_text_and_refuses_what_it_does_not_know(tmp_path):
    *_, chapter = (c for c in CHAPTERS if c.measures)
    command = [sys.executable, "-m", "papermill", chapter.committed, tmp_path / "out.ipynb", "--cwd", tmp_path]
    done = subprocess.run([*command, "-p", "runs", "cpu-1core"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    done = subprocess.run([*command, "-p", "devise", "cuda"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "parameter 'devise' is unknown: this notebook has device, profile, out, runs" in done.stderr


@each_chapter
def test_a_single_notebook_as_html_shows_every_number(chapter):
    notebook = nbformat.read(chapter.committed, 4)
    body, _ = HTMLExporter().from_notebook_node(notebook)
    shown = html.unescape(re.sub(r"<[^>]*>", "", body))
    outputs = [output["data"] for cell in code_cells(notebook) for output in cell.outputs]
    prose = [html.unescape("".join(data["text/markdown"])) for data in outputs if "text/markdown" in data]
    told = [number for text in prose for number in re.findall(r"\d+(?:[.,]\d+)*", text)]
    assert len(told) >= 5
    assert [number for number in told if number not in shown] == []
