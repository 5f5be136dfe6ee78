"""The built book: complete, linked, described, and readable without a network."""

import html as html_module
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import alphaflops
from alphaflops import cli, paths
from alphaflops.book import contents

PAGE_BYTES, BOOK_BYTES = 1_500_000, 25_000_000
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
    for name in contents.pages():
        assert (html / f"{name}.html").is_file()
    assert "00_verdict.html" in (html / "index.html").read_text(encoding="utf-8")


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
        assert re.search(r'caption-number">Plot [\d.]+', figure), page.path.name
        assert len(re.sub(r"<[^>]+>", "", figure.split("caption-text", 1)[1])) > 40


def test_every_page_has_a_title_and_a_description(written):
    for page in written:
        assert re.search(r"<title>\s*\S.*</title>", page.text)
        assert len(page.meta.get("description", "")) > 40, page.path.name


def test_every_chapter_tells_a_story(html):
    for chapter in contents.chapters()[1:-1]:
        text = (html / "notebooks" / f"{chapter.name}.html").read_text(encoding="utf-8")
        opening = text.rsplit("</h1>", 1)[1].split("<h2", 1)[0]
        assert re.search(r"<strong>.*?\?</strong>", opening, re.DOTALL), f"{chapter.name} opens with no question"
        headings = [re.sub(r"<span.*?</span>", "", one) for one in re.findall(r"<h2>(.*?)<a", text)]
        assert headings.count("Conclusion") == 1, chapter.name
        assert "<figure" in text, chapter.name


def test_every_chapter_ends_with_the_data_that_it_loaded(html):
    for chapter in contents.chapters():
        text = (html / "notebooks" / f"{chapter.name}.html").read_text(encoding="utf-8")
        last = text.rsplit("<table", 1)[1]
        for name in ("run", "machine", "protocol", "sha256"):
            assert f"<p>{name}</p>" in last, chapter.name
        assert "paper-t2000" in last, chapter.name


def test_every_chapter_can_be_taken_along(html):
    for chapter in contents.chapters()[1:]:
        text = (html / "notebooks" / f"{chapter.name}.html").read_text(encoding="utf-8")
        box = text.split('class="take-along', 1)[1]
        (notebook,) = re.findall(r'<a href="([^"]+)" download>', box)
        assert json.loads((html / "notebooks" / notebook).read_text(encoding="utf-8"))["cells"]
        assert ("papermill" in box) == chapter.measures


def test_reference_names_everything_that_is_public_and_nothing_else(html):
    text = (html / "book" / "library.html").read_text(encoding="utf-8")
    documented = {name.split(".")[1] for name in re.findall(r'id="(alphaflops\.\w+)"', text)}
    assert documented == set(alphaflops.__all__)


def test_commands_are_shown_with_their_help(html):
    text = html_module.unescape((html / "book" / "commands.html").read_text(encoding="utf-8"))
    for name in cli.commands():
        assert f"usage: alphaflops {name} " in text


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
