"""The built book: complete, linked, described, and readable without a network."""

import html as html_module
import importlib
import inspect
import json
import pkgutil
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import nbformat
import pytest

import alphaflops
from alphaflops import __version__, cli, experiments, paths
from alphaflops.book import contents
from alphaflops.runs import datasets

PAGE_BYTES, BOOK_BYTES = 1_500_000, 30_000_000
RESOURCES = {"img": "src", "script": "src", "link": "href", "source": "src", "iframe": "src", "object": "data"}


class Page(HTMLParser):
    """What a page refers to and what can be referred to in it."""

    def __init__(self, path):
        super().__init__()
        self.path, self.ids, self.links, self.resources, self.images, self.meta = path, set(), [], [], [], {}
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids.update(given[name] for name in ("id", "name") if given.get(name))
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag in RESOURCES and given.get(RESOURCES[tag]):
            self.resources.append(given[RESOURCES[tag]])
        if tag == "img":
            self.images.append(given)
        if tag == "meta" and given.get("name"):
            self.meta[given["name"]] = given.get("content", "")


@pytest.fixture(scope="module")
def pages(html):
    return [Page(path) for path in sorted(html.rglob("*.html")) if "_static" not in path.parts]


@pytest.fixture(scope="module")
def written(pages):
    """Pages that somebody wrote, not the index, the search and the redirect."""
    return [page for page in pages if page.path.parent.name in ("book", "notebooks")]


def test_every_page_of_the_contents_is_there(html):
    for name in contents.files(_toc()):
        assert (html / f"{name}.html").is_file()
    assert "00_intro.html" in (html / "index.html").read_text(encoding="utf-8")


def _toc():
    import yaml

    return yaml.safe_load((paths.CHECKOUT / "_toc.yml").read_text(encoding="utf-8"))


def test_every_link_and_anchor_leads_somewhere(pages):
    by_path = {page.path.resolve(): page for page in pages}
    checked = 0
    for page in pages:
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "mailto"):
                continue
            target = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path.resolve()
            assert target.is_file(), f"{page.path.name}: {link}"
            if parts.fragment and target in by_path:
                assert unquote(parts.fragment) in by_path[target].ids, f"{page.path.name}: {link}"
            checked += 1
    assert checked > 100


def test_no_page_asks_another_host_for_anything(html, pages):
    for page in pages:
        for resource in page.resources:
            assert not urlsplit(resource).netloc, f"{page.path.name}: {resource}"
            if path := unquote(urlsplit(resource).path):
                assert (page.path.parent / path).is_file(), f"{page.path.name}: {resource}"
        assert "cdn.jsdelivr" not in page.text
        assert "unpkg.com" not in page.text
    for sheet in html.rglob("*.css"):
        assert not re.search(r"@import\s+url\(.?https?:|url\(.?https?:", sheet.read_text(encoding="utf-8")), sheet.name


def test_every_image_is_described(written):
    images = [(page.path.name, image) for page in written for image in page.images]
    assert len(images) >= 12
    for name, image in images:
        assert len(image.get("alt", "")) > 20, f"{name}: {image.get('src')}"
        assert "/" not in image["alt"].split(" ")[0]


def test_every_figure_is_numbered_and_captioned(written):
    figures = [
        (page, text) for page in written for text in re.findall(r"<figure[^>]* id=.*?</figure>", page.text, re.DOTALL)
    ]
    assert len(figures) >= 12
    for page, figure in figures:
        assert re.search(r'caption-number">Fig\. [\d.]+', figure), page.path.name
        assert len(re.sub(r"<[^>]+>", "", figure.split("caption-text", 1)[1])) > 40


def test_every_page_has_a_title_and_a_description(written):
    for page in written:
        assert re.search(r"<title>\s*\S.*</title>", page.text)
        assert len(page.meta.get("description", "")) > 40, page.path.name


def test_every_page_says_when_it_was_last_run(written):
    for page in written:
        (line,) = re.findall(r'<p class="last-run">(.*?)</p>', page.text)
        assert re.match(rf"Last run: alphaflops {re.escape(__version__)}, \w+", line), page.path.name


def test_chapters_on_our_runs_name_the_day_of_measurement(html):
    days = {str(datasets.load(name).meta["finished"])[:10] for name in ("cpu-1core", "cpu-allcores")}
    text = (html / "notebooks" / "02_kernels.html").read_text(encoding="utf-8")
    assert f"measurements of {', '.join(sorted(days))} and published data" in text


def test_every_table_of_a_chapter_is_numbered_and_captioned(written):
    tables = 0
    for page in written:
        if page.path.parent.name == "notebooks":
            body = re.sub(r'<details class="provenance">.*?</details>', "", page.text, flags=re.DOTALL)
            for table in re.findall(r"<table.*?</table>", body, re.DOTALL):
                assert re.search(r'caption-number">Table [\d.]+', table), f"{page.path.name}: {table[:300]}"
                tables += 1
    assert tables >= 20


def test_every_chapter_tells_a_story(html):
    for chapter in contents.chapters()[1:-1]:
        text = (html / "notebooks" / f"{chapter.name}.html").read_text(encoding="utf-8")
        body = text.rsplit("</h1>", 1)[1]
        opening = body.split("<h2", 1)[0]
        assert re.search(r"<strong>.*?\?</strong>", opening, re.DOTALL), f"{chapter.name} opens with no question"
        headings = [re.sub(r"<span.*?</span>", "", one) for one in re.findall(r"<h2>(.*?)<a", text)]
        assert "What we learned" in headings[-2:], chapter.name
        learned = text.split("What we learned", 1)[1]
        assert "<li>" in learned, chapter.name
        assert 'href="../book/notation.html' in body, f"{chapter.name} links to no notation"
        assert "<figure" in body, chapter.name


def test_every_chapter_can_be_taken_along(html):
    for chapter in contents.chapters()[1:]:
        told = nbformat.read(chapter.committed, 4).metadata["alphaflops"]
        text = (html / "notebooks" / f"{chapter.name}.html").read_text(encoding="utf-8")
        box = text.split('class="take-along', 1)[1]
        (notebook,) = re.findall(r'<a href="([^"]+)" download>', box)
        assert json.loads((html / "notebooks" / notebook).read_text(encoding="utf-8"))["cells"]
        assert told["gpu"] or "so a GPU changes nothing" in box
        for command in told["gpu"]:
            shown = re.sub(r"\\\s+", "", html_module.unescape(re.sub(r"<[^>]+>", "", box)))
            assert command in shown


def test_commands_of_chapters_are_understood():
    commands = [
        command
        for chapter in contents.chapters()
        for command in nbformat.read(chapter.committed, 4).metadata.get("alphaflops", {}).get("gpu", [])
    ]
    assert len(commands) >= 10
    for words in map(shlex.split, commands):
        if words[0] == "make":
            assert words[1] == "rerun"
            assert {word.split("=")[0] for word in words[2:]} <= {"DEVICE", "PROFILE"}
        else:
            assert words[0] == "alphaflops"
            known = cli.alphaflops.get_command(click.Context(cli.alphaflops), words[1])
            given = known.make_context(words[1], words[2:])
            for name in given.params.get("experiment", ()):
                assert name in [e.name for e in experiments.select(given.params["profile"])]


def test_chapters_measure_every_experiment_that_they_draw():
    for chapter in contents.chapters():
        notebook = nbformat.read(chapter.committed, 4)
        measured = [c for c in notebook.metadata.get("alphaflops", {}).get("gpu", []) if "--experiment" in c]
        if measured:
            code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
            drawn = re.findall(r'sweep\([^"]*"(\w+)"\)', code)
            assert re.findall(r"--experiment (\w+)", measured[0]) == drawn


def test_reference_names_every_public_function_and_class(pages):
    ids = {one for page in pages for one in page.ids}
    public = []
    for info in pkgutil.walk_packages(alphaflops.__path__, "alphaflops."):
        if info.name.startswith(("alphaflops.cli", "alphaflops.__main__", "alphaflops.data")):
            continue
        module = importlib.import_module(info.name)
        public += [
            f"{info.name}.{name}"
            for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", None) == info.name
            if inspect.isclass(value) or inspect.isfunction(value)
        ]
    assert len(public) > 250
    assert [name for name in public if name not in {*ids, "alphaflops.costs.model"}] == []  # a module has that name


def test_links_to_a_page_show_its_title_and_picture(written):
    for page in written:
        tags = dict(re.findall(r'<meta property="og:(\w+)" content="([^"]*)"', page.text))
        assert tags["title"]
        assert tags["description"] == html_module.escape(html_module.unescape(page.meta["description"]))
        assert (page.path.parent / tags["image"]).is_file()


def test_no_markup_is_left_unrendered(written):
    for page in written:
        body = re.sub(r"<(script|style|pre|code).*?</\1>", "", page.text, flags=re.DOTALL)
        visible = re.sub(r"<[^>]+>", "", body)
        left = re.findall(r"\{(?:glue|doc|cite|term|numref)|:::|```|\*\*[A-Za-z][^*\n]*\*\*", visible)
        assert not left, page.path.name


def test_readme_shows_the_front_page_and_a_chapter_on_desktop_and_phone():
    text = (paths.CHECKOUT / "README.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r'<img src="([^"]+)"[^>]* alt="([^"]+)"', text))
    files = {path.relative_to(paths.CHECKOUT).as_posix() for path in paths.CHECKOUT.glob("book/screenshots/*")}
    assert set(shown) == files
    assert {Path(name).stem for name in shown} == {"front-desktop", "front-phone", "chapter-desktop", "chapter-phone"}
    assert all(len(alt) > 20 for alt in shown.values())


def test_site_has_an_icon_of_its_own(written, html):
    assert (html / "_static" / "favicon.svg").is_file()
    assert all("_static/favicon.svg" in page.text for page in written)


def test_mathematics_is_on_board(html, written):
    assert (html / "_static" / "vendor" / "tex-svg.js").stat().st_size > 1_000_000
    assert any('class="math' in page.text for page in written)


def test_pages_and_book_stay_light(html, written):
    for page in written:
        images = sum((page.path.parent / unquote(image["src"])).stat().st_size for image in page.images)
        assert images + page.path.stat().st_size < PAGE_BYTES, page.path.name
    assert sum(path.stat().st_size for path in html.rglob("*") if path.is_file()) < BOOK_BYTES


def test_pages_name_no_folder_of_this_computer(written):
    for page in written:
        assert str(paths.CHECKOUT) not in page.text
        assert str(Path.home()) not in page.text
