"""Every chapter: text and notebook are one, cells are short, figures are described, prose has no typed results."""

import ast
import re

import jupytext
import nbformat
import pytest

from alphaflops import paths
from alphaflops.book import contents

CHAPTERS = contents.chapters()
LONGEST_CELL = 15

each_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)


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
def test_cells_are_short_and_define_nothing(chapter):
    for cell in code_cells(jupytext.read(chapter.text)):
        assert len(cell.source.splitlines()) <= LONGEST_CELL, cell.source
        defined = [
            node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.FunctionDef | ast.ClassDef)
        ]
        assert not defined, cell.source


@each_chapter
def test_one_cell_holds_the_parameters(chapter):
    tagged = [c for c in code_cells(jupytext.read(chapter.text)) if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1
    assert re.fullmatch(r"(\w+: \w+ = .+  # .+\n?)+", tagged[0].source), "write name: type = default  # help"


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
        drawn = cell.source.count(".draw_") + cell.source.count(".chart(")
        assert len(images) == drawn, "one drawing call per cell: figure = figures.draw_…"
        if images:
            shown = cell.metadata["mystnb"]
            assert shown["figure"]["name"].startswith("fig-")
            assert len(shown["figure"]["caption"]) > 40
            assert len(shown["image"]["alt"]) > 40


@each_chapter
def test_prose_has_no_typed_measurement(chapter):
    prose = "\n".join(c.source for c in jupytext.read(chapter.text).cells if c.cell_type == "markdown")
    typed = re.findall(r"\d[\d.,]*\s*(?:%|ms|GB/s|GFLOP|TFLOP|MB)|factor of \d|\d+ times|\d+\.\d+", prose)
    assert not typed


@each_chapter
def test_chapter_opens_with_a_question(chapter):
    first = jupytext.read(chapter.text).cells[0].source
    assert first.startswith("# ")
    assert "?" in first
