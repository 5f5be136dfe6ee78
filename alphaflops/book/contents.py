"""The chapters of the book: which notebooks there are, in which order, and how their text is read."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import paths
from ..errors import AlphaflopsError
from .parameters import assigned


@dataclass(frozen=True)
class Chapter:
    """One notebook of the book.

    Parameters
    ----------
    text : Path
        The MyST source.
    needs : tuple of str
        Data sets without which it cannot run.
    parameters : frozenset of str
        Names that its cell tagged ``parameters`` sets.
    """

    text: Path
    needs: tuple[str, ...] = ()
    parameters: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """File name without its ending."""
        return self.text.stem

    @property
    def committed(self) -> Path:
        """The notebook with the outputs of its default run."""
        return self.text.with_suffix(".ipynb")

    @property
    def measures(self) -> bool:
        """Whether it times its layers where it is given a device."""
        return "device" in self.parameters


def checkout() -> Path:
    """Folder of the book's sources.

    Raises
    ------
    AlphaflopsError
        Outside a checkout of the repository.
    """
    if not paths.in_checkout() or not (paths.CHECKOUT / "_toc.yml").is_file():
        raise AlphaflopsError("the book's sources are not here: run this in a checkout of the repository")
    return paths.CHECKOUT


def pages() -> list[str]:
    """Pages that ``_toc.yml`` names, in order: paths without ending.

    Raises
    ------
    AlphaflopsError
        Outside a checkout.
    """
    from sphinx_external_toc.parsing import parse_toc_yaml

    return list(parse_toc_yaml(checkout() / "_toc.yml"))


def chapters() -> list[Chapter]:
    """Notebooks of the book in the order of ``_toc.yml``.

    Raises
    ------
    AlphaflopsError
        Outside a checkout, or if a text cannot be read.
    """
    return [_chapter(checkout() / f"{name}.md") for name in pages() if name.startswith("notebooks/")]


def _chapter(text: Path) -> Chapter:
    notebook = read_text(text)
    needs = notebook.metadata.get("alphaflops", {}).get("needs", ())
    return Chapter(text, tuple(needs), frozenset(parameters_of(notebook)))


def parameters_of(notebook: Any) -> list[str]:
    """Names that a notebook's cell of parameters sets, in their order."""
    cells = [cell.source for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    return assigned("\n".join(cells))


def read_text(text: Path) -> Any:
    """Read the text of a chapter as a notebook whose cells have lasting ids.

    Raises
    ------
    AlphaflopsError
        If it cannot be read.
    """
    import jupytext

    try:
        notebook = jupytext.read(text)
    except OSError as error:
        raise AlphaflopsError(f"{text} is in _toc.yml but cannot be read: {error.strerror}") from error
    for i, cell in enumerate(notebook.cells):  # jupytext's own ids are random
        cell.id = f"c{i:02d}-{hashlib.sha256(cell.source.encode()).hexdigest()[:8]}"
    return notebook
