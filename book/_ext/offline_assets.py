"""What the book needs to be read without a network and nothing more: MathJax in, source maps and old fonts out."""

import shutil
from importlib.util import find_spec
from pathlib import Path

MATHJAX = ("sphinx-mathjax-offline", "static/mathjax/tex-svg.js")
"""The installed package and the file inside it."""
UNUSED = ("**/*.map", "**/*.ttf", "locales")
"""Parts of the themes that no page asks for: browsers take the other format of each font."""


def copy_and_clear(app, exception):
    """Complete the assets after a successful HTML build."""
    if exception is not None or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    (static / "vendor").mkdir(parents=True, exist_ok=True)
    package, inside = MATHJAX
    folder = find_spec(package).submodule_search_locations[0]
    shutil.copyfile(Path(folder) / inside, static / "vendor" / Path(inside).name)
    for pattern in UNUSED:
        for path in list(static.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def setup(app):
    """Register with Sphinx."""
    app.connect("build-finished", copy_and_clear)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
