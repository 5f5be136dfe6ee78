"""The command line: reads options, calls the library, prints. No logic of its own."""

from importlib import import_module
from keyword import iskeyword
from typing import Any

import click

from .. import __version__
from ..errors import AlphaflopsError

COMMANDS = {
    "layer": "layer",
    "runs": "runs",
    "env": "runs",
    "score": "models",
    "fit": "models",
    "calibrate": "models",
    "compare": "models",
    "estimate": "networks",
    "measure-networks": "networks",
    "claims": "claiming",
    "scorecard": "claiming",
    "measure": "measuring",
    "verify": "measuring",
    "book": "books",
    "rerun": "books",
    "update": "books",
    "pack": "archives",
    "import": "archives",
    "cite": "archives",
    "reproduce": "reproducing",
}
"""Command → module of this package that defines it."""


class Commands(click.Group):
    """A group that imports a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands, in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import and give one command, or None if there is none of that name."""
        if name not in COMMANDS:
            return None
        attribute = f"{name}_" if iskeyword(name) else name.replace("-", "_")
        command: click.Command = getattr(import_module(f"alphaflops.cli.{COMMANDS[name]}"), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each command with its whole first sentence, which click would cut."""
        found = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, command.get_short_help_str(limit=200)) for name, command in found.items() if command]
            )


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="alphaflops")
def alphaflops() -> None:
    """Which measure predicts the time of a neural-network layer?

    Count a layer, measure a machine, score cost formulas, build the book.

    \b
    Examples:
      alphaflops layer conv2d --height 10 --width 10 --cin 100 --cout 50 --kernel 3
      alphaflops score paper-t2000 --model alpha-published
      alphaflops rerun --profile quick
    """


def main(args: list[str] | None = None) -> int:
    """Run the command line; every foreseeable error is one line on stderr and exit code 2."""
    try:
        result: Any = alphaflops.main(args=args, prog_name="alphaflops", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        return fail(error.format_message())
    except AlphaflopsError as error:
        return fail(str(error))
    except click.Abort:
        return fail("interrupted", 130)


def fail(message: str, code: int = 2) -> int:
    """Print one line on stderr and give the exit code."""
    click.echo(f"error: {' '.join(message.split())}", err=True)
    return code
