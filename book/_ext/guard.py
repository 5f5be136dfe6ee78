"""A second wall between what a run says and the pages: no file from elsewhere, no script, no other host.

The first is `alphaflops.files.markdown`, which escapes every text of a run. What comes through all the same is shown as
the text that it is.
"""

import re
from pathlib import Path

import bleach
from bleach.css_sanitizer import CSSSanitizer
from docutils import nodes
from sphinx.addnodes import download_reference, pending_xref

TAGS = frozenset(
    [
        *("a", "b", "br", "caption", "code", "col", "colgroup", "dd", "details", "div", "dl", "dt", "em", "figcaption"),
        *("figure", "h2", "h3", "h4", "hr", "i", "li", "ol", "p", "pre", "section", "small", "span", "strong", "sub"),
        *("summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul"),
    ]
)
ATTRIBUTES = {
    "*": ["aria-label", "class", "colspan", "id", "role", "rowspan", "scope", "style", "title"],
    "a": ["href"],
}
LINKS = ("http", "https", "mailto")
PRIVATE = ("runs", "measured")
"""Folders of a stage that hold runs: no page offers their files."""


def allowed(html):
    """Give HTML of an output without anything that acts."""
    html = re.sub(r"<style[^>]*>[^<]*</style>", "", html)  # pandas' own, which the book's style replaces
    return bleach.clean(html, TAGS, ATTRIBUTES, LINKS, css_sanitizer=CSSSanitizer())


def _inside(app, target):
    if re.match(r"\w+:", target):
        return False
    root = Path(app.srcdir).resolve()
    path = Path(app.env.relfn2path(target, app.env.docname)[1]).resolve()
    return path.is_file() and path.is_relative_to(root) and path.relative_to(root).parts[0] not in PRIVATE


def guard(app, doctree):
    """Take out of a page what could bring in a file; out of a chapter, what could act, too."""
    for node in list(doctree.findall(lambda one: isinstance(one, download_reference | nodes.image))):
        target = node.get("reftarget") or node.get("uri") or ""
        if not _inside(app, target):
            node.replace_self(nodes.literal("", f"{node.astext() or node.get('alt', '')} {target}"))
    for node in list(doctree.findall(nodes.reference)):
        scheme = re.match(r"\s*(\w+):", node.get("refuri", ""))
        if scheme and scheme[1] not in LINKS:
            node.replace_self(nodes.literal("", node.astext()))
    for output in doctree.findall(lambda one: "cell_output" in getattr(one, "attributes", {}).get("classes", ())):
        for node in list(output.findall(pending_xref)):  # a link to nowhere, which would stop the build
            target = node["reftarget"].partition("#")[0]
            if node.get("reftype") == "myst" and target not in app.env.found_docs and not _inside(app, target):
                node.replace_self(nodes.literal("", f"{node.astext()} {node['reftarget']}"))
    if app.env.docname.startswith("notebooks/"):
        for node in list(doctree.findall(nodes.raw)):
            if "html" in node.get("format", "").split():
                text = allowed(node.astext())
                node.replace_self(nodes.raw("", text, format="html"))


def close_files(app):
    """Let no directive read a file: include, literalinclude, raw and csv-table with a file."""
    app.env.settings["file_insertion_enabled"] = False


def setup(app):
    """Register with Sphinx, before downloads and images are gathered."""
    app.connect("builder-inited", close_files)
    app.connect("doctree-read", guard, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
