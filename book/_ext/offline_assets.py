"""Copy MathJax into the built book, so that its formulas show without a network."""

import shutil
from importlib.util import find_spec
from pathlib import Path

ASSETS = {"vendor/tex-svg.js": ("sphinx-mathjax-offline", "static/mathjax/tex-svg.js")}
"""File under ``_static``: the installed package and the file inside it."""


def copy_assets(app, exception):
    """Copy the assets after a successful HTML build."""
    if exception is not None or app.builder.format != "html":
        return
    for target, (package, inside) in ASSETS.items():
        out = Path(app.outdir) / "_static" / target
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(find_spec(package).submodule_search_locations[0]) / inside, out)


def setup(app):
    """Register with Sphinx."""
    app.connect("build-finished", copy_assets)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
