"""The recipes of the book run as they stand there."""

import re

import pytest

from alphaflops import paths
from alphaflops.runs import datasets

TEXT = (paths.CHECKOUT / "book" / "howto.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^## … (.+?)\?\n.*?```python\n(.+?)```", TEXT, re.M | re.S))


def test_there_are_ten_recipes_and_no_other_code():
    assert len(RECIPES) == 10
    assert TEXT.count("```python") == 10


@pytest.mark.parametrize("title", RECIPES)
def test_recipe_runs(title, capsys):
    code = RECIPES[title]
    for name in re.findall(r'load\("([\w-]+)"\)', code):
        if not datasets.available(name):
            pytest.skip(f"{name} is not here")
    exec(compile(code, title, "exec"), {"__name__": "recipe"})
    assert capsys.readouterr().err == ""
    assert "print(" in code
    assert "to_table" not in code
