"""Reference pages that write themselves: every command with its --help, every public name with its docstring.

The directive ``command-reference`` gives the commands. In the pages ``book/api_*``, a line ``{modules} alphaflops.x``
stands for the modules of a package.
"""

import importlib
import inspect
import pkgutil
import re

import click
from docutils import nodes
from docutils.parsers.rst import Directive

from alphaflops.cli import alphaflops

WIDTH = 88


def _commands(command, context):
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            yield from _commands(child, click.Context(child, info_name=name, parent=context, max_content_width=WIDTH))


class CommandReference(Directive):
    """One section per command, its help in a literal block."""

    def run(self):
        """Give the sections."""
        root = click.Context(alphaflops, info_name="alphaflops", max_content_width=WIDTH)
        return [self._section(context) for context in _commands(alphaflops, root)]

    def _section(self, context):
        title = context.command_path
        section = nodes.section(ids=[nodes.make_id(f"command-{title}")], names=[title])
        section += nodes.title(text=title)
        text = context.command.get_help(context)
        section += nodes.literal_block(text, text, language="text")
        return section


def modules(package):
    """Write MyST text with a section for each module of a package, or for a module alone."""
    module = importlib.import_module(package)
    inside = [f"{package}.{info.name}" for info in pkgutil.iter_modules(getattr(module, "__path__", []))]
    own = [name for name, value in inspect.getmembers(module, inspect.isfunction) if value.__module__ == package]
    if not inside:
        return _module(package, ":members:")
    # a function of the package may bear the name of one of its modules, so it gets no entry of its own in the index
    functions = [f".. autofunction:: {package}.{name}\n   :no-index:" for name in own if name[0] != "_"]
    return "\n".join([_module(package, *functions), *(_module(name, ":members:") for name in inside)])


def _module(name, *more):
    options = "".join(f"   {line}\n" if line.startswith(":") else f"\n{line}\n" for line in more)
    return f"### `{name}`\n\n```{{eval-rst}}\n.. automodule:: {name}\n{options}```\n"


def write_modules(app, docname, source):
    """Replace each line of modules by their sections."""
    if docname.startswith("book/api_"):
        source[0] = re.sub(r"^\{modules\} (\S+)$", lambda found: modules(found[1]), source[0], flags=re.MULTILINE)


def whole_sentence(app, what, name, obj, options, lines):
    """Put the docstring of a constant together again, where its words before a colon were taken for a type."""
    if what in ("data", "attribute") and len(lines) > 2 and lines[2].startswith(":type: "):
        lines[:3] = [f"{lines[2].removeprefix(':type: ')}: {lines[0]}"]


def skip_aliases(app, what, name, obj, skip, options):
    """Leave out what a named tuple says of its fields; its docstring tells them."""
    return True if str(getattr(obj, "__doc__", "")).startswith("Alias for field number") else None


def setup(app):
    """Register with Sphinx."""
    app.setup_extension("sphinx.ext.autodoc")  # whose events come next
    app.connect("autodoc-process-docstring", whole_sentence, priority=600)  # after napoleon
    app.connect("autodoc-skip-member", skip_aliases)
    app.connect("source-read", write_modules)
    app.add_directive("command-reference", CommandReference)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
