"""Print how long the things take that should be fast: ``make bench``, or ``make bench ARGS="counts fit"`` for some.

Targets are those of the project; the figures are of this machine and this moment, so nothing here fails.
"""

import argparse
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


def run_python(*args: str) -> str:
    """Run Python in a fresh process, wait for it and give what it printed."""
    return subprocess.run([sys.executable, *args], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def importing() -> str:
    """``import alphaflops`` in a fresh process."""
    code = "import time; start = time.perf_counter(); import alphaflops; print(time.perf_counter() - start)"
    times = [float(run_python("-c", code)) for _ in range(5)]
    return f"{statistics.median(times):.4f} s (target 0.2 s)"


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
    """One fit of the best form to the authors' 721 points."""
    from alphaflops import load
    from alphaflops.fitting import score

    run = load("paper-t2000")
    return f"{seconds(lambda: score(run, 'best'), 3):.2f} s (target 5 s)"


def smoke() -> str:
    """Time the smoke profile on one core, process start included."""
    with tempfile.TemporaryDirectory() as out:
        command = ("-m", "alphaflops", "measure", "--device", "cpu", "--threads", "1", "--profile", "smoke")
        return f"{seconds(lambda: run_python(*command, '--out', f'{out}/run'), 1):.1f} s (target 20 s)"


def protocol() -> str:
    """Our protocol against 2000 repetitions of the same layers in one process."""
    from alphaflops.measuring.comparison import bench

    found = bench()
    return (
        f"{found['layers']} layers: medians differ by {found['median_difference_pct']} % (median), "
        f"{found['worst_difference_pct']} % (worst), {found['within_2_pct']} within 2 % "
        f"(halves of the 2000 among themselves: {found['halves_within_2_pct']}); "
        f"{found['short_s']} s against {found['long_s']} s = 1/{1 / found['time_ratio']:.0f} (target 1/20)"
    )


def estimating() -> str:
    """``estimate`` of ResNet-50, warm, beside `FlopCounterMode` alone, and its peak memory beyond the model (MB)."""
    code = """
import resource, torch
from torch.utils.flop_counter import FlopCounterMode
from benchmarks.bench import seconds
from alphaflops.prediction import estimate, find_calibration
from alphaflops.prediction.zoo import resnet50
torch.set_num_threads(1)
model, shape, calibration = resnet50().eval(), (1, 3, 224, 224), find_calibration("cpu-1core")
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


BENCHMARKS = (importing, counts, estimating, pages, fit, smoke, protocol, book)


def main() -> None:
    """Run the benchmarks named on the command line, or all."""
    by_name = {b.__name__: b for b in BENCHMARKS}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *by_name], help="benchmarks to run; all by default")
    for name in parser.parse_args().names or by_name:
        print(f"{name:>10}  {by_name[name].__doc__}\n{'':>10}  {by_name[name]()}", flush=True)


if __name__ == "__main__":
    main()
