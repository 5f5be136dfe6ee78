"""Numbers as people read them: significant digits, no exponent, ranges."""

import math
from collections.abc import Iterable


def number(value: float, digits: int = 2) -> str:
    """Write a number with that many significant digits, a true minus sign and no exponent.

    Parameters
    ----------
    value : float
        Integers of any size are written in full where `digits` allow; what is not finite is "not known".
    digits : int
        Significant digits kept.
    """
    if not math.isfinite(value) or value == 0:
        return "0" if value == 0 else "not known"
    rounded = float(f"{value:.{digits - 1}e}")
    places = digits - 1 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:,.{max(places, 0)}f}".replace("-", "\N{MINUS SIGN}")


def between(values: Iterable[float], digits: int = 2) -> str:
    """Write the range of some numbers: ``"2.1 to 3.4"``, or one number where both ends read the same."""
    listed = list(values)
    low, high = number(min(listed), digits), number(max(listed), digits)
    return low if low == high else f"{low} to {high}"
