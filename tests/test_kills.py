"""A kill at any step of what writes files leaves all or nothing, and the next try works."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize(
    ("name", "least"), [("file", 4), ("folder", 6), ("pack", 4), ("import", 8), ("refresh", 16), ("book", 6)]
)
def test_what_is_there_after_a_kill_is_whole_and_the_next_try_works(name, least, tmp_path):
    script = Path(__file__).with_name("killed_steps.py")
    done = subprocess.run([sys.executable, script, name, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= least
