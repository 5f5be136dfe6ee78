"""Kill runs with SIGKILL at random moments, resume each, and print what came out (run by test_measure_faults.py).

Without a number of trials, go on from what a kill after each write of a run would leave.
Forking from one process that has imported everything makes a trial cost a fraction of a second.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

from fake_device import FakeDevice

from alphaflops import AlphaflopsError, experiments
from alphaflops import measuring as measure
from alphaflops.measuring import journal, session
from alphaflops.runs import Run

OPTIONS = measure.Options(device="cpu", threads=1, profile="smoke", seed=5)
GRID = experiments.grid("smoke").iloc[::3]  # a third: a trial takes as long as its layers are many


def forked(work) -> int:
    """Run `work` in a child process and give its id."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return child


def started(folder: Path) -> int:
    """Start a run in a child process and give its id."""
    return forked(lambda: session.run(GRID, folder, OPTIONS, device=FakeDevice()))


def watch(child: int, folder: Path, enough: float) -> int:
    """Wait until the journal has `enough` bytes or the run is over; give the most that was seen."""
    seen = 0
    while seen < enough and os.waitpid(child, os.WNOHANG) == (0, 0):
        with contextlib.suppress(FileNotFoundError):
            seen = max(seen, (folder / journal.JOURNAL_FILE).stat().st_size)
        time.sleep(0.0002)
    return seen


def trial(folder: Path, enough: float, later_s: float) -> dict:
    """Kill one run `later_s` seconds after its journal has `enough` bytes, resume it, and describe both states."""
    child = started(folder)
    watch(child, folder, enough)
    time.sleep(later_s)
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if (folder / journal.JOURNAL_FILE).exists():
        before = journal.read(folder).entries
        run = session.resume(folder, device=FakeDevice(seed=1))
    elif (folder / "run.json").exists():
        before, run = (), Run.read(folder)
    else:
        before, run = (), session.run(GRID, folder, OPTIONS, device=FakeDevice())
    kept = [entry for entry in before if entry.type == "row"]
    same = all(abs(run.samples[f"latency_{e.row}"][0] * 1e6 - e.latency_ns[0]) < 1 for e in kept)
    return {
        "kept": len(kept),
        "rows": run.table["row"].tolist(),
        "order": run.table["order"].tolist(),
        "kept_same": same,
        "problems": list(measure.verify(folder).problems),
        "files": sorted(p.name for p in folder.iterdir() if p.name != journal.LOCK_FILE),
    }


CALLS = ("replace", "rename", "link", "unlink", "fsync", "mkdir", "open", "ftruncate", "write")
"""Calls of the system that change what is on disk, or promise that it stays."""


PAIR = experiments.grid("smoke").iloc[:2]


def left_by_kills(folder: Path, base: Path) -> list[Path]:
    """Run two layers into a folder; give copies of it, each as a kill right after a call of `CALLS` would leave it.

    What a process has not handed to the system by then is lost with it, and is not in a copy either.
    """
    copies, real = [], {name: getattr(os, name) for name in CALLS}

    def watched(name):
        def call(*args, **keys):
            try:
                return real[name](*args, **keys)
            finally:
                copying()

        return call

    def use(functions) -> None:
        for name in CALLS:
            setattr(os, name, functions(name))

    def copying() -> None:
        use(real.get)
        copies.append(base / str(len(copies)))
        if folder.exists():
            shutil.copytree(folder, copies[-1])
        use(watched)

    use(watched)
    session.run(PAIR, folder, OPTIONS, device=FakeDevice())
    use(real.get)
    return copies


def every_write(base: Path, before: Path | None = None) -> list[dict]:
    """Describe what a kill after each write of a run would leave, and what the next call makes of it.

    The run begins in a new folder, or in a copy of the folder of a finished run of one layer. Where a call changed no
    file, the state before it has been tried.
    """
    found, there, last = [], int(before is not None), None
    base.mkdir()
    if before:
        shutil.copytree(before, base / "run")
    for folder in left_by_kills(base / "run", base):
        files = {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}
        if files == last:
            found.append(found[-1])
            continue
        last, read, state = files, None, None
        with contextlib.suppress(AlphaflopsError):
            state = measure.verify(folder).state
            read = len(Run.read(folder).table)
        whole = (folder / "run.json").exists()
        if (folder / journal.JOURNAL_FILE).exists():
            run = session.resume(folder, device=FakeDevice(seed=1))
        else:
            run = session.run(PAIR, folder, OPTIONS, device=FakeDevice(seed=1))
        left = sorted(p.name for p in folder.iterdir() if not p.name.startswith((".lock", ".alphaflops-")))
        trial = {"there": there, "whole": whole, "read": read, "state": state}
        found.append(trial | {"rows": run.table["row"].tolist(), "files": left})
    return found


def main() -> None:
    """Weigh the journal of an uninterrupted run, then kill at all of its bytes: a busy machine changes nothing."""
    base, trials = Path(sys.argv[1]), int(sys.argv[2])
    moments = random.Random(2021)
    if trials == 0:
        session.run(GRID.iloc[:1], base / "one", OPTIONS, device=FakeDevice())
        print(json.dumps([every_write(base / "new"), every_write(base / "more", base / "one")]))
        return
    whole = session.run(GRID, base / "whole", OPTIONS, device=FakeDevice())
    size = watch(started(base / "again"), base / "again", float("inf"))
    kills = [(moments.uniform(0, 1.1 * size), moments.uniform(0, 0.003)) for _ in range(trials)]
    results = [trial(base / f"trial-{i}", *kill) for i, kill in enumerate(kills)]
    print(json.dumps({"whole": [whole.table["row"].tolist(), whole.table["order"].tolist()], "trials": results}))


main()
