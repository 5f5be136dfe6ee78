"""The book: notebooks run by papermill, pages built by Jupyter Book."""

from .parameters import given
from .publish import build, notebooks, rerun

__all__ = ["build", "given", "notebooks", "rerun"]
