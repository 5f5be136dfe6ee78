"""Put the record of how a chapter was made at the end of its page, from the notebook's metadata."""

import json
from pathlib import Path

from docutils import nodes

from alphaflops.book.provenance import block


def add_block(app, doctree):
    """Append the block to a chapter that carries a record."""
    path = Path(app.env.doc2path(app.env.docname))
    if path.suffix != ".ipynb":
        return
    told = json.loads(path.read_text(encoding="utf-8"))["metadata"].get("alphaflops", {}).get("provenance")
    if told is not None:
        last = doctree.children[-1]
        (last if isinstance(last, nodes.section) else doctree).append(nodes.raw("", block(told), format="html"))


def setup(app):
    """Register with Sphinx."""
    app.connect("doctree-read", add_block)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
