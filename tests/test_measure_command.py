"""The plain command line, its options, progress and the comparison with 2000 repetitions."""

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from importlib import metadata
from pathlib import Path

import pytest
from fake_device import FakeDevice, lognormal
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from alphaflops import bare, experiments
from alphaflops import measuring as measure
from alphaflops.errors import AlphaflopsError
from alphaflops.measuring import comparison, header, progress, runner
from alphaflops.measuring.options import DEFAULTS
from alphaflops.measuring.protocol import for_profile
from alphaflops.measuring.statistics import Estimate

ROOT = Path(__file__).parent.parent
FEW = ["--experiment", "conv_fixed_progressive", "--profile", "smoke", "--device", "cpu", "--threads", "1"]


def refused_imports():
    """Importable names of all that is installed, but for torch, NumPy, pandas and what these ask for."""
    needed, left = {"alphaflops", "coverage"}, {"torch", "numpy", "pandas"}  # coverage watches the command from inside
    while left:
        name = left.pop()
        needed.add(name)
        with contextlib.suppress(metadata.PackageNotFoundError):  # asked for on other systems only
            asked = [Requirement(text) for text in metadata.requires(name) or ()]
            here = [one for one in asked if one.marker is None or one.marker.evaluate({"extra": ""})]
            left |= {canonicalize_name(one.name) for one in here} - needed
    owners = metadata.packages_distributions()
    return {name for name in owners if not needed & {canonicalize_name(owner) for owner in owners[name]}}


def bare_command(*args, cwd):
    """Run ``python -m alphaflops`` from a plain checkout where only torch, NumPy and pandas can be imported."""
    refused = sorted(refused_imports())
    code = (
        "import sys, runpy\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        f"refused = {refused!r}\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in refused: raise ModuleNotFoundError(name)\n"
        "import importlib.util as u\n"
        "real = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name in refused else real(name, package)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        f"sys.argv = ['alphaflops', *{list(args)!r}]\n"
        "runpy.run_module('alphaflops', run_name='__main__')\n"
    )
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=cwd, env=env)


def test_bare_machine_measures_and_verifies(tmp_path):
    done = bare_command("measure", *FEW, "--out", "run", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")  # and quiet in a pipe
    found = json.loads(done.stdout)
    assert found["layers"] == 10
    assert found["status"]["ok"] == 10
    assert found["device"] == "cpu"
    assert measure.verify(tmp_path / "run").problems == ()


def test_bare_commands_in_process(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bare.measure, "run", fake_run)
    folder = tmp_path / "run"
    assert bare.main(["measure", *FEW, "--out", str(folder)]) == 0
    text = capsys.readouterr()
    assert "10 of 10 layers timed" in text.out
    assert text.err == ""
    assert bare.main(["verify", str(folder)]) == 0
    assert "finished, 10 of 10 layers" in capsys.readouterr().out
    with (folder / "run.json").open("a") as handle:
        handle.write(" ")
    assert bare.main(["verify", str(folder)]) == 2
    assert "run.json does not match" in capsys.readouterr().err
    assert bare.main(["env"]) == 0
    assert json.loads(capsys.readouterr().out)["devices"]


def fake_run(grid, options, out, progress):
    return runner.run(grid, options, out, progress, device=FakeDevice())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "either --out DIR for a new run or --resume DIR"),
        (["--out", "a", "--resume", "b"], "either --out DIR"),
        (["--out", "a", "--device", "cuda:9"], "choose from auto"),
        (["--out", "a", "--device", "cpu", "--experiment", "nonsense"], "experiment 'nonsense' is not in this profile"),
        (["--out", "a", "--device", "cpu", "--tolerance", "-1"], "tolerance is -1.0"),
        (["--out", "a", "--device", "cpu", "--threads", "0"], "threads is 0"),
        (["--out", "a", "--protocol", "per-call", "--repeats", "0"], "repeats is 0"),
        (["--resume", "nowhere"], "no unfinished run"),
    ],
)
def test_bad_input_is_one_line(args, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert bare.main(["measure", "--profile", "smoke", *args]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.rglob("*.json*"))


def test_options_and_their_defaults_agree():
    fields = set(measure.MeasureOptions.__dataclass_fields__)
    named = {"experiments" if o.name == "experiment" else o.name for o in measure.OPTIONS}
    assert named == fields | {"out", "resume", "json"}
    for option in measure.OPTIONS:
        assert option.help.endswith(".")
        assert option.default == (() if option.multiple else DEFAULTS[option.name])
    empty = measure.from_values({o.name: None for o in measure.OPTIONS})
    assert empty == measure.MeasureOptions()
    given = measure.from_values({"experiment": ["a"], "threads": 2, "tf32": True, "out": "x"})
    assert (given.experiments, given.threads, given.tf32) == (("a",), 2, True)
    with pytest.raises(AlphaflopsError, match="option 'thread'"):
        measure.from_values({"thread": 1})


def test_profiles_and_protocols():
    assert for_profile("paper").tolerance == 0.01
    assert for_profile("quick").tolerance == for_profile("smoke").tolerance == 0.02
    assert not for_profile("paper").tf32
    assert (for_profile("paper", "per-call").repeats, for_profile("paper", "per-call").warmups) == (2000, 0)
    assert (for_profile("paper", "pipelined").repeats, for_profile("paper", "pipelined").warmups) == (50, 10)
    for bad in ({"profile": "huge"}, {"profile": "paper", "name": "fast"}):
        with pytest.raises(AlphaflopsError, match="expected one of"):
            for_profile(**bad)
    with pytest.raises(AlphaflopsError, match="memory format"):
        for_profile("paper", memory_format="blocked")


def test_both_quantities_and_the_overhead(tmp_path):
    device = FakeDevice(lognormal(0.005), base_ms=1.0, overhead_ms=0.25)
    options = measure.MeasureOptions(device="cpu", threads=1, profile="smoke")
    run = measure.run(experiments.grid("smoke"), options, tmp_path / "run", device=device)
    overhead = run.time_ms("latency") - run.time_ms("throughput")
    assert overhead.median() == pytest.approx(0.25, abs=0.01)
    assert (run.table["latency_low_ms"] <= run.table["latency_ms"]).all()
    assert (run.table["latency_ms"] <= run.table["latency_high_ms"]).all()
    assert run.table["converged"].mean() > 0.9
    assert len(run.samples) == 2 * len(run.table)


def test_metadata_name_the_kind_of_device(tmp_path, monkeypatch):
    monkeypatch.setattr(header, "describe", lambda device, threads: {"name": f"machine of {device}"})
    options = measure.MeasureOptions(seed=4)
    named = header.build(experiments.grid("smoke"), replace(options, run_id="mine", title="Ours"), "cpu", tmp_path)
    assert (named["meta"]["run_id"], named["meta"]["title"]) == ("mine", "Ours")
    found = header.build(experiments.grid("smoke"), options, "cuda:1", tmp_path / "my-gpu")
    told = {key: found["meta"][key] for key in ("device", "run_id", "title", "origin", "seed")}
    assert told == {
        "device": "cuda",
        "run_id": "my-gpu",
        "title": "machine of cuda:1",
        "origin": "measured",
        "seed": 4,
    }
    rows = [row["row"] for row in found["rows"]]
    assert sorted(found["order"]) == rows
    assert found["order"] != rows
    again = header.build(experiments.grid("smoke"), options, "cuda:1", tmp_path / "my-gpu")
    assert again["order"] == found["order"]


def test_unconverged_rows_are_kept_and_flagged(tmp_path):
    device = FakeDevice(lognormal(1.0), base_ms=5.0)
    options = measure.MeasureOptions(device="cpu", threads=1, profile="smoke")
    run = measure.run(experiments.grid("smoke").iloc[:6], options, tmp_path / "run", device=device)
    assert not run.table["converged"].any()
    assert (run.table["flags"] == "unconverged").all()
    assert run.table["latency_ms"].notna().all()
    assert measure.summary(run)["unconverged"] == 6


def test_mean_of_the_per_call_protocol(tmp_path):
    options = measure.MeasureOptions(device="cpu", threads=1, profile="smoke", protocol="per-call", repeats=100)
    run = measure.run(experiments.grid("smoke").iloc[:3], options, tmp_path / "run", device=FakeDevice(lognormal(0.5)))
    for row, value in zip(run.table["row"], run.time_ms("latency"), strict=True):
        assert value == pytest.approx(run.samples[f"latency_{row}"].mean(), rel=1e-6)
    assert run.table["latency_low_ms"].isna().all()
    assert run.table["throughput_ms"].isna().all()
    found = measure.summary(run)
    assert (found["latency_half_width_pct"], found["throughput_half_width_pct"]) == (None, None)


class Listener:
    """Keeps what a run tells of its progress."""

    def __init__(self):
        self.told = []

    def start(self, total, done):
        self.told.append(("start", total, done))

    def row(self, label, latency, seconds):
        self.told.append(("row", latency.median))

    def close(self):
        self.told.append("close")


def test_a_run_tells_its_progress_its_sentinel_and_its_end(tmp_path):
    options = measure.MeasureOptions(device="cpu", threads=1, profile="smoke")
    listener, device = Listener(), FakeDevice(lognormal(1e-9), base_ms=2.0)
    run = measure.run(experiments.grid("smoke").iloc[:3], options, tmp_path / "run", listener, device=device)
    assert listener.told == [("start", 3, 0), *[("row", pytest.approx(2.0))] * 3, "close"]
    assert run.meta["sentinel"]["median_ms"] == pytest.approx(2.0)
    started, finished = (datetime.fromisoformat(run.meta[key]) for key in ("started", "finished"))
    assert timedelta(0) <= finished - started < timedelta(minutes=10)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(stream):
    bar = progress.for_stream(stream)
    bar.start(10, 2)
    bar.row("conv x = 3", Estimate(2.0, 1.9, 2.1, 20), 4.0)
    bar.row("conv x = 4", None, 8.0)
    bar.close()
    return bar, stream.getvalue()


def test_progress_on_a_terminal_and_in_a_pipe(monkeypatch):
    bar, text = shown(io.StringIO())
    assert (type(bar), text) == (progress.Quiet, "")
    bar, text = shown(Terminal())
    assert isinstance(bar, progress.Bar)
    assert "/10" in text
    monkeypatch.setitem(sys.modules, "tqdm", None)
    bar, text = shown(Terminal())
    assert isinstance(bar, progress.Line)
    # 4 s for the first row: 7 more take 28 s; half of 1.9 … 2.1 is 5 % of 2
    assert "3/10 layers, 28 s left, conv x = 3: 2 ms ± 5.0 %" in text
    assert "conv x = 4: no time" in text


def test_comparison_agrees_on_a_known_law():
    device = FakeDevice(lognormal(0.01))
    found = comparison.compare(device, comparison.LAYERS)
    result = comparison.conclude(found)
    assert result["layers"] >= 40
    assert len(set(comparison.LAYERS)) == result["layers"]
    assert result["within_2_pct"] == result["layers"]
    assert result["time_ratio"] <= 1 / 20
