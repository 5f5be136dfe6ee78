"""Building: what is refused, what is left untouched, what a page says when its data are missing."""

import os
import re
import subprocess

import nbformat
import pytest

from alphaflops import paths
from alphaflops.book import contents, execute, publish
from alphaflops.errors import AlphaflopsError
from alphaflops.runs import datasets


def test_chapters_follow_the_table_of_contents():
    text = (paths.CHECKOUT / "_toc.yml").read_text(encoding="utf-8")
    found = [text.index(f"notebooks/{chapter.name}\n") for chapter in contents.chapters()]
    assert found == sorted(found)


def test_unknown_run_is_refused_before_anything_is_run(tmp_path):
    with pytest.raises(AlphaflopsError, match="run 'no-such-run' is unknown"):
        publish.build(["no-such-run"], tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_unknown_parameter_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(AlphaflopsError, match=r"parameter 'rnus' is in no notebook: choose one of .*runs"):
        publish.build(None, tmp_path / "out", rnus=[])


def test_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(AlphaflopsError, match="holds no book"):
        publish.build(None, tmp_path)
    assert (tmp_path / "html" / "thesis.txt").read_text(encoding="utf-8") == "mine"


def test_file_in_place_of_the_folder_is_an_error(tmp_path):
    (tmp_path / "out").write_text("", encoding="utf-8")
    with pytest.raises(AlphaflopsError, match="cannot be written"):
        publish.build(None, tmp_path / "out")


def test_runs_are_copied_into_the_stage_without_their_path(folder, tmp_path):
    given = publish.stage_runs([folder, "paper-t2000"] if datasets.available("paper-t2000") else [folder], tmp_path)
    assert given[0] == "../runs/made-up"
    assert (tmp_path / "runs" / "made-up" / "run.json").read_bytes() == (folder / "run.json").read_bytes()


def test_same_run_twice_is_refused(folder, tmp_path):
    with pytest.raises(AlphaflopsError, match="'made-up' is given twice"):
        publish.stage_runs([folder, folder], tmp_path)


@pytest.fixture
def chapter(tmp_path, monkeypatch):
    """A book of one chapter that has the usual parameters, its code as given."""

    def write(code, needs=()):
        text = tmp_path / "notebooks" / "01_x.md"
        text.parent.mkdir()
        header = "---\nkernelspec:\n  name: python3\n  display_name: Python 3\n  language: python\n---\n\n# Why?\n\n"
        values = 'n: int = 2  # how many\nruns: list = []\ndevice = ""\nprofile = "quick"\nout = "mine"'
        parameters = f"```{{code-cell}} ipython3\n:tags: [parameters]\n\n{values}\n```\n\n"
        text.write_text(f"{header}{parameters}```{{code-cell}} ipython3\n{code}\n```\n", encoding="utf-8")
        names = frozenset(contents.parameters_of(contents.read_text(text)))
        found = contents.Chapter(text, needs, names)
        monkeypatch.setattr(publish, "chapters", lambda: [found])
        return found

    return write


def commit(chapter, printed):
    """Put a notebook beside a chapter's text, as if its last cell had printed this."""
    notebook = contents.read_text(chapter.text)
    notebook.cells[-1].outputs = [nbformat.v4.new_output("stream", name="stdout", text=printed)]
    nbformat.write(notebook, chapter.committed)


def outputs(folder):
    """What the last cell of the one notebook in a folder printed."""
    cell = nbformat.read(folder / "01_x.ipynb", 4).cells[-1]
    return "".join(one.text for one in cell.outputs)


def test_chapter_without_its_data_shows_the_committed_results_and_says_so(chapter, tmp_path):
    wanted = chapter("print(n)")
    commit(wanted, "2\n")
    lacking = contents.Chapter(wanted.text, ("no-such-data",), wanted.parameters)
    assert execute.run_all([lacking], tmp_path / "out", {}) == []
    written, committed = nbformat.read(tmp_path / "out" / "01_x.ipynb", 4), nbformat.read(wanted.committed, 4)
    assert "was not run just now" in written.cells[1].source
    assert "no-such-data" in written.cells[1].source
    assert [c.source for c in written.cells if c.id != "not-run"] == [c.source for c in committed.cells]
    assert outputs(tmp_path / "out") == "2\n"


def test_a_run_that_a_chapter_cannot_show_is_left_out_and_the_page_says_why(chapter, tmp_path):
    wanted = chapter('if runs:\n    raise ValueError("no such layer ``` in <b>it</b>")\nprint("shown")')
    (line,) = execute.run_all([wanted], tmp_path / "out", {"runs": ["bad"]})
    assert line.startswith("01_x leaves runs out: notebook 01_x failed: ValueError: no such layer")
    assert outputs(tmp_path / "out") == "shown\n"
    note = nbformat.read(tmp_path / "out" / "01_x.ipynb", 4).cells[1].source
    assert "no such layer &#96;&#96;&#96; in &#60;b&#62;it&#60;/b&#62;" in note


def test_a_received_run_that_disturbs_a_chapter_never_stops_the_book(chapter, tmp_path, monkeypatch):
    wanted = chapter("raise ValueError('stranger has no layers')")
    commit(wanted, "2\n")
    with pytest.raises(AlphaflopsError, match="stranger has no layers"):
        execute.run_all([wanted], tmp_path / "out", {})
    (tmp_path / "runs" / "stranger").mkdir(parents=True)
    monkeypatch.setattr(datasets, "runs_folder", lambda: tmp_path / "runs")
    (line,) = execute.run_all([wanted], tmp_path / "out", {})
    assert "stranger has no layers" in line
    assert outputs(tmp_path / "out") == "2\n"
    assert "stranger has no layers" in nbformat.read(tmp_path / "out" / "01_x.ipynb", 4).cells[1].source


def test_with_a_device_chapters_get_it_and_the_shared_run_folder(chapter, tmp_path):
    wanted = chapter("print(device, profile, out, runs)")
    given = {"device": "cpu", "profile": "smoke", "out": "../measured/cpu", "runs": ["a"]}
    execute.run_all([wanted], tmp_path / "out", given)
    assert outputs(tmp_path / "out") == "cpu smoke ../measured/cpu ['a']\n"


def test_chapters_that_do_not_measure_come_later_and_show_the_measured_run(chapter, tmp_path):
    measuring = chapter("from pathlib import Path\nPath('measured').write_text('by now')\nprint(out)")
    reading = contents.Chapter(measuring.text.with_name("00_y.md"), (), frozenset({"runs"}))
    text = (
        measuring.text.read_text()
        .replace("print(out)", "")
        .replace(".write_text('by now')", ".read_text(); print(runs)")
    )
    reading.text.write_text(text)
    execute.run_all([reading, measuring], tmp_path / "out", {"device": "cpu", "out": "here", "runs": ["a"]})
    cell = nbformat.read(tmp_path / "out" / "00_y.ipynb", 4).cells[-1]
    assert cell.outputs[0].text == "['a', 'here']\n"


def test_a_failing_measurement_stops_at_once(chapter, tmp_path):
    wanted = chapter("if device:\n    raise ValueError('no such device')")
    with pytest.raises(AlphaflopsError, match="no such device"):
        execute.run_all([wanted], tmp_path / "out", {"device": "cuda:9", "out": "x"})


def test_progress_bars_reach_the_terminal_and_not_the_notebook(chapter, tmp_path, capfd):
    code = (
        "import sys\nfor i in range(3):\n    print(f'\\r{i} of 3', end='', file=sys.stderr, flush=True)\nprint('done')"
    )
    os.write(2, b"what stands in the log before\n")
    execute.run_all([chapter(code)], tmp_path / "out", {"device": "cpu", "out": "x"})
    assert outputs(tmp_path / "out") == "done\n"
    err = capfd.readouterr().err
    assert "2 of 3" in err
    assert err.startswith("what stands in the log before\n")


def test_missing_data_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, "load", lambda name: (_ for _ in ()).throw(AlphaflopsError(f"{name} is far away")))
    assert execute.missing(["paper-t2000"]) == "paper-t2000 is far away"
    assert execute.missing([]) is None


def test_update_changes_nothing_when_data_are_missing(monkeypatch):
    before = {chapter.committed: chapter.committed.read_bytes() for chapter in contents.chapters()}
    monkeypatch.setattr(publish, "missing", lambda needs: "no network" if needs else None)
    with pytest.raises(AlphaflopsError, match="cannot be run: no network"):
        publish.notebooks()
    assert {path: path.read_bytes() for path in before} == before


def test_outside_a_checkout_there_is_nothing_to_build(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "CHECKOUT", tmp_path)
    with pytest.raises(AlphaflopsError, match="checkout of the repository"):
        publish.build(None, tmp_path / "out")


def test_updated_notebooks_hold_outputs_and_nothing_of_this_moment(chapter):
    wanted = chapter('print("twice", 2 * n)')
    assert publish.notebooks() == [wanted.committed]
    first = wanted.committed.read_bytes()
    read = nbformat.read(wanted.committed, 4)
    assert read.cells[-1].outputs[0].text == "twice 4\n"
    assert "papermill" not in read.metadata
    assert "version" not in read.metadata.language_info
    publish.notebooks(jobs=1)
    assert wanted.committed.read_bytes() == first


def test_a_chapter_that_leaves_a_run_out_is_never_committed(chapter, monkeypatch):
    wanted = chapter('print("twice", 2 * n)')
    commit(wanted, "twice 4\n")
    before = wanted.committed.read_bytes()
    monkeypatch.setattr(publish, "run_all", lambda *_: ["07 leaves runs out: 3 layers"])
    with pytest.raises(AlphaflopsError, match="07 leaves runs out: 3 layers"):
        publish.notebooks()
    assert wanted.committed.read_bytes() == before


def test_a_notebook_that_fails_is_named_and_nothing_is_changed(chapter):
    wanted = chapter("1 / 0")
    with pytest.raises(AlphaflopsError, match="notebook 01_x failed: ZeroDivisionError: division by zero"):
        publish.notebooks()
    assert not wanted.committed.exists()


def test_a_text_that_is_not_there_is_named(tmp_path):
    with pytest.raises(AlphaflopsError, match=r"02_y\.md is in _toc\.yml but cannot be read: No such file"):
        contents.read_text(tmp_path / "02_y.md")


@pytest.mark.parametrize(
    ("root", "message"),
    [("index", r"index\.md:3: WARNING: .*nowhere"), ("absent", r"Sphinx error|[\w.]*Error: .*absent")],
)
def test_a_book_with_a_fault_is_not_built(tmp_path, root, message):
    (tmp_path / "_config.yml").write_text("title: T\n", encoding="utf-8")
    (tmp_path / "_toc.yml").write_text(f"format: jb-book\nroot: {root}\n", encoding="utf-8")
    (tmp_path / "index.md").write_text("# Title\n\nTo {doc}`nowhere`.\n", encoding="utf-8")
    with pytest.raises(AlphaflopsError, match=f"^the book was not built: {message}") as wrong:
        publish.build_pages(tmp_path)
    assert str(tmp_path) not in str(wrong.value)


def test_a_folder_that_cannot_be_written_keeps_its_book(folder, tmp_path, monkeypatch):
    def full(stage):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(publish, "run_all", lambda *given: [])
    monkeypatch.setattr(publish, "build_pages", full)
    old = tmp_path / "out" / "html" / "index.html"
    old.parent.mkdir(parents=True)
    old.write_text("the last book", encoding="utf-8")
    publish.write_sums(old.parent)
    with pytest.raises(AlphaflopsError, match=r"out cannot be written: No space left on device"):
        publish.build([folder], tmp_path / "out")
    assert old.read_text(encoding="utf-8") == "the last book"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["html"]


def test_a_new_book_takes_the_place_of_the_last(tmp_path, monkeypatch):
    def pages(stage):
        (stage / "_build" / "html").mkdir(parents=True)
        (stage / "_build" / "html" / "index.html").write_text("the new book", encoding="utf-8")

    monkeypatch.setattr(publish, "run_all", lambda *given: [])
    monkeypatch.setattr(publish, "build_pages", pages)
    for _ in range(2):
        assert publish.build(None, tmp_path).read_text(encoding="utf-8") == "the new book"
        publish.write_sums(tmp_path / "html")
    assert [path.name for path in tmp_path.iterdir()] == ["html"]


def test_chapters_without_committed_notebook_say_how_to_make_it(chapter, tmp_path):
    wanted = chapter("print(n)", needs=("no-such-data",))
    with pytest.raises(AlphaflopsError, match=r"01_x\.ipynb cannot be read: run `alphaflops refresh notebooks`"):
        execute.run_all([wanted], tmp_path / "out", {})


def test_rerun_gives_the_notebooks_device_profile_and_a_lasting_run_folder(chapter, tmp_path, monkeypatch):
    wanted = chapter("from pathlib import Path\nPath(out).mkdir(exist_ok=True)\nprint(device, profile, out)")

    def pages(stage):
        (stage / "_build" / "html").mkdir(parents=True)
        (stage / "_build" / "html" / "index.html").write_text(outputs(stage / "notebooks"), encoding="utf-8")

    monkeypatch.setattr(publish, "build_pages", pages)
    index = publish.rerun("cpu", "smoke", folder=tmp_path / "book")
    assert index.read_text(encoding="utf-8") == "cpu smoke ../measured/cpu-smoke\n"
    assert (tmp_path / "book" / "runs" / "cpu-smoke").is_dir()
    assert wanted.measures


def test_the_sums_find_every_byte_that_changed(tmp_path):
    page = tmp_path / "book" / "page.html"
    page.parent.mkdir()
    page.write_text("a page")
    publish.write_sums(tmp_path)
    subprocess.run(["sha256sum", "--check", "--strict", publish.SUMS], cwd=tmp_path, check=True)
    assert publish.check_sums(tmp_path) == 1
    (tmp_path / "more").write_text("")
    with pytest.raises(AlphaflopsError, match=r"more is not listed: build the book again"):
        publish.check_sums(tmp_path)
    (tmp_path / "more").unlink()
    page.write_text("A page")
    with pytest.raises(AlphaflopsError, match=r"book/page\.html does not match its checksum"):
        publish.check_sums(tmp_path)
    page.unlink()
    with pytest.raises(AlphaflopsError, match=r"book/page\.html' is listed in SHA256SUMS but missing"):
        publish.check_sums(tmp_path)
    (tmp_path / publish.SUMS).unlink()
    with pytest.raises(AlphaflopsError, match="cannot be read"):
        publish.check_sums(tmp_path)


def test_a_comparison_is_one_file_that_fetches_nothing(chapter, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "COMPARING", "01_x")
    chapter("print(runs)")
    written = publish.page([folder, "cpu-1core"], tmp_path / "comparison.html").read_text(encoding="utf-8")
    assert "['../runs/made-up', 'cpu-1core']" in written
    assert not re.findall(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="(?:https?:)?//', written)
    assert str(folder) not in written
    with pytest.raises(AlphaflopsError, match="run 'absent' is unknown"):
        publish.page(["absent"], tmp_path / "comparison.html")
