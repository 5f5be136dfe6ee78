"""What a kernel reads while it runs: which files are noted, and for which line of which cell."""

import os
import sys
from types import SimpleNamespace

import pytest

from alphaflops.book import noting


@pytest.fixture
def noted(tmp_path, monkeypatch):
    """Start noting in a made-up kernel that runs its third cell; give the hook, the kernel's names and the notes."""
    names = {}
    history = SimpleNamespace(input_hist_parsed=["", "first", "second", "third"])
    shell = SimpleNamespace(user_ns=names, history_manager=history)
    hooks = []
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    monkeypatch.setattr(sys, "addaudithook", hooks.append)
    noting.prepare(tmp_path / "ipython", [tmp_path / "data"])
    noting.start(str(tmp_path / "ipython" / noting.NOTES), [f"{tmp_path / 'data'}{os.sep}"])
    (hook,) = hooks
    return hook, names, lambda: noting.read(tmp_path / "ipython")


def test_a_file_under_a_root_is_noted_with_cell_and_line(noted, tmp_path):
    hook, names, notes = noted
    path = str(tmp_path / "data" / "run.csv")
    names["hook"] = lambda: hook("open", (path, "r", os.O_RDONLY))
    exec("x = 1\n\nhook()", names)
    hook("open", (os.fsencode(path), "r", None))  # no statement of the notebook is running
    assert notes() == [noting.Note(path, 3, 3), noting.Note(path, 3, 0)]


def test_only_reading_files_under_the_roots_is_noted(noted, tmp_path):
    hook, _, notes = noted
    inside = str(tmp_path / "data" / "x")
    hook("open", (str(tmp_path / "elsewhere"), "r", os.O_RDONLY))
    hook("open", (str(tmp_path / "data2"), "r", os.O_RDONLY))
    hook("open", (inside, "w", os.O_WRONLY | os.O_CREAT))
    hook("open", (inside, "r+", os.O_RDWR))
    hook("open", (7, "r", os.O_RDONLY))
    hook("import", (inside, None, None))
    assert notes() == []


def test_the_start_up_script_starts_noting_and_leaves_no_name(tmp_path, monkeypatch):
    noting.prepare(tmp_path, [tmp_path / "data"])
    started = []
    monkeypatch.setattr(noting, "start", lambda *given: started.append(given))
    script = (tmp_path / "profile_default" / "startup" / "00-notes.py").read_text()
    names = {}
    exec(script, names)
    assert started == [(str(tmp_path / noting.NOTES), [f"{tmp_path / 'data'}{os.sep}"])]
    assert set(names) == {"__builtins__"}


def test_a_kernel_that_never_began_has_no_notes(tmp_path):
    assert noting.read(tmp_path) is None
