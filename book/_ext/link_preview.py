"""What sites show for a link to a page: title, description and picture (Open Graph).

The tags should hold whole addresses. They do once ``html_baseurl`` in ``_config.yml`` names where the book lies; until
then the picture's address is relative to the page.
"""

import html
import re
from urllib.parse import urljoin

from docutils import nodes

PICTURE, ALT = "_static/social.png", "Bars of very different length: the times of five layers with equal FLOPs."


def add_tags(app, pagename, templatename, context, doctree):
    """Add the tags to the head of a page that was written, not to the index or the search."""
    if doctree is None:
        return
    described = [meta["content"] for meta in doctree.findall(nodes.meta) if meta.get("name") == "description"]
    base = app.config.html_baseurl
    picture = urljoin(base, PICTURE) if base else context["pathto"](PICTURE, 1)
    tags = {
        "og:type": "article",
        "og:site_name": app.config.html_title or app.config.project,
        "og:title": html.unescape(re.sub("<[^>]+>", "", context["title"])),
        "og:description": " ".join(described),
        "og:image": picture,
        "og:image:alt": ALT,
    }
    if base:
        tags["og:url"] = urljoin(base, f"{pagename}.html")
    lines = [f'<meta property="{name}" content="{html.escape(text)}" />' for name, text in tags.items()]
    lines.append('<meta name="twitter:card" content="summary_large_image" />')
    context["metatags"] = context.get("metatags", "") + "\n".join(lines)


def setup(app):
    """Register with Sphinx."""
    app.connect("html-page-context", add_tags)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
