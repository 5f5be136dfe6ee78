"""The book as PDF: printed where a browser is, refused in one line where there is none."""

import shutil

import pytest

from alphaflops.book import pdf
from alphaflops.errors import AlphaflopsError


def test_without_a_browser_the_error_names_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(AlphaflopsError, match="no browser to print with: install one of chromium"):
        pdf.print_book(tmp_path / "book.pdf")
    assert list(tmp_path.iterdir()) == []


def test_failing_program_is_one_line():
    with pytest.raises(AlphaflopsError, match=r"^sh failed: out of paper$"):
        pdf._run(["sh", "-c", "echo out of paper >&2; exit 3"])


@pytest.mark.skipif(not any(map(shutil.which, pdf.BROWSERS)), reason="no Chromium here: install the package `chromium`")
def test_book_is_printed(tmp_path):
    out = pdf.print_book(tmp_path / "new" / "book.pdf")
    data = out.read_bytes()
    assert data.startswith(b"%PDF-")
    assert data.count(b"/Type /Page\n") + data.count(b"/Type /Page ") + data.count(b"/Type /Page/") > 20
    assert [path.name for path in out.parent.iterdir()] == ["book.pdf"]


def test_a_program_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr(pdf, "TIMEOUT_S", 0.2)
    with pytest.raises(AlphaflopsError, match=r"^sleep took longer than 0\.2 s$"):
        pdf._run(["sleep", "60"])


def test_a_pdf_that_cannot_be_written_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(pdf.publish, "stage_committed", lambda stage: None)
    monkeypatch.setattr(pdf, "_one_page", lambda stage, root: stage / "book.html")
    monkeypatch.setattr(pdf, "_run", lambda command: None)
    (tmp_path / "file").write_text("")
    with pytest.raises(AlphaflopsError, match=r"file/book\.pdf cannot be written"):
        pdf.print_book(tmp_path / "file" / "book.pdf")
    assert (tmp_path / "file").read_text() == ""
