"""The second wall: an output that nobody escaped brings no file, no script and no other host into the book."""

import os
import re
import shutil
from importlib.util import find_spec

import nbformat
import pytest

from alphaflops import paths
from alphaflops.book import publish
from alphaflops.errors import AlphaflopsError

pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SECRET = "planted-in-the-environment-of-the-builder"
NAMES = (
    "EPYC [9](../../../../proc/self/environ)",
    "EPYC [9](/proc/self/environ)",
    "EPYC [9](../runs/mine/run.json)",
    "{download}`/proc/self/environ`",
    "{download}`secret <../../../../../../../../proc/self/environ>`",
    "![x](../../../../../../../../etc/hostname)",
    "![x](https://example.org/x.png)",
    "[x](javascript:window.bitten=1)",
    "<script>window.bitten = 1</script>",
    "<img src=x onerror='window.bitten = 1'>",
    "<b onmouseover='window.bitten = 1'>EPYC</b>",
    "<iframe src='../../../../../../proc/self/environ'></iframe>",
    "$\\href{javascript:window.bitten=1}{x}$",
    "$\\require{html}\\style{background:url(https://example.org/x.png)}{x}$",
    "EPYC | 7 | `9",
)
HTML = (
    "<script>window.bitten = 1</script>",
    "<script type='application/json' class='x' data-figure='fig-x'>1</script><script>window.bitten = 1</script>",
    "<table onclick='window.bitten = 1'><tr><td style='background:url(https://example.org/x.png)'>1</td></tr></table>",
    "<svg><script>window.bitten = 1</script></svg><object data='/proc/self/environ'></object>",
    "<a href='javascript:window.bitten=1'>x</a><a href='file:///proc/self/environ'>x</a>",
)


def stage(folder, outputs):
    """A book of one chapter whose one cell gave some outputs: pairs of a type and a text."""
    for name in ("_config.yml", "book/_ext", "book/_static", "book/references.bib"):
        source, target = paths.CHECKOUT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
    (folder / "_toc.yml").write_text("format: jb-book\nroot: notebooks/00_x\n")
    (folder / "runs" / "mine").mkdir(parents=True)
    (folder / "runs" / "mine" / "run.json").write_text(SECRET)
    shown = [nbformat.v4.new_output("display_data", data={kind: text}) for kind, text in outputs]
    cells = [
        nbformat.v4.new_markdown_cell("# Title", id="a"),
        nbformat.v4.new_code_cell("show()", outputs=shown, execution_count=1, id="b"),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    (folder / "notebooks").mkdir()
    nbformat.write(notebook, folder / "notebooks" / "00_x.ipynb")
    return folder


@pytest.fixture(scope="module")
def bitten(tmp_path_factory):
    """A book whose one chapter shows every hostile text as Markdown and as HTML."""
    table = "\n".join(["| machine | ms |", "| --- | --- |", *(f"| {name} | 1 |" for name in NAMES)])
    outputs = [("text/markdown", name) for name in NAMES] + [("text/markdown", table)]
    outputs += [("text/html", text) for text in (*HTML, *(name for name in NAMES if name.startswith("<")))]
    outputs += [("text/markdown", "[to this page](00_x.ipynb)")]
    outputs += [("text/html", '<table class="dataframe"><tr><td colspan="2">kept</td></tr></table>')]
    folder = stage(tmp_path_factory.mktemp("bitten"), outputs)
    os.environ["PLANTED"] = SECRET
    try:
        publish.build_pages(folder)
    finally:
        del os.environ["PLANTED"]
    return folder / "_build" / "html"


def test_no_file_of_the_builder_is_in_the_book(bitten):
    assert not (bitten / "_downloads").exists()
    for path in bitten.rglob("*"):
        if path.is_file() and path.suffix != ".js":
            assert SECRET.encode() not in path.read_bytes(), path
    assert not list((bitten / "_images").glob("hostname*")) if (bitten / "_images").exists() else True


def test_what_is_harmless_is_still_shown(bitten):
    text = (bitten / "notebooks" / "00_x.html").read_text(encoding="utf-8")
    assert '<td colspan="2">kept</td>' in text
    assert re.search(r'<a [^>]*href="[^"]*"[^>]*><span[^>]*>to this page', text)
    assert "&lt;script&gt;window.bitten = 1&lt;/script&gt;" in text
    assert "/proc/self/environ" in text  # the name, as text


@pytest.mark.skipif(CHROMIUM is None or find_spec("playwright") is None, reason="no Chromium or playwright here")
def test_in_a_browser_nothing_runs_and_nothing_is_fetched(bitten):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page, asked = browser.new_page(), []
        page.on("request", lambda request: asked.append(request.url))
        page.goto((bitten / "notebooks" / "00_x.html").as_uri())
        page.wait_for_function("async () => { await window.MathJax?.startup?.promise; return !!MathJax.startup; }")
        for one in page.locator("article td, article b, article img").all():
            one.dispatch_event("mouseover")
            one.dispatch_event("click")
        links = page.eval_on_selector_all("article a", "all => all.map((a) => a.getAttribute('href') ?? '')")
        links += page.eval_on_selector_all(
            "article [*|href]", "all => all.map((a) => a.getAttribute('xlink:href') ?? '')"
        )
        assert page.evaluate("window.bitten") is None
        assert page.locator("article :is(iframe, object, embed, form)").count() == 0
        browser.close()
    assert [url for url in asked if not url.startswith((bitten.as_uri(), "data:"))] == []
    assert [link for link in links if link.startswith(("javascript", "file", "/"))] == []


def test_every_directive_that_reads_a_file_stops_the_build(tmp_path, monkeypatch):
    refused = {
        "```{include} /etc/hostname\n```": 'Directive "include" disabled.',
        "```{literalinclude} /proc/self/environ\n```": "File insertion disabled",
        "```{csv-table}\n:file: /proc/self/environ\n```": 'File and URL access deactivated; ignoring "csv-table"',
        "```{raw} html\n:file: /proc/self/environ\n```": '"raw" directive disabled.',
        "```{eval-rst}\n.. include:: /proc/self/environ\n```": '"include" directive disabled.',
    }
    told, run = [], publish.program
    monkeypatch.setattr(publish, "program", lambda command: told.extend(run(command)) or told)
    folder = stage(tmp_path, [("text/markdown", text) for text in refused])
    with pytest.raises(AlphaflopsError, match="the book was not built"):
        publish.build_pages(folder)
    assert [line for line in refused.values() if not any(f"WARNING: {line}" in one for one in told)] == []
