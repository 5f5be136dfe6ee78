"""Where figures and numbers come from: what a line depends on, what a kernel reads, and what a built book lists."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import nbformat
import pytest

from alphaflops import paths
from alphaflops.book import contents, manifest, provenance, running, slicing
from alphaflops.errors import AlphaflopsError
from alphaflops.runs import datasets, upstream

CHAPTERS = contents.chapters()

each_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)


def behind(source, target):
    """Lines of a cell that its line `target` can depend on."""
    told = slicing.statements({1: source})
    place = next(i for i, statement in enumerate(told) if statement.first == target)
    return sorted(told[i].first for i in slicing.behind(told, [place]))


@pytest.mark.parametrize(
    ("source", "target", "lines"),
    [
        ("a = 1\nb = 2\nprint(a)", 3, [1, 3]),
        ("a = 1\na = 2\nprint(a)", 3, [2, 3]),
        ("a = 1\nif x:\n    a = 2\nprint(a)", 4, [1, 2, 4]),
        ("a = 1\nb = [a for a in (1, 2)]\nprint(a)", 3, [1, 3]),
        ("a = []\nb = 1\na.append(b)\nprint(a)", 4, [1, 2, 3, 4]),
        ("a = {}\nb = 1\na['x'] = b\nprint(a)", 4, [1, 2, 3, 4]),
        ("a = {}\nb = 1\na.x.y = b\nprint(a)", 4, [1, 2, 3, 4]),
        ("import a\nimport b\nfrom c import d as e\nprint(e(a))", 4, [1, 3, 4]),
        ("a = 1\nb, (c, d) = a, (2, 3)\nprint(d)", 3, [1, 2, 3]),
        ("a = 1\na += 1\nprint(a)", 3, [1, 2, 3]),
        ("a = 1\nfor i in range(3):\n    a = f(a, i)\nprint(i)", 4, [1, 2, 4]),
        ("a = 1\nb = f(\n  a,\n)\nc = 2\nb", 6, [1, 2, 6]),
    ],
)
def test_what_a_line_depends_on(source, target, lines):
    assert behind(source, target) == lines


def test_glued_names_are_known_where_they_are_written():
    told = slicing.statements({1: "glue('a', x)", 2: "for n in names:\n    glue(n, x)", 3: "y = 1"})
    assert [statement.glues for statement in told] == [{"a"}, None, set()]


CELLS = """
runs: list = []  # further runs
---
from myst_nb import glue
from concurrent.futures import ThreadPoolExecutor
from IPython.display import Markdown
from alphaflops.runs import datasets
from alphaflops.runs import upstream
one, two = datasets.load("cpu-1core"), 2
both = [datasets.load(name) for name in ("cpu-1core", *runs)]
other = datasets.load("cpu-allcores")
---
glue("first", len(one.table), display=False)
glue("second", len(other.table), display=False)
for name, value in {"third": 3, "fourth": len(both[-1].table)}.items():
    glue(name, value, display=False)
---
import matplotlib.pyplot as plt
plt.plot(other.table["latency_ms"]);
---
with ThreadPoolExecutor(1) as pool:
    scores = pool.submit((datasets.runs_folder().parent / "scores.json").read_text).result()
Markdown(str(len(scores)))
---
names = datasets.names()
Markdown("| a |\\n|---|\\n")
---
Markdown(str(len(upstream.sources())))
---
x = 1
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The record of a small notebook over both bundled runs and one given run, run as chapters are."""
    folder = tmp_path_factory.mktemp("stage")
    shutil.copytree(datasets.runs_folder() / "cpu-1core", folder / "runs" / "mine")
    new = nbformat.v4
    cells = [new.new_code_cell(source.strip()) for source in CELLS.split("---\n")]
    cells[0].metadata["tags"] = ["parameters"]
    cells[3].metadata["mystnb"] = {"figure": {"name": "fig-x"}}
    notebook = new.new_notebook(cells=[new.new_markdown_cell("# Small\n\n## First part"), *cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    (folder / "notebooks").mkdir()
    bare, out = folder / "notebooks" / "small.bare.ipynb", folder / "notebooks" / "small.ipynb"
    nbformat.write(notebook, bare)
    running._execute(bare, out, {"runs": ["../runs/mine"]}, 1)
    return nbformat.read(out, 4).metadata["alphaflops"]["provenance"]


def test_each_output_names_the_data_that_went_into_it(told):
    found = {entry["name"]: (entry["kind"], entry["data"], entry["parameters"]) for entry in told["made"]}
    assert found == {
        "first": ("number", ["cpu-1core"], []),
        "second": ("number", ["cpu-allcores"], []),
        "third": ("number", ["cpu-1core", "mine"], ["runs"]),
        "fourth": ("number", ["cpu-1core", "mine"], ["runs"]),
        "fig-x": ("figure", ["cpu-allcores"], []),
        "under “First part”": ("text", ["scores.json"], []),
        "under “First part” (2)": ("table", [], []),
        "under “First part” (3)": ("text", ["upstream.json"], []),
    }
    assert {entry["name"]: entry["text"] for entry in told["made"] if "text" in entry}["first"] == "721"


def test_a_record_names_code_parameters_and_hashes(told):
    assert told["parameters"] == {"runs": ["../runs/mine"]}
    assert told["code"] == provenance.code_sha256()
    assert set(told["data"]) == {"cpu-1core", "cpu-allcores", "mine", "scores.json", "upstream.json"}
    assert told["data"]["mine"]["sha256"] == told["data"]["cpu-1core"]["sha256"] == datasets.load("cpu-1core").sha256
    assert told["data"]["mine"]["file"] == "runs/mine/measurements.csv"


def test_a_cell_with_commands_of_ipython_is_told():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("%time 1")])
    with pytest.raises(AlphaflopsError, match="more than plain Python"):
        provenance.record(notebook, [], Path("runs"))


def committed(chapter):
    notebook = nbformat.read(chapter.committed, 4)
    return notebook, notebook.metadata["alphaflops"]["provenance"]


@each_chapter
def test_every_figure_number_and_table_of_a_chapter_is_recorded(chapter):
    notebook, told = committed(chapter)
    made = {entry["name"]: entry["kind"] for entry in told["made"]}
    text = chapter.text.read_text(encoding="utf-8")
    told_of = [cell.metadata.get("mystnb", {}) for cell in notebook.cells]
    figures = [entry["figure"]["name"] for entry in told_of if "figure" in entry]
    assert {name for name, kind in made.items() if kind == "figure"} == set(figures)
    assert set(re.findall(r"\{glue:text\}`(\w+)", text)) <= {name for name, kind in made.items() if kind == "number"}
    shown = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.outputs]
    assert len(made) >= len(shown)
    assert set(told["parameters"]) == running.known_parameters(chapter.committed)


@each_chapter
def test_recorded_hashes_are_those_of_the_files(chapter):
    _, told = committed(chapter)
    sources = upstream.sources()
    for name, entry in told["data"].items():
        if name in sources:
            assert (entry["file"], entry["sha256"]) == (sources[name].url, sources[name].sha256)
        else:
            data = (paths.CHECKOUT / entry["file"]).read_bytes()
            assert entry["sha256"] == hashlib.sha256(data).hexdigest(), f"{name}: run `alphaflops update`"
    assert set(told["data"]) == {name for entry in told["made"] for name in entry["data"]}


def test_a_figure_names_its_own_data_only():
    made = {entry["name"]: entry for chapter in CHAPTERS for entry in committed(chapter)[1]["made"]}
    assert made["fig-alpha-curves"]["data"] == []
    assert made["fig-alpha-curves"]["parameters"] == ["largest"]
    assert made["fig-roofline-others"]["data"] == ["neusight-conv-t4", "neusight-conv-v100"]
    assert {"paper-t2000", "cpu-1core", "cpu-allcores"} <= set(made["fig-kernel-channels"]["data"])
    assert not any(name.startswith("neusight") for name in made["fig-roofline"]["data"])
    assert "scores.json" in made["fig-scorecard"]["data"]


@pytest.fixture(scope="module")
def listed(html):
    """The manifest of the built book."""
    return json.loads((html / manifest.MANIFEST).read_text(encoding="utf-8"))


def test_the_manifest_lists_every_figure_of_the_book_with_the_hash_of_its_image(html, listed):
    seen = 0
    for path in sorted((html / "notebooks").glob("*.html")) + sorted((html / "book").glob("*.html")):
        text = path.read_text(encoding="utf-8")
        made = {
            entry["name"]: entry for entry in listed["pages"].get(f"{path.parent.name}/{path.name}", {}).get("made", [])
        }
        for name, body in re.findall(r'<figure[^>]* id="([\w-]+)"(.*?)</figure>', text, re.DOTALL):
            image = re.search(r'<img[^>]* src="\.\./([^"]+)"', body)[1]
            assert made[name]["file"] == image
            assert made[name]["sha256"] == hashlib.sha256((html / image).read_bytes()).hexdigest()
            seen += 1
    assert seen >= 20


def test_the_manifest_lists_every_page_that_shows_data(html, listed):
    assert set(listed["pages"]) == {f"notebooks/{chapter.name}.html" for chapter in CHAPTERS} | {"book/calculator.html"}
    assert [entry["name"] for entry in listed["pages"]["book/calculator.html"]["made"]] == [
        "_static/calculator-data.js"
    ]
    assert listed["software"]["numpy"]
    for entry in listed["data"]:
        assert set(entry["pages"]) <= set(listed["pages"])
        if entry["file"].startswith("data/"):
            data = (paths.CHECKOUT / entry["file"]).read_bytes()
            assert entry["sha256"] == hashlib.sha256(data).hexdigest()


@each_chapter
def test_a_page_says_how_it_was_made(html, chapter):
    text = (html / "notebooks" / f"{chapter.name}.html").read_text(encoding="utf-8")
    block = re.search(r'<details class="provenance">.*?</details>', text, re.DOTALL)[0]
    _, told = committed(chapter)
    assert told["code"] in block
    for entry in told["made"]:
        assert provenance._shown(entry) in block
    for name, entry in told["data"].items():
        assert name in block
        assert entry["sha256"] in block
    for target in re.findall(r'href="#([\w-]+)"', block):
        assert f'id="{target}"' in text


@pytest.mark.parametrize("change", ["changed", "missing", "extra"])
def test_a_changed_book_is_told(command, refused, tmp_path, change):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "a.html").write_text("a")
    manifest.write(tmp_path / "html", tmp_path / "notebooks")
    assert "book of 1 files, every byte as written" in command("verify", tmp_path / "html").out
    if change == "missing":
        (tmp_path / "html" / "a.html").unlink()
    else:
        (tmp_path / "html" / ("a.html" if change == "changed" else "b.html")).write_text("b")
    told = {"changed": "a.html has changed", "missing": "a.html is missing", "extra": "b.html is not listed"}
    assert told[change] in refused("verify", tmp_path / "html")
