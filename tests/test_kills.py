"""A kill at any step of what writes files leaves all or nothing, and the next try works."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LEAST = {"file": 4, "folder": 6, "pack": 4, "import": 8, "refresh": 16, "book": 6}
"""Steps that each of them has at least."""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_what_is_there_after_a_kill_is_whole_and_the_next_try_works(tmp_path):
    script = Path(__file__).with_name("killed_steps.py")
    done = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    died = json.loads(done.stdout)
    assert died.keys() == LEAST.keys()
    assert {name: died[name] for name in LEAST if died[name] < LEAST[name]} == {}
