"""The one exception type that users are meant to see."""


class AlphaflopsError(Exception):
    """Bad input or an impossible request, told in one line.

    The command line prints the message after ``error:`` and exits with 2. A message names the thing, the value
    found and what to do about it.
    """

    def _render_traceback_(self) -> list[str]:
        """Show the one line in a notebook too, where IPython asks for it."""
        return [f"error: {self}"]
