"""Kill runs with SIGKILL at random moments, resume each, and print what came out (run by test_measure_faults.py).

Forking from one process that has imported everything makes a trial cost a fraction of a second.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from fake_device import FakeDevice

from alphaflops import experiments, measure
from alphaflops.measure import journal
from alphaflops.records import Run

OPTIONS = measure.MeasureOptions(device="cpu", threads=1, profile="smoke", seed=5)


def forked(work) -> int:
    """Run `work` in a child process and give its id."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return child


def trial(folder: Path, wait_s: float) -> dict:
    """Kill one run after `wait_s` seconds, resume it, and describe both states."""
    grid = experiments.grid("smoke")
    child = forked(lambda: measure.run(grid, OPTIONS, folder, device=FakeDevice()))
    time.sleep(wait_s)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if (folder / journal.JOURNAL_FILE).exists():
        before = journal.read(folder).entries
        run = measure.resume(folder, device=FakeDevice(seed=1))
    elif (folder / "run.json").exists():
        before, run = (), Run.read(folder)
    else:
        before, run = (), measure.run(grid, OPTIONS, folder, device=FakeDevice())
    kept = [entry for entry in before if entry["type"] == "row"]
    same = all(run.samples[f"latency_{e['row']}"][0] * 1e6 - e["latency_ns"][0] < 1 for e in kept)
    return {
        "kept": len(kept),
        "rows": run.table["row"].tolist(),
        "order": run.table["order"].tolist(),
        "kept_same": same,
        "problems": list(measure.verify(folder).problems),
        "files": sorted(p.name for p in folder.iterdir() if p.name != journal.LOCK_FILE),
    }


def main() -> None:
    """Time one uninterrupted run, then spread the kills over that time and a little beyond."""
    base, trials = Path(sys.argv[1]), int(sys.argv[2])
    moments = random.Random(2021)
    grid = experiments.grid("smoke")
    whole = measure.run(grid, OPTIONS, base / "whole", device=FakeDevice())  # loads everything before the forks
    start = time.monotonic()
    os.waitpid(forked(lambda: measure.run(grid, OPTIONS, base / "again", device=FakeDevice())), 0)
    length = time.monotonic() - start
    results = [trial(base / f"trial-{i}", moments.uniform(0, 1.1 * length)) for i in range(trials)]
    print(json.dumps({"whole": [whole.table["row"].tolist(), whole.table["order"].tolist()], "trials": results}))


main()
