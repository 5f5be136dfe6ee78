"""What a notebook does first: refuse parameters that it does not have, and values that make no sense."""

import ast
from collections.abc import Sequence
from typing import Any

from ..errors import AlphaflopsError
from ..experiments import PROFILES

INJECTED = "# Parameters\n"
"""First line of the cell that papermill adds."""


def given(
    runs: str | Sequence[str] = (), *, device: str = "", profile: str = "quick", out: str = "my-run"
) -> list[str]:
    """Check a notebook's parameters and give the runs to show beside the authors'.

    Parameters
    ----------
    runs : str or sequence of str
        One name or folder, or several; a text may name several with commas between them.
    device, profile, out : str
        As in the notebook's cell of parameters.

    Raises
    ------
    AlphaflopsError
        Naming the parameter that is unknown or has a value that it cannot have.
    """
    cells = [assigned(cell) for cell in _history()]
    if cells and (unknown := [name for name in cells[1] if name not in cells[0]]):
        raise AlphaflopsError(f"parameter {unknown[0]!r} is unknown: this notebook has {', '.join(cells[0])}")
    for name, value in (("device", device), ("profile", profile), ("out", out)):
        if not isinstance(value, str):
            raise AlphaflopsError(f"parameter {name} is {value!r}: give a text")
    if profile not in PROFILES:
        raise AlphaflopsError(f"parameter profile is {profile!r}: choose one of {', '.join(PROFILES)}")
    listed = [name.strip() for name in runs.split(",")] if isinstance(runs, str) else runs
    if not isinstance(listed, Sequence) or not all(isinstance(name, str) for name in listed):
        raise AlphaflopsError(f"parameter runs is {runs!r}: give a name, a folder or a list of them")
    return [name for name in listed if name]


def _history() -> list[str]:
    """Give the source of the cell of parameters and of the one that papermill put after it, where there is one."""
    from IPython.core.getipython import get_ipython

    shell: Any = get_ipython()
    cells: list[str] = shell.user_ns["In"] if shell else []
    at = next((i for i, cell in enumerate(cells) if cell.startswith(INJECTED)), 0)
    return cells[at - 1 : at + 1] if at else []


def assigned(source: str) -> list[str]:
    """Names that a cell sets, in their order."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)]
    return [node.id for node in nodes if isinstance(node.ctx, ast.Store)]
