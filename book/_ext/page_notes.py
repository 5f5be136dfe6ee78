"""How to take a chapter along and run it, at its end."""

from pathlib import Path

from docutils import nodes

from alphaflops.book.contents import parameters_of

NOTEBOOKS = "../_sources/notebooks/"
"""Where the built book keeps the notebooks that its chapters were made of."""
COMMAND = "papermill {name} mine.ipynb -p device cuda -p profile paper -p out my-gpu"


def add_note(app, doctree):
    """Put the note at the end of a chapter."""
    import nbformat

    path = Path(app.env.doc2path(app.env.docname))
    first = next(iter(doctree.findall(nodes.section)), None)
    if path.suffix != ".ipynb" or first is None:
        return
    link = nodes.raw("", f'<a href="{NOTEBOOKS}{path.name}" download>Download this notebook</a>', format="html")
    box = nodes.container(classes=["take-along"])
    box += nodes.paragraph("", "", link, classes=["download"])
    if "device" in parameters_of(nbformat.read(path, 4)):
        text = COMMAND.format(name=path.name)
        box += nodes.paragraph("", "It measures its layers on your machine, in Jupyter or as a command:")
        box += nodes.literal_block(text, text, language="sh")
    last = doctree.children[-1]
    (last if isinstance(last, nodes.section) else first).append(box)


def setup(app):
    """Register with Sphinx."""
    app.connect("doctree-read", add_note, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
