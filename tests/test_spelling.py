"""Spelling of everything that people read: prose, chapters, docstrings, comments."""

import subprocess
import sys

from alphaflops import paths

READ = (
    "book/*.md",
    "notebooks/*.md",
    "*.md",
    "data/*.md",
    "workflow/*.md",
    "alphaflops/**/*.py",
    "book/**/*.py",
    "book/_static/*.js",
)
WORDS = "lod,mape,nd"
"""Abbreviations that codespell takes for misspelt words."""


def files():
    return sorted(str(path) for pattern in READ for path in paths.CHECKOUT.glob(pattern))


def spell(*arguments):
    command = [sys.executable, "-m", "codespell_lib", "--builtin", "clear,rare", "-L", WORDS, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=paths.CHECKOUT, check=False)


def test_no_word_is_misspelt():
    assert len(files()) > 100
    done = spell(*files())
    assert (done.returncode, done.stdout) == (0, "")


def test_a_misspelt_word_is_found(tmp_path):
    (tmp_path / "page.md").write_text("a measurment\n", encoding="utf-8")
    assert "measurment ==> measurement" in spell(str(tmp_path / "page.md")).stdout
