"""Kill a run at each step that changes a file, one after the other, and print what came out (run by test_share.py)."""

import json
import os
import sys
from pathlib import Path

from fake_device import FakeDevice

from alphaflops import experiments
from alphaflops import measuring as measure
from alphaflops.measuring import journal, session
from alphaflops.runs import Run

STEPS = ("fsync", "replace", "rename", "unlink", "link", "mkdir", "ftruncate", "write")
OPTIONS = measure.Options(device="cpu", threads=1, profile="smoke", seed=5)
GRID = experiments.grid("smoke").head(3)


def kill_at(step: int) -> None:
    """Let this process die at its `step`-th change of a file."""
    count = 0

    def killed(real):
        def function(*args, **keys):
            nonlocal count
            count += 1
            if count == step:
                os._exit(9)
            return real(*args, **keys)

        return function

    for name in STEPS:
        setattr(os, name, killed(getattr(os, name)))


def run_killed(folder: Path, step: int) -> int:
    """Measure in a child process that dies at a step; give how it ended."""
    child = os.fork()
    if child == 0:
        kill_at(step)
        session.run(GRID, folder, OPTIONS, device=FakeDevice())
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    """Kill at the first step, the second, …, until a run ends unharmed."""
    base, step, code, outcomes = Path(sys.argv[1]), 0, 9, []
    session.run(GRID, base / "whole", OPTIONS, device=FakeDevice())  # loads everything before the forks
    while code == 9:
        step += 1
        folder = base / f"step-{step}"
        code = run_killed(folder, step)
        whole = (folder / "run.json").exists()
        if whole:
            Run.read(folder)  # whatever looks finished is whole
        if (folder / journal.JOURNAL_FILE).exists():
            run = session.resume(folder, device=FakeDevice())
        else:
            run = Run.read(folder) if whole else session.run(GRID, folder, OPTIONS, device=FakeDevice())
        left = sorted(p.name for p in folder.iterdir() if p.name != journal.LOCK_FILE and ".alphaflops-" not in p.name)
        outcomes.append([code, whole, run.table["row"].tolist(), left])
    print(json.dumps(outcomes))


main()
