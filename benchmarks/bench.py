"""Print how long the things take that should be fast: ``make bench``, or ``make bench ARGS="counts fit"`` for some.

Targets are those of the project; the figures are of this machine and this moment, so nothing here fails.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]


def seconds(function: Callable[[], object], repeats: int = 5) -> float:
    """Median time of a call (s)."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def run_python(*args: str, **environment: str) -> str:
    """Run Python in a fresh process, wait for it and give what it printed."""
    command, settings = [sys.executable, *args], {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, env=settings).stdout


def importing() -> str:
    """``import alphaflops`` in a fresh process, and what it loads besides."""
    code = "import time; start = time.perf_counter(); import alphaflops; print(time.perf_counter() - start)"
    heavy = "import sys, alphaflops; print(*{'torch', 'pandas', 'matplotlib'} & set(sys.modules))"
    times = [float(run_python("-c", code)) for _ in range(5)]
    return (
        f"{statistics.median(times):.4f} s (target 0.1 s); heavy libraries: {run_python('-c', heavy).strip() or 'none'}"
    )


def helping() -> str:
    """``alphaflops --help``, process start included."""
    return f"{seconds(lambda: run_python('-m', 'alphaflops', '--help')):.2f} s (target 0.3 s)"


def estimating_cold() -> str:
    """``alphaflops estimate`` of ResNet-50 on the command line, process start included."""
    network = ("alphaflops.prediction.zoo:resnet50", "--input", "1,3,224,224", "--calibration", "cpu-1core")
    return f"{seconds(lambda: run_python('-m', 'alphaflops', 'estimate', *network), 3):.1f} s (target 4 s)"


def counts() -> str:
    """MACs and α prediction of a million layers."""
    import numpy as np
    import pandas as pd

    from alphaflops import experiments, published_ms

    grid = experiments.grid("paper")
    million = pd.concat([grid] * (10**6 // len(grid) + 1)).head(10**6).reset_index(drop=True)
    assert np.isfinite(published_ms(million)).all()
    return f"{seconds(lambda: published_ms(million)):.3f} s (target 0.3 s)"


def pages() -> str:
    """``jupyter-book build .`` of the committed notebooks, nothing executed."""
    with tempfile.TemporaryDirectory() as out:
        program = str(Path(sys.executable).with_name("jupyter-book"))
        command = (program, "build", ".", "--quiet", "--path-output", out)
        return f"{seconds(lambda: run_python(*command), 1):.1f} s (target 10 s)"


def book() -> str:
    """``make book``: every notebook executed, pages built."""
    from alphaflops.book.publish import build

    with tempfile.TemporaryDirectory() as out:
        return f"{seconds(lambda: build(None, Path(out)), 1):.1f} s (target 60 s)"


def fit() -> str:
    """One fit of the project's formula, with its intervals, to the authors' 721 points and to a large set."""
    import alphaflops as af

    runs = {name: af.load(name) for name in ("paper-t2000", "miopen-mi100")}
    times = (f"{name} {seconds(lambda run=run: af.fit(run), 1):.2f} s" for name, run in runs.items())
    return f"{', '.join(times)} (target 3 s)"


def reading() -> str:
    """MIOpen's find-db: read from its file for the first time, and from the cache."""
    code = (
        "import time, alphaflops as af; start = time.perf_counter(); "
        "af.load('miopen-mi100'); print(time.perf_counter() - start)"
    )
    with tempfile.TemporaryDirectory() as cache:
        first, again = (float(run_python("-c", code, ALPHAFLOPS_CACHE=cache)) for _ in range(2))
    return f"{first:.2f} s (target 3 s), again {again:.2f} s"


def smoke() -> str:
    """Time the smoke profile on one core, process start included."""
    with tempfile.TemporaryDirectory() as out:
        command = ("-m", "alphaflops", "measure", "--device", "cpu", "--threads", "1", "--profile", "smoke")
        return f"{seconds(lambda: run_python(*command, '--out', f'{out}/run'), 1):.1f} s (target 20 s)"


def estimating() -> str:
    """``estimate`` of ResNet-50, warm, beside `FlopCounterMode` alone, and its peak memory beyond the model (MB)."""
    code = """
import resource, torch
from torch.utils.flop_counter import FlopCounterMode
from benchmarks.bench import seconds
from alphaflops import estimate, read_calibration
from alphaflops.prediction.zoo import resnet50
torch.set_num_threads(1)
model, shape, calibration = resnet50().eval(), (1, 3, 224, 224), read_calibration("cpu-1core")
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
estimate(model, shape, calibration)
extra = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1024
meta, x = resnet50().eval().to("meta"), torch.empty(shape, device="meta")
def counted():
    with FlopCounterMode(display=False), torch.no_grad():
        meta(x)
counted()
print(seconds(lambda: estimate(model, shape, calibration), 15), seconds(counted, 15), extra)
"""
    ours, theirs, extra = map(float, run_python("-c", code).split())
    return (
        f"{ours:.3f} s (target 0.2 s), {ours / theirs:.2f} times FlopCounterMode's {theirs:.3f} s (target 2), "
        f"{extra:.0f} MB (target 100 MB)"
    )


BENCHMARKS = (importing, helping, counts, estimating, estimating_cold, reading, fit, pages, smoke, book)


def main() -> None:
    """Run the benchmarks named on the command line, or all."""
    by_name = {b.__name__: b for b in BENCHMARKS}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *by_name], help="benchmarks to run; all by default")
    for name in parser.parse_args().names or by_name:
        print(f"{name:>15}  {by_name[name].__doc__}\n{'':>15}  {by_name[name]()}", flush=True)


if __name__ == "__main__":
    main()
