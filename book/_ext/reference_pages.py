"""The directive ``command-reference``: every command of the command line with its --help, as the program prints it."""

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


def setup(app):
    """Register with Sphinx."""
    app.add_directive("command-reference", CommandReference)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
