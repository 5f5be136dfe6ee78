"""Reference pages that write themselves: every command with its --help, every public name with its docstring.

The directive ``command-reference`` gives the commands; the line ``{public}`` of ``book/library`` stands for the names,
the line ``{formulas}`` of ``book/formula`` for the cost models.
"""

import inspect
import io
from contextlib import redirect_stdout

from docutils import nodes
from docutils.parsers.rst import Directive

import alphaflops
from alphaflops import cli, costs
from alphaflops.chapters import tables


class CommandReference(Directive):
    """One section per command, its help in a literal block."""

    def run(self):
        """Give the sections."""
        return [self._section("alphaflops"), *(self._section("alphaflops", name) for name in cli.commands())]

    def _section(self, *command):
        title, text = " ".join(command), io.StringIO()
        with redirect_stdout(text):
            cli.main([*command[1:], "--help"])
        text = text.getvalue()
        section = nodes.section(ids=[nodes.make_id(f"command-{title}")], names=[title])
        section += nodes.title(text=title)
        section += nodes.literal_block(text, text, language="text")
        return section


def public():
    """Write MyST text with a section for each public name."""
    return "\n\n".join(_section(name, getattr(alphaflops, name)) for name in alphaflops.__all__)


def _section(name, value):
    kind, options = "data", ""
    if inspect.isclass(value):
        kind, options = "class", "   :members:\n"
    elif callable(value):
        kind = "function"
    return f"## `{name}`\n\n```{{eval-rst}}\n.. auto{kind}:: alphaflops.{name}\n{options}```"


def formulas():
    """Write MyST text with a section for each formula, the project's own first."""
    models = sorted(costs.ANALYTIC.values(), key=lambda model: model.name != costs.OURS.name)
    return "\n\n".join(map(_formula, models))


def _formula(model):
    lines = [f"| `{p.name}` | {p.unit or '–'} | {p.meaning} |" for p in model.parameters]
    table = (
        ["| number | unit | meaning |", "|---|---|---|", *lines]
        if lines
        else ["Nothing is fitted: the constants are published."]
    )
    text = "\n".join(table)
    return f"## {model.title}: `{model.name}`\n\n{tables.formula(model)}\n\n{text}"


def write_names(app, docname, source):
    """Replace the line that stands for names or formulas by their sections."""
    for name, mark, give in (("book/library", "{public}", public), ("book/formula", "{formulas}", formulas)):
        if docname == name:
            source[0] = source[0].replace(f"\n{mark}\n", f"\n{give()}\n")


def setup(app):
    """Register with Sphinx."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("source-read", write_names)
    app.add_directive("command-reference", CommandReference)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
