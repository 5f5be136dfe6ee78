"""``make pdf``: the book printed where a browser is, refused in one line where there is none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from alphaflops import paths

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("make"), reason="no make here"),
]


def make_pdf(out, *given):
    command = ["make", "--old-file=.venv/.installed", "pdf", f"BIN={Path(sys.executable).parent}", f"OUT={out}", *given]
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # not a make within a make
    return subprocess.run(command, cwd=paths.CHECKOUT, env=env, capture_output=True, text=True, check=False)


def test_without_a_browser_the_error_names_what_to_install(tmp_path):
    done = make_pdf(tmp_path, "CHROMIUM=")
    assert done.returncode == 2
    assert done.stdout == "no browser to print with: install chromium\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not shutil.which("chromium"), reason="no Chromium here: install the package `chromium`")
def test_book_is_printed(tmp_path):
    done = make_pdf(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    data = (tmp_path / "book.pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    assert data.count(b"/Type /Page\n") + data.count(b"/Type /Page ") + data.count(b"/Type /Page/") > 20
    assert [path.name for path in tmp_path.iterdir()] == ["book.pdf"]
