"""The forms tried for the project's own formula: the chosen one, and what each of its parts is worth."""

from typing import Final

from .best import Structure, make
from .model import CostModel

CHOSEN: Final = Structure({"c": 1.0, "ck": 8.0, "k0": 32.0, "e": 0.5})
BEST: Final[CostModel] = make("best", "tiles, bytes and a call overhead", CHOSEN)
FORMS: Final[tuple[CostModel, ...]] = (BEST,)
