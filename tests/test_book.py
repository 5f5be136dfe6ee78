"""The built book: complete, linked, described, and readable without a network."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from alphaflops import paths
from alphaflops.pages import publish

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
    for name in publish._files(_toc()):
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


def test_no_markup_is_left_unrendered(written):
    for page in written:
        body = re.sub(r"<(script|style|pre|code).*?</\1>", "", page.text, flags=re.DOTALL)
        visible = re.sub(r"<[^>]+>", "", body)
        left = re.findall(r"\{(?:glue|doc|cite|term|numref)|:::|```|\*\*[A-Za-z][^*\n]*\*\*", visible)
        assert not left, page.path.name


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
