"""Fixtures shared by the tests."""

import ast
import gc
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two test workers share the cores; before anything loads OpenMP

from alphaflops import cli, experiments, paths
from alphaflops.book import publish
from alphaflops.layers import as_table, macs
from alphaflops.runs import Run, datasets
from alphaflops.runs.schema import FORMAT_VERSION

gc.set_threshold(100_000, 50, 100)  # else what torch holds is looked through again and again


@pytest.fixture
def paper() -> Run:
    """The authors' data set; tests that need it are skipped where it cannot be had."""
    if not datasets.available("paper-t2000"):
        pytest.skip("paper-t2000 is neither in a mirror nor downloaded: set ALPHAFLOPS_MIRROR or run `alphaflops runs`")
    return datasets.load("paper-t2000")


@pytest.fixture
def meta() -> dict[str, Any]:
    """The least metadata that a run needs."""
    return {
        "format_version": FORMAT_VERSION,
        "run_id": "made-up",
        "origin": "measured",
        "title": "A run made up for a test",
        "device": "cpu",
        "machine": {"name": "no machine"},
        "protocol": {"name": "none"},
    }


def made_up_ms(table: Any) -> Any:
    """One millisecond per million MAC."""
    return macs(table) / 1e6


@pytest.fixture
def make_run(meta: dict[str, Any]) -> Callable[..., Run]:
    """Make a run up: ``make_run(layers="smoke", ms=made_up_ms, **metadata)``.

    `layers` is what `grid` or `as_table` take, `ms` a law from table to milliseconds: each layer has 9 equal samples.
    """

    def make(layers: Any = "smoke", ms: Callable[[Any], Any] = made_up_ms, **metadata: Any) -> Run:
        table = experiments.grid(layers) if isinstance(layers, str) else as_table(layers)
        rows = table["row"] if "row" in table else range(len(table))
        samples = {f"latency_{row}": np.full(9, time) for row, time in zip(rows, ms(table), strict=True)}
        return Run({**meta, **metadata}, table, samples)

    return make


@pytest.fixture
def sendable(make_run: Callable[..., Run]) -> Run:
    """A run made up so completely that a stranger would take it in."""
    curve = [[2.0 * i, 4.0 + 0.01 * (i % 3)] for i in range(12)]
    return make_run(
        ms=lambda table: 0.05 + macs(table) / 1e7,
        run_id="good-run",
        machine={
            "name": "EPYC, 2 threads",
            "cpu": {"name": "EPYC", "architecture": "x86_64", "cores": 2},
            "gpu": None,
            "threads": 2,
        },
        title="EPYC, 2 threads",
        software={"python": "3.12.1", "torch": "2.9.0", "system": "Linux 6.1.0", "environment": {}},
        protocol={"name": "adaptive", "tolerance": 0.02, "block_ms": 5.0},
        sentinel={"curve_s_ms": curve},
        started="2026-01-31T12:00:00+00:00",
        finished="2026-01-31T12:05:00+00:00",
        seconds=200.0,
    )


@pytest.fixture
def run(make_run: Callable[..., Run]) -> Run:
    """A small run whose times are one millisecond per million MAC."""
    return make_run()


@pytest.fixture
def folder(run: Run, tmp_path: Path) -> Path:
    """The small run, written."""
    return run.write(tmp_path / "run")


class Outcome:
    """What a command printed and returned."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        """What was printed, read as JSON."""
        return json.loads(self.out)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command line in this process: ``command("layer", "dense", ...)``."""

    def call(*args: object) -> Outcome:
        code = cli.main([str(arg) for arg in args])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture
def refused(command: Any) -> Any:
    """Run a command that must fail with exit code 2 and one line on stderr; give that line."""

    def call(*args: object) -> str:
        outcome = command(*args)
        assert outcome.code == 2, outcome.out
        assert outcome.out == ""
        lines = outcome.err.splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("error: ")
        return str(lines[0])

    return call


@pytest.fixture(scope="session")
def defined() -> Callable[[str], SimpleNamespace]:
    """What the cells of a chapter import and define as functions: ``defined("03_kernels").per_flop(frame)``."""

    def names(chapter: str) -> SimpleNamespace:
        import jupytext

        cells = jupytext.read(paths.CHECKOUT / "notebooks" / f"{chapter}.md").cells
        nodes = [node for cell in cells if cell.cell_type == "code" for node in ast.parse(cell.source).body]
        kept = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef)]
        found: dict[str, Any] = {}
        exec(compile(ast.Module(kept, []), chapter, "exec"), found)
        return SimpleNamespace(**found)

    return names


@pytest.fixture
def closed_figures() -> Iterator[None]:
    """Close what a test has drawn."""
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.fixture(scope="session")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The book built from the committed notebooks, nothing executed, warnings as errors; once for all workers."""
    folder = tmp_path_factory.getbasetemp()
    stage = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "book"
    with FileLock(stage.with_suffix(".lock")):
        if not (stage / "_build" / "html").is_dir():
            shutil.rmtree(stage, ignore_errors=True)
            publish.stage_committed(stage)
            publish.build_pages(stage)
    return stage / "_build" / "html"
