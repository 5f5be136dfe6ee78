"""Nothing private leaves this machine: what would name its owner or this one computer, found and taken out.

Two nets. Words of this machine: user name, host name, home and working folder, serial numbers and hardware addresses
that can be read here. And patterns that name some machine wherever they come from: absolute paths, mail addresses,
hardware addresses and unique identifiers.
"""

import getpass
import os
import re
import socket
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ..errors import AlphaflopsError

REMOVED: Final = "[removed]"
"""What stands in place of a private word."""

COMMON: Final = {
    *("root", "user", "users", "admin", "ubuntu", "debian", "docker", "runner", "jovyan", "vscode", "test", "local"),
    *("localhost", "localdomain", "vm", "host", "server", "node", "gpu", "cpu", "cuda", "home", "none", "linux", "tmp"),
}
"""User and host names that many machines share: they identify nobody."""

SHORTEST: Final = 3
"""Words of fewer letters are not searched: they occur in any text."""

PRIVATE_KEYS: Final = re.compile(r"user|host|serial|uuid|mac_address|e-?mail|ip_address|asset", re.I)
"""Keys of metadata whose value is dropped whatever it says."""

PATTERNS: Final = {
    "an absolute path": re.compile(
        r"(?<![\w:/.\-<])(?:~|/[\w.+@-]+)(?:/[\w.+@-]+)+/?|(?<!\w)[A-Za-z]:\\[^\s\"']+|\\\\\w+\\\w+"
    ),
    "a file address": re.compile(r"file://[^\s\"']+"),
    "a mail address": re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]*\w"),
    "a hardware address": re.compile(r"(?<![\w:])(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}(?![\w:])", re.I),
    "a unique identifier": re.compile(r"(?:GPU-|MIG-)?\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.I),
    # addresses of local networks alone: versions of four parts look like the others
    "a network address": re.compile(
        r"(?<![\w.])(?:(?:10|127)(?:\.\d{1,3}){3}|(?:192\.168|169\.254|172\.(?:1[6-9]|2\d|3[01]))(?:\.\d{1,3}){2})(?![\w.])"
    ),
}
"""What names a machine or a person wherever it comes from."""

IDENTIFIERS: Final = (
    "/etc/machine-id",
    "/sys/class/dmi/id/product_serial",
    "/sys/class/dmi/id/product_uuid",
    "/sys/class/dmi/id/board_serial",
    "/sys/class/dmi/id/chassis_serial",
)
"""Files in which Linux keeps what identifies one computer (most are readable by root alone)."""


def _identifiers() -> list[str]:
    found = [f"{uuid.getnode():012x}"]
    for name in IDENTIFIERS:
        try:
            found.append(Path(name).read_text(encoding="utf-8", errors="replace").strip())
        except OSError:
            continue
    return found


def own_folders() -> list[str]:
    """Folders of this machine that a file might name by accident: home, working and temporary folder."""
    folders = [Path.home(), Path.cwd(), Path(tempfile.gettempdir())]
    return [str(folder) for folder in folders if len(folder.parts) > 2 or folder.name not in {*COMMON, ""}]


def own_words() -> list[str]:
    """Words that name this machine or its user, the longest first."""
    try:
        names = [getpass.getuser()]
    except (KeyError, OSError):  # a container may run under a number that has no name
        names = []
    names += [os.environ.get(key, "") for key in ("USER", "LOGNAME", "USERNAME", "SUDO_USER", "HOSTNAME")]
    host = socket.gethostname()
    names += [Path.home().name, host, host.partition(".")[0], *_identifiers()]
    words = {name for name in names if len(name) >= SHORTEST and name.casefold() not in COMMON and not name.isspace()}
    return sorted({*words, *own_folders()}, key=lambda word: (-len(word), word))


def _pattern(words: list[str]) -> re.Pattern[str] | None:
    if not words:
        return None
    return re.compile("|".join(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])" for word in words), re.I)


def scrub_text(text: str, words: list[str]) -> str:
    """Put `REMOVED` in place of each private word and pattern."""
    for pattern in (*PATTERNS.values(), _pattern(words)):
        text = pattern.sub(REMOVED, text) if pattern else text
    return text


def scrub(value: Any, words: list[str]) -> Any:
    """Scrub all texts of a JSON value; entries whose key promises something private are dropped."""
    if isinstance(value, str):
        return scrub_text(value, words)
    if isinstance(value, Mapping):
        return {key: scrub(item, words) for key, item in value.items() if not PRIVATE_KEYS.search(str(key))}
    if isinstance(value, list | tuple):
        return [scrub(item, words) for item in value]
    return value


def check_clean(name: str, data: bytes, words: list[str], patterns: bool = True) -> None:
    """Refuse content in which something private is left.

    Parameters
    ----------
    name : str
        What the error calls the content.
    data : bytes
        A file as it would leave this machine.
    words : list of str
        What to look for, as given by `own_words` or `own_folders`.
    patterns : bool
        Whether to look for `PATTERNS` too.

    Raises
    ------
    AlphaflopsError
        Saying what was found and where, without repeating it.
    """
    text = data.decode("utf-8", "replace")
    own = _pattern(words)
    if own and (hit := own.search(text)):
        line = text.count("\n", 0, hit.start()) + 1
        raise AlphaflopsError(f"{name}, line {line}, names this machine, its user or a folder of it: remove that first")
    for what, pattern in PATTERNS.items() if patterns else ():
        if hit := pattern.search(text):
            line = text.count("\n", 0, hit.start()) + 1
            raise AlphaflopsError(f"{name}, line {line}, holds {what}: remove that first")
