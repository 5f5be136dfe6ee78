"""Chapters whose data cannot be had here are skipped, with the reason."""

import pytest

from alphaflops.book.contents import chapters
from alphaflops.runs import datasets

NEEDS = {chapter.committed: chapter.needs for chapter in chapters()}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the cells of each chapter that needs a data set which is neither mirrored nor downloaded."""
    for item in items:
        missing = [name for name in NEEDS.get(item.path, ()) if not datasets.available(name)]
        if missing:
            item.add_marker(pytest.mark.skip(reason=f"{missing[0]} is neither in a mirror nor downloaded"))
