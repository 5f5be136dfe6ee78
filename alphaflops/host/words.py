"""What a system says of itself, in the words that a record may hold; see ``run.schema.json``."""

import re


def word(text: object, most: int = 60) -> str:
    """Give what a system says of itself as a record may hold it: letters, digits and a few signs."""
    return re.sub(r"[^0-9A-Za-z .+_-]", "-", str(text)).strip(" .+_-")[:most] or "unknown"


def part_name(text: object) -> str:
    """Give the name of a part as a record may hold it; see ``run.schema.json``."""
    return " ".join(re.sub(r"[^A-Za-z0-9À-ɏ .,()@/+:;%=_®™µ·×–—-]", " ", str(text)).split())[:100] or "unknown"
