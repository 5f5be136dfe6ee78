"""Measuring as users call it: the command, the public verb, its own process, bare hosts, options, progress."""

import contextlib
import inspect
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace
from datetime import datetime, timedelta
from importlib import metadata
from pathlib import Path

import pytest
from fake_device import FakeDevice, lognormal
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import alphaflops as af
from alphaflops import experiments
from alphaflops import measuring as measure
from alphaflops.errors import AlphaflopsError
from alphaflops.layers import Conv2d, Dense
from alphaflops.measuring import journal, process, record, session
from alphaflops.measuring.protocol import ALLOCATOR, for_profile
from alphaflops.runs import Run

ROOT = Path(__file__).parent.parent
FEW = ["--experiment", "conv_fixed_progressive", "--profile", "smoke", "--device", "cpu", "--threads", "1"]
SMALL = {"device": "cpu", "threads": 1, "profile": "smoke", "progress": False}


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


@pytest.fixture
def bare(tmp_path):
    """Run ``python -m alphaflops`` in a plain checkout where only torch, NumPy and pandas can be imported."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import sys\n"
        f"refused = {sorted(refused_imports())!r}\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in refused: raise ModuleNotFoundError(name, name=name)\n"
        "import importlib.util as u\n"
        "real = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name in refused else real(name, package)\n"
        "sys.meta_path.insert(0, Refuse())\n"
    )
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(ROOT)])}

    def call(*args):
        command = [sys.executable, "-m", "alphaflops", *map(str, args)]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=env)

    return call


@pytest.mark.slow
def test_a_bare_host_measures_adds_and_verifies(bare, tmp_path):
    done = bare("measure", *FEW, "--out", "run", "--json")
    assert (done.returncode, done.stderr) == (0, "")  # and quiet in a pipe
    found = json.loads(done.stdout)
    assert found["layers"] == found["status"]["ok"] == 10
    assert found["device"] == "cpu"
    assert measure.verify(tmp_path / "run").problems == ()
    run = Run.read(tmp_path / "run")
    assert (run.time_ms("latency") > 0).all()
    assert (run.time_ms("throughput") > 0).all()
    protocol = run.meta["protocol"]
    assert protocol["malloc_mmap_threshold"] == int(ALLOCATOR["MALLOC_MMAP_THRESHOLD_"])
    more = bare("measure", "--experiment", "increasing_W", *FEW, "--out", "run")
    assert (more.returncode, more.stderr) == (0, "")
    assert "16 of 16 layers timed" in more.stdout
    assert "finished, 16 of 16 layers" in bare("verify", "run").stdout


@pytest.mark.slow
def test_chapters_share_a_folder_and_measure_only_what_it_lacks(tmp_path):
    out, options = tmp_path / "My Run", measure.Options(device="cpu", threads=1, profile="smoke")

    def measured(layers, **changes):  # in this process: another one would load torch each time
        return session.run(layers, out, replace(options, **changes))

    first = measured(experiments.grid("1", "smoke").iloc[:4])
    assert Run.read(out).id == first.id == "my-run"
    both = measured(experiments.grid("1", "smoke"))
    more = measured([Dense(8, 8), Dense(8, 8), Conv2d(5, 5, 2, 2, 10**7)])
    assert [len(run.table) for run in (first, both, more)] == [4, 10, 12]
    assert [len(run.meta["resumed"]) for run in (first, both, more)] == [0, 1, 2]
    for run in (both, more):  # samples of rows that were there are as they were
        for name, taken in first.samples.items():
            assert run.samples[name].tolist() == taken.tolist()
    assert more.table["row"].is_unique
    assert more.table["status"].tolist()[-1] == "out-of-memory"  # a kernel of 10^7: said at once, not tried
    assert measure.verify(out).problems == ()
    before = (out / "run.json").read_bytes()
    assert len(measured(experiments.grid("1", "smoke")).table) == 12
    assert (out / "run.json").read_bytes() == before
    for changes, key in (({"threads": 2}, "machine.name"), ({"tolerance": 0.5}, "protocol.tolerance")):
        with pytest.raises(AlphaflopsError, match=rf"{key} was .* and is now .*: these timings do not mix"):
            measured(Dense(8, 8), **changes)
    assert (out / "run.json").read_bytes() == before


@pytest.mark.slow
def test_without_a_folder_nothing_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    run = af.measure(Conv2d(8, 8, 4, 4, 3), **SMALL)
    assert run.table["latency_ms"].item() > 0
    assert list(tmp_path.iterdir()) == []


DEADLY = """
import os, signal, sys
import alphaflops.measuring.session as session
real = session.time_layer
def deadly(device, layer, *rest):
    if layer.row()["out_channels"] == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(device, layer, *rest)
session.time_layer = deadly
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs signals of Unix")
def test_a_layer_that_kills_its_process_is_given_up_after_its_second_death(tmp_path, monkeypatch):
    monkeypatch.setattr(measure.process, "WORKER", f"exec({DEADLY!r}, {{}}); " + measure.process.WORKER)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    run = af.measure([Dense(4, 4), Dense(4, 13), Dense(4, 5)], out=tmp_path / "run", **SMALL)
    status = dict(zip(run.table["out_channels"], run.table["status"], strict=True))
    assert status == {4: "ok", 13: "out-of-memory", 5: "ok"}
    assert run.table["message"].str.contains("killed 2 times").sum() == 1
    assert len(run.meta["resumed"]) == 2


def _hear_ctrl_c():
    """A job in the background of a script is born deaf to it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs signals of Unix")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_command_says_how_to_go_on(tmp_path, number):
    command = [sys.executable, "-m", "alphaflops", "measure", "--profile", "smoke", "--device", "cpu", "--threads", "1"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = subprocess.Popen(
        [*command, "--out", "run"],
        cwd=tmp_path,
        env=env,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=_hear_ctrl_c,
    )
    file = tmp_path / "run" / journal.JOURNAL_FILE
    until = time.monotonic() + 120
    # The first row is on disk for certain when the second begins.
    while time.monotonic() < until and not (file.exists() and file.read_bytes().count(b'"type":"begin"') > 1):
        time.sleep(0.05)
    started.send_signal(number)
    try:
        out, err = started.communicate(timeout=120)
    finally:
        started.kill()
    assert (started.returncode, out) == (130, "")
    assert "go on with alphaflops measure --resume run" in err
    assert err.count("\n") == 1
    found = measure.verify(tmp_path / "run")
    assert found.problems == ()
    assert found.rows >= 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "either --out DIR for a new run or --resume DIR"),
        (["--out", "a", "--resume", "b"], "either --out DIR"),
        (["--out", "a", "--device", "cpu", "--experiment", "nonsense"], "experiment 'nonsense' is not in this profile"),
        (["--out", "a", "--device", "cpu", "--tolerance", "-1"], "tolerance is -1.0"),
        (["--out", "a", "--device", "cpu", "--tolerance", "nan"], "tolerance is nan"),
        (["--out", "a", "--device", "cpu", "--row-seconds", "inf"], "latency_s is inf"),
        (["--out", "a", "--device", "cpu", "--threads", "0"], "threads is 0"),
        (["--out", "a", "--device", "cpu", "--threads", str(2**40)], f"threads is {2**40}"),
        (["--out", "a", "--device", "cpu", "--seed", str(2**70)], f"seed is {2**70}"),
        (["--out", "a", "--device", "cpu", "--run-id", "../x"], "run id '../x' cannot be a folder"),
        (["--resume", "nowhere"], "no unfinished run"),
    ],
)
def test_bad_input_is_one_line_before_any_work(args, message, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    assert message in refused("measure", "--profile", "smoke", *args)
    assert not list(tmp_path.rglob("*.json*"))


@pytest.mark.parametrize(
    ("out", "message"),
    [("/proc/x", "/proc/x cannot be written"), ("x" * 300, "cannot be written: File name too long")],
)
def test_a_folder_that_cannot_be_made_is_one_line(out, message):
    with pytest.raises(AlphaflopsError, match=message):
        session.run(Dense(4, 4), out, measure.Options(device="cpu"))


def test_what_is_in_the_folder_already_is_not_touched(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(AlphaflopsError, match="do not mix"):
        session.run(Dense(4, 4), folder, measure.Options(device="cpu"))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    (folder / "run.json").rename(folder / "thesis.txt")
    with pytest.raises(AlphaflopsError, match="exists already and holds no run"):
        session.run(Dense(4, 4), folder, measure.Options(device="cpu"))


def test_options_of_the_command_are_those_of_the_verbs():
    taken, options = inspect.signature(af.measure).parameters, vars(measure.Options())
    assert {*options, "layers", "out", "progress"} == {*taken}
    assert all(option.metadata["help"].partition(" [")[0].endswith(".") for option in fields(measure.Options))
    for name, default in options.items():
        if name != "profile":  # a grid brings its own
            assert taken[name].default == default


@pytest.mark.parametrize(
    ("layers", "given", "message"),
    [
        ("nonsense", {}, "layers is a str: give"),
        ([], {}, "layers holds no layers"),
        (Dense(4, 4), {"threads": "two"}, "threads is 'two': expected an integer"),
        (Dense(4, 4), {"tolerance": "1%"}, "tolerance is '1%': expected a number"),
        (Dense(4, 4), {"profile": "huge"}, "profile is 'huge'"),
        (Dense(4, 4), {"allow_different": "software"}, "allow_different is 'software': expected a list"),
        (Dense(4, 4), {"tf32": 1}, "tf32 is 1: expected bool"),
    ],
)
def test_wrong_arguments_are_one_line(layers, given, message, tmp_path):
    with pytest.raises(AlphaflopsError, match=message):
        af.measure(layers, out=tmp_path / "run", **{"device": "cpu", **given})
    assert list(tmp_path.iterdir()) == []


def test_profiles_and_protocols():
    assert for_profile("paper").tolerance == 0.01
    assert for_profile("quick").tolerance == for_profile("smoke").tolerance == 0.02
    assert not for_profile("paper").tf32
    assert (for_profile("paper", "pipelined").repeats, for_profile("paper", "pipelined").warmups) == (50, 10)
    for bad in ({"profile": "huge"}, {"profile": "paper", "name": "fast"}):
        with pytest.raises(AlphaflopsError, match="expected one of"):
            for_profile(**bad)


def test_both_quantities_and_the_overhead(tmp_path):
    device = FakeDevice(lognormal(0.005), base_ms=1.0, overhead_ms=0.25)
    options = measure.Options(device="cpu", threads=1, profile="smoke")
    run = session.run(experiments.grid("smoke"), tmp_path / "run", options, device=device)
    overhead = run.time_ms("latency") - run.time_ms("throughput")
    assert overhead.median() == pytest.approx(0.25, abs=0.01)
    assert (run.table["latency_low_ms"] <= run.table["latency_ms"]).all()
    assert (run.table["latency_ms"] <= run.table["latency_high_ms"]).all()
    assert run.table["converged"].mean() > 0.9
    assert len(run.samples) == 2 * len(run.table)


def test_metadata_name_the_kind_of_device(tmp_path, monkeypatch):
    monkeypatch.setattr(record.host, "describe", lambda device, threads: {"name": f"machine of {device}"})
    options = measure.Options(seed=4)
    named = record.metadata(replace(options, run_id="mine", title="Ours"), "cpu", tmp_path)
    assert (named["run_id"], named["title"]) == ("mine", "Ours")
    found = record.metadata(options, "cuda:1", tmp_path / "My GPU")
    told = {key: found[key] for key in ("device", "run_id", "title", "origin", "seed")}
    assert told == {
        "device": "cuda",
        "run_id": "my-gpu",
        "title": "machine of cuda:1",
        "origin": "measured",
        "seed": 4,
    }


def test_the_order_is_random_and_repeatable(tmp_path):
    options = measure.Options(device="cpu", threads=1, profile="smoke", seed=4)
    orders = []
    for name in ("a", "b"):
        run = session.run(experiments.grid("smoke").iloc[:12], tmp_path / name, options, device=FakeDevice())
        orders.append(run.table["order"].tolist())
    assert orders[0] == orders[1]
    assert sorted(orders[0]) == list(range(12)) != orders[0]


def test_unconverged_rows_are_kept_and_flagged(tmp_path):
    device = FakeDevice(lognormal(1.0), base_ms=5.0)
    options = measure.Options(device="cpu", threads=1, profile="smoke")
    run = session.run(experiments.grid("smoke").iloc[:6], tmp_path / "run", options, device=device)
    assert not run.table["converged"].any()
    assert (run.table["flags"] == "unconverged").all()
    assert run.table["latency_ms"].notna().all()
    assert measure.summary(run)["unconverged"] == 6


def test_means_of_the_pipelined_protocol(tmp_path):
    options = measure.Options(device="cpu", threads=1, profile="smoke", protocol="pipelined")
    run = session.run(experiments.grid("smoke").iloc[:3], tmp_path / "run", options, device=FakeDevice(lognormal(0.5)))
    for row, value in zip(run.table["row"], run.time_ms("latency"), strict=True):
        assert value == pytest.approx(run.samples[f"latency_{row}"].mean(), rel=1e-6)
    assert run.table["latency_low_ms"].isna().all()
    assert (run.table["throughput_n"] == 1).all()
    found = measure.summary(run)
    assert (found["latency_half_width_pct"], found["throughput_half_width_pct"]) == (None, None)


def test_a_run_tells_its_progress_its_sentinel_and_its_end(tmp_path):
    options = measure.Options(device="cpu", threads=1, profile="smoke")
    told, device = [], FakeDevice(lognormal(1e-9), base_ms=2.0)

    def listen(what, text):
        told.append((what, text, device.now_ns / 1e9))

    run = session.run(experiments.grid("smoke").iloc[:3], tmp_path / "run", options, listen, device=device)
    assert [what for what, *_ in told] == ["begin", "row"] * 3
    for taken, (_, text, seconds) in enumerate(told[1::2], start=1):  # what is left takes as long as what is done
        assert text.startswith(f"{taken}/3 layers, {seconds / taken * (3 - taken):.0f} s left, ")
        assert text.endswith(": 2 ms ± 0.0 %")
    assert run.sentinel.median_ms == pytest.approx(2.0)
    started, finished = (datetime.fromisoformat(run.meta[key]) for key in ("started", "finished"))
    assert timedelta(0) <= finished - started < timedelta(minutes=10)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(stream):
    for text in ("3/10 layers, 28 s left, conv x = 3: 2 ms ± 5.0 %", "4/10 layers", ""):
        process.show(text, stream)
    return stream.getvalue()


def test_progress_on_a_terminal_and_in_a_pipe(monkeypatch):
    assert shown(io.StringIO()) == ""
    monkeypatch.setenv("COLUMNS", "64")
    blank, *lines, last, end = shown(Terminal()).split("\r")
    assert {blank, end, last.strip()} == {""}
    assert {len(line) for line in (*lines, last) if line} == {63}  # one covers the other
    assert lines[0].rstrip() == "3/10 layers, 28 s left, conv x = 3: 2 ms ± 5.0 %"
    assert lines[2].rstrip() == "4/10 layers"
