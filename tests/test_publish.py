"""Building: what is refused, what is left untouched, what a page says when its data are missing."""

import nbformat
import pytest

from alphaflops import paths
from alphaflops.book import contents, publish, running
from alphaflops.errors import AlphaflopsError
from alphaflops.runs import datasets


def test_chapters_follow_the_table_of_contents():
    names = [chapter.name for chapter in contents.chapters()]
    assert names[0] == "00_intro"
    assert names == sorted(names)


def test_unknown_run_is_refused_before_anything_is_run(tmp_path):
    with pytest.raises(AlphaflopsError, match="run 'no-such-run' is unknown"):
        publish.build(["no-such-run"], tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_unknown_parameter_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(AlphaflopsError, match=r"parameter 'rnus' is in no notebook: choose one of .*runs"):
        publish.build(None, tmp_path / "out", parameters={"rnus": []})


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
    given = publish._staged_runs([folder, "paper-t2000"] if datasets.available("paper-t2000") else [folder], tmp_path)
    assert given[0] == "../runs/made-up"
    assert (tmp_path / "runs" / "made-up" / "run.json").read_bytes() == (folder / "run.json").read_bytes()


def test_same_run_twice_is_refused(folder, tmp_path):
    with pytest.raises(AlphaflopsError, match="'made-up' is given twice"):
        publish._staged_runs([folder, folder], tmp_path)


def test_chapter_without_its_data_shows_the_committed_results_and_says_so(tmp_path):
    chapter = next(chapter for chapter in contents.chapters() if chapter.needs)
    running._write_committed(chapter, tmp_path / "out.ipynb", "the file is not there")
    written, committed = nbformat.read(tmp_path / "out.ipynb", 4), nbformat.read(chapter.committed, 4)
    assert written.cells[1].source.startswith(":::{note}\nThis chapter was not run just now: the file is not there.")
    assert [c.source for c in written.cells if c.id != "not-run"] == [c.source for c in committed.cells]
    assert [c.get("outputs") for c in written.cells if c.id != "not-run"] == [c.get("outputs") for c in committed.cells]


def test_missing_data_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, "load", lambda name: (_ for _ in ()).throw(AlphaflopsError(f"{name} is far away")))
    assert running.missing(["paper-t2000"]) == "paper-t2000 is far away"
    assert running.missing([]) is None


def test_update_changes_nothing_when_data_are_missing(monkeypatch):
    before = {chapter.committed: chapter.committed.read_bytes() for chapter in contents.chapters()}
    monkeypatch.setattr(publish, "missing", lambda needs: "no network" if needs else None)
    with pytest.raises(AlphaflopsError, match="cannot be run: no network"):
        publish.update()
    assert {path: path.read_bytes() for path in before} == before


def test_failing_notebook_is_one_line_that_names_it(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("raise ValueError('as planned')")])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "bad.bare.ipynb")
    with pytest.raises(AlphaflopsError, match=r"^notebook bad failed: ValueError: as planned$"):
        running._execute(tmp_path / "bad.bare.ipynb", tmp_path / "bad.ipynb", {}, 1)


def test_outside_a_checkout_there_is_nothing_to_build(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "CHECKOUT", tmp_path)
    with pytest.raises(AlphaflopsError, match="checkout of the repository"):
        publish.build(None, tmp_path / "out")


@pytest.fixture
def chapter(tmp_path, monkeypatch):
    """A book of one chapter, its text as given."""

    def write(code):
        text = tmp_path / "notebooks" / "01_x.md"
        text.parent.mkdir()
        header = "---\nkernelspec:\n  name: python3\n  display_name: Python 3\n  language: python\n---\n\n# Why?\n\n"
        parameters = "```{code-cell} ipython3\n:tags: [parameters]\n\nn: int = 2  # how many\n```\n\n"
        text.write_text(f"{header}{parameters}```{{code-cell}} ipython3\n{code}\n```\n", encoding="utf-8")
        found = contents.Chapter(text, ())
        monkeypatch.setattr(publish, "chapters", lambda: [found])
        return found

    return write


def test_updated_notebooks_hold_outputs_and_nothing_of_this_moment(chapter):
    wanted = chapter('print("twice", 2 * n)')
    assert publish.update() == [wanted.committed]
    first = wanted.committed.read_bytes()
    read = nbformat.read(wanted.committed, 4)
    assert read.cells[-1].outputs[0].text == "twice 4\n"
    assert "papermill" not in read.metadata
    assert "version" not in read.metadata.language_info
    publish.update(jobs=1)
    assert wanted.committed.read_bytes() == first


def test_a_notebook_that_fails_is_named_and_nothing_is_changed(chapter):
    wanted = chapter("1 / 0")
    with pytest.raises(AlphaflopsError, match="notebook 01_x failed: ZeroDivisionError: division by zero"):
        publish.update()
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

    monkeypatch.setattr(publish, "run_all", lambda *given: None)
    monkeypatch.setattr(publish, "build_pages", full)
    old = tmp_path / "out" / "html" / "index.html"
    old.parent.mkdir(parents=True)
    old.write_text("the last book", encoding="utf-8")
    (old.parent / ".buildinfo").write_text("", encoding="utf-8")
    with pytest.raises(AlphaflopsError, match=r"out cannot be written: No space left on device"):
        publish.build([folder], tmp_path / "out")
    assert old.read_text(encoding="utf-8") == "the last book"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["html"]


def test_a_new_book_takes_the_place_of_the_last(tmp_path, monkeypatch):
    def pages(stage):
        (stage / "_build" / "html").mkdir(parents=True)
        (stage / "_build" / "html" / "index.html").write_text("the new book", encoding="utf-8")

    monkeypatch.setattr(publish, "run_all", lambda *given: None)
    monkeypatch.setattr(publish, "build_pages", pages)
    for _ in range(2):
        assert publish.build(None, tmp_path).read_text(encoding="utf-8") == "the new book"
        (tmp_path / "html" / ".buildinfo").write_text("", encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["html"]


def test_chapters_without_committed_notebook_say_how_to_make_it(tmp_path):
    gone = contents.Chapter(tmp_path / "03_z.md", ("nowhere",))
    with pytest.raises(AlphaflopsError, match=r"03_z\.ipynb cannot be read: run `alphaflops update`"):
        running._write_committed(gone, tmp_path / "out.ipynb", "the file is not there")
