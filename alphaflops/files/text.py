"""What a run says is data: the forms in which it may stand in a page, on a terminal, in a figure or a spreadsheet."""

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pandas as pd

PRINTABLE: Final = (
    r"[ -~\u00a1-\u00ac\u00ae-\u024f\u0370-\u04ff\u2010-\u2027\u2030-\u205e\u2070-\u209c\u20ac\u2122\u2190-\u22ff]"
)
"""One character that fonts have: Latin, Greek, Cyrillic, punctuation, arrows, mathematics; no control, no direction."""

_NOT_PRINTABLE: Final = re.compile(f"[^{PRINTABLE[1:]}")
_MARKUP: Final = re.compile(r"[^\w ,.()/+=;\u00a1-\uffff-]|_")
_COMPUTED: Final = re.compile(r"\s*[=+\-@|\t\r]")


def one_line(text: object, most: int = 200) -> str:
    """Give a text as one printable line of at most `most` characters: what a record may hold."""
    line = _NOT_PRINTABLE.sub("?", " ".join(str(text).split()))
    return line if len(line) <= most else line[: most - 1] + "…"


def markdown(text: object) -> str:
    """Give a text for Markdown, MyST, HTML and notebooks so that it is shown and never obeyed.

    Every sign that could begin markup, a role, a link, a formula or a table cell becomes a numbered entity, which
    each of these formats shows as the sign. Not for code spans, which show entities as they are.
    """
    return _MARKUP.sub(lambda sign: f"&#{ord(sign[0])};", one_line(text, 10_000))


def terminal(text: object) -> str:
    """Give a text for a terminal: control codes and signs that turn the direction are shown, not sent."""
    shown = (sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in str(text))
    return "".join(shown).encode("utf-8", "replace").decode()


def mathtext(text: object) -> str:
    """Give a text for a figure: a dollar begins no formula."""
    return one_line(text, 10_000).replace("$", r"\$")


def export_csv(table: "pd.DataFrame") -> bytes:
    """Give a table as the bytes of a CSV file for others; text that a spreadsheet would compute gets an apostrophe."""

    def plain(value: object) -> object:
        return f"'{value}" if isinstance(value, str) and _COMPUTED.match(value) else value

    text: str = table.rename(columns=plain).map(plain).to_csv(index=False, lineterminator="\n")
    return text.encode()
