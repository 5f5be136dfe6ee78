"""Kill what writes files at each step, one after the other: ``killed_steps.py FOLDER`` (run by test_kills.py).

Each step is a call of the system that changes what is on disk. After each death what is there must be whole, old or
new, and the next try must work. Prints how many died of each kind. Forking from a process that has imported everything
costs little.
"""

import itertools
import json
import os
import shutil
import sys
from pathlib import Path

from fake_device import FakeDevice

from alphaflops import experiments, files, measuring, results, share
from alphaflops.book import publish
from alphaflops.measuring import session
from alphaflops.results import tables
from alphaflops.results.tables import Result
from alphaflops.runs import Run, datasets

STEPS = ("fsync", "replace", "rename", "unlink", "link", "mkdir", "rmdir", "ftruncate", "write")
VALUES = {"one": 1.0, "two": 2.0}


def died_at(step, call, folder):
    """Call in a child process that dies at its `step`-th change of a file; tell whether it died."""
    child = os.fork()
    if child == 0:
        count = itertools.count(1)

        def deadly(real):
            return lambda *args, **keys: os._exit(9) if next(count) == step else real(*args, **keys)

        for name in STEPS:
            setattr(os, name, deadly(getattr(os, name)))
        call(folder)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9), code
    return code == 9


def file_written(folder):
    """Write a file anew."""
    files.write_atomic(folder / "x", b"new")


def folder_written(folder):
    """Write a folder."""
    files.write_folder(folder / "x", {"a": b"1", "b": b"2"})


def packed(folder):
    """Pack a run."""
    share.pack_run(folder.parent / "run", folder / "x")


def imported(folder):
    """Take a run in."""
    share.import_run(folder.parent / "run.zip", "x", allow_implausible=True, into=folder)


def refreshed(folder):
    """Renew two results of which one needs the other; their data changed."""
    tables.folder = lambda: folder
    tables.data = lambda name: "new"
    VALUES.update(one=10.0, two=20.0)
    list(results.refresh(jobs=1))


def built(folder):
    """Build a book of one page."""
    publish.chapters, publish.run_all = list, lambda *given: []
    publish.build_pages = lambda stage: book(stage / "_build" / "html", "new")
    publish.build(None, folder)


def book(html, text):
    """Write a book."""
    html.mkdir(parents=True)
    (html / "index.html").write_text(text)
    publish.write_sums(html)


def prepare(name, folder):
    """Put there what is there before."""
    folder.mkdir()
    if name == "file":
        (folder / "x").write_bytes(b"old")
    elif name == "book":
        book(folder / "html", "old")
    elif name == "refresh":
        tables.folder = lambda: folder
        tables.data = lambda name: "old"
        VALUES.update(one=1.0, two=2.0)
        list(results.refresh(jobs=1))


def whole(name, folder):
    """Check that what is there is whole, and tell whether it is the new one."""
    there = folder / ("html" if name == "book" else "x")
    if name == "refresh":
        tables.folder, tables.data = lambda: folder, lambda name: "new"
        halves, doubled = (results.read(result).iloc[:, -1].tolist() for result in ("halves", "doubled"))
        assert halves in ([0.5, 1.0], [5.0, 10.0])
        assert doubled in ([1.0, 2.0], [10.0, 20.0])
        new = not any(results.stale().values())
        assert not new or (halves, doubled) == ([5.0, 10.0], [10.0, 20.0])  # what is said to be new is new
        return new
    if not there.exists():
        assert name not in ("file", "refresh")
        return False
    if name == "file":
        assert there.read_bytes() in (b"old", b"new")
        return there.read_bytes() == b"new"
    if name == "folder":
        assert {entry.name: entry.read_bytes() for entry in there.iterdir()} == {"a": b"1", "b": b"2"}
    elif name == "pack":
        assert there.read_bytes() == (folder.parent / "run.zip").read_bytes()
    elif name == "import":
        assert Run.read(there).id == "x"
    else:
        assert publish.check_sums(there) == 1
        return (there / "index.html").read_text() == "new"
    return True


CALLS = {
    "file": file_written,
    "folder": folder_written,
    "pack": packed,
    "import": imported,
    "refresh": refreshed,
    "book": built,
}


def deaths(name, base):
    """Kill at the first step, the second, …, until nothing dies any more; give how many died."""
    for step in itertools.count(1):
        folder = base / f"{name}-{step}"
        prepare(name, folder)
        died = died_at(step, CALLS[name], folder)
        new = whole(name, folder)
        assert died or new
        if not new:
            CALLS[name](folder)
            assert whole(name, folder)
        left = {entry.name for entry in folder.iterdir() if not entry.name.startswith((files.disk.PREFIX, "stage-"))}
        assert left <= {"x", "html", "made.json", "halves.csv", "doubled.csv"}, left
        if not died:
            break
        shutil.rmtree(folder)
    return step - 1


def main(base):
    """Make what is killed ready, and kill each."""
    tables.RESULTS = results.RESULTS = {
        "halves": Result("halves", lambda name, part: [{"half": VALUES[name] / 2}], lambda: list(VALUES)),
        "doubled": Result(
            "doubled",
            lambda name, part: [{"doubled": 2 * results.read("halves").set_index("run").loc[name, "half"]}],
            lambda: list(VALUES),
            needs=("halves",),
        ),
    }
    tables.code = lambda places: "code"
    datasets.available = lambda name: True
    publish.SOURCES = ("_toc.yml",)
    options = measuring.Options(device="cpu", threads=1, profile="smoke", seed=5)
    session.run(experiments.grid("smoke").head(3), base / "run", options, device=FakeDevice())
    share.pack_run(base / "run", base / "run.zip")
    print(json.dumps({name: deaths(name, base) for name in CALLS}))


main(Path(sys.argv[1]))
