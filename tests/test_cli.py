"""Commands as a user types them: output, exit codes, and one line for every mistake."""

import pytest

from alphaflops import Run
from alphaflops.cli import COMMANDS
from alphaflops.runs import datasets


def test_layer_conv2d(command):
    conv = ("--height", 10, "--width", 10, "--cin", 100, "--cout", 50, "--kernel", 3)
    found = command("layer", "conv2d", *conv, "--json").json
    assert found == {
        "macs": 4_500_000,
        "flops": 9_000_000,
        "params": 45_000,
        "bytes_moved": 240_000,
        "valid_macs": 3_920_000,
        "alpha": pytest.approx(0.147886, abs=1e-6),
        "alpha_flops": pytest.approx(0.147886 * 9e6, rel=1e-5),
        "published_ms": pytest.approx(0.0375 * 0.147886 * 4.5, rel=1e-5),
    }


def test_layer_dense(command):
    found = command("layer", "dense", "--batch", 1, "--in", 12800, "--out", 12800, "--json").json
    assert found["flops"] == 327_680_000
    assert found["alpha"] == 1
    assert found["published_ms"] == pytest.approx(6.144)


def test_layer_for_people(command):
    outcome = command("layer", "conv2d", "--height", 9, "--width", 9, "--cin", 2, "--cout", 2, "--kernel", "3,1")
    assert outcome.code == 0
    assert "macs          972" in outcome.out  # 81 positions · 4 channel pairs · 3 taps


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("layer", "dense", "--in", "0", "--out", "4"), "in_features is 0: must be at least 1"),
        (("layer", "dense", "--in", "-4", "--out", "4"), "in_features is -4"),
        (("layer", "dense", "--in", "x", "--out", "4"), "'x' is not a valid integer"),
        (("layer", "dense", "--out", "4"), "Missing option '--in'"),
        (
            ("layer", "conv2d", "--height", "4", "--width", "4", "--cin", "3", "--cout", "3", "--kernel", "a"),
            "kernel is 'a': give one integer",
        ),
        (
            ("layer", "conv2d", "--height", "4", "--width", "4", "--cin", "3", "--cout", "3", "--groups", "2"),
            "not divisible by groups = 2",
        ),
        (
            ("layer", "conv2d", "--height=4", "--width=4", "--cin=3", "--cout=3", "--kernel=9", "--padding=1"),
            "padded height is 6",
        ),
        (("nonsense",), "No such command 'nonsense'"),
        (("score", "nonsense", "--model", "macs"), "run 'nonsense' is unknown"),
        (
            ("measure", "--device", "cuda:7", "--profile", "smoke", "--out", "x"),
            "device 'cuda:7' is not on this machine",
        ),
        (("measure", "--profile", "slow", "--out", "x"), "'slow' is not one of"),
        (("measure",), "give either --out DIR"),
        (("verify", "/nowhere"), "holds no run"),
    ],
)
def test_mistakes_are_one_line(refused, args, message):
    assert message in refused(*args)


def test_estimate(command, refused, tmp_path):
    vgg = ("estimate", "alphaflops.prediction.zoo:vgg16", "--input", "1,3,224,224")
    found = command(*vgg, "--json").json
    assert found["total"]["macs"] == 15_470_264_320
    assert found["total"]["flops"] == 2 * 15_470_264_320
    assert "15,470,264,320 MAC" in command(*vgg, "--sort", "macs", "--csv", tmp_path / "vgg.csv").out
    assert (tmp_path / "vgg.csv").read_text().startswith("module,")
    assert "calibration 'h9000' is not here" in refused(*vgg, "--calibration", "h9000")


def test_score_has_the_promised_keys(command, folder):
    found = command("score", folder, "--model", "macs", "--cv", "random", "--json").json
    promised = {"run", "model", "n", "mape_pct", "median_ape_pct", "r2", "spearman", "per_experiment"}
    assert promised | {"cv", "within_20_pct", "parameters"} <= set(found)
    assert found["n"] == 58
    assert found["mape_pct"] < 1e-3  # the made-up run is exactly proportional to MACs
    assert found["parameters"]["scale"] == pytest.approx(1)


def test_fit_writes_a_calibration(command, folder, tmp_path):
    from alphaflops import read_calibration

    outcome = command("fit", folder, "--model", "macs", "--out", tmp_path / "c.json", "--json")
    assert outcome.json["model"] == "macs"
    assert read_calibration(tmp_path / "c.json").values["scale"] == pytest.approx(1)


def test_compare_needs_two(command, refused, folder):
    assert "name two or more" in refused("compare", folder)
    rows = command("compare", folder, folder, "--json").json
    assert [row["time_ratio"] for row in rows] == [1, 1]


def test_existing_output_is_not_touched(refused, folder):
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert "exists" in refused("measure", "--device", "cpu", "--profile", "smoke", "--out", folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_runs(command):
    entries = command("runs", "--json").json
    assert [e["name"] for e in entries] == datasets.names()
    for entry in entries:
        assert set(entry) == {"name", "machine", "origin", "points", "where"}
        if entry["origin"] == "measured":
            assert entry["points"] == len(datasets.load(entry["name"]).table)
    assert "paper-t2000" in command("runs").out


def test_env_tells_versions_and_nothing_personal(command):
    import getpass
    import platform
    from pathlib import Path

    outcome = command("env", "--json")
    assert outcome.json["alphaflops"]
    assert outcome.json["torch"]
    for private in (platform.node(), str(Path.home()), f"/{getpass.getuser()}/"):
        assert private not in outcome.out


def test_every_command_explains_itself_with_an_example(command):
    for name in COMMANDS:
        text = command(name, "--help").out
        assert "Example" in text or name == "layer", name


def test_measure_a_little_and_verify(command, refused, tmp_path):
    out = tmp_path / "run"
    args = ("--device", "cpu", "--threads", 1, "--profile", "smoke", "--experiment", "increasing_Cin")
    found = command("measure", *args, "--out", out, "--json").json
    assert found["layers"] == 6
    run = Run.read(out)
    assert (run.time_ms("latency") > 0).all()
    assert (run.time_ms("throughput") > 0).all()
    assert "every byte as written" in command("verify", out).out
    (out / "measurements.csv").write_bytes((out / "measurements.csv").read_bytes().replace(b"1", b"2", 1))
    assert "measurements.csv does not match its checksum" in refused("verify", out)


def test_a_folder_without_permission(refused, tmp_path, monkeypatch):
    def denied(*_args, **_keys):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", denied)
    line = refused("measure", "--device", "cpu", "--profile", "smoke", "--out", tmp_path / "locked" / "run")
    assert "Permission denied" in line or "permission" in line


def test_scores_and_fits_are_told_to_people(command, folder, tmp_path):
    told = command("score", folder, "--model", "macs+t0", "--cv", "random").out
    assert "By experiment" in told
    assert "increasing_batch" in told
    assert "Parameters" in told
    assert "published_ms" not in command("score", folder, "--model", "alpha-published").out
    fitted = command("fit", folder, "--model", "macs", "--out", tmp_path / "c.json")
    assert "macs on" in fitted.out
    assert "Errors, random" in fitted.out
    assert "note:" not in fitted.out
    assert (tmp_path / "c.json").is_file()


def test_doubts_about_a_fit_are_told(command, folder, monkeypatch):
    from alphaflops.fitting import fitting

    monkeypatch.setattr(fitting, "_flags", lambda *_: ("t0 is at its bound", "q is not shown by these layers"))
    told = command("fit", folder, "--model", "macs").out
    assert "note: t0 is at its bound\nnote: q is not shown by these layers\n" in told


def test_doubts_about_a_score_are_told(command, folder):
    assert "note: half of the layers are off by more than" in command("score", folder, "--model", "alpha-rtx4090").out


@pytest.mark.parametrize("seed", ["-1", str(2**32)])
def test_seeds_that_do_not_exist_are_refused(refused, folder, seed):
    assert "is not in the range" in refused("fit", folder, "--model", "macs", "--seed", seed)


def test_a_learned_model_is_refused_before_it_is_fitted(refused, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("alphaflops.fitting.calibrate", lambda *_, **__: pytest.fail("fitted"))
    line = refused("fit", folder, "--model", "boosting", "--out", tmp_path / "b.json")
    assert "is learned and has no JSON form" in line


def test_comparisons_are_told_to_people(command, folder, monkeypatch):
    monkeypatch.setattr("alphaflops.study.comparison.MODELS", ("macs", "macs+t0"))
    told = command("compare", folder, folder).out
    assert "latency beside" in told
    assert "time_ratio" in told


def test_claims_are_told_to_people(command, folder, monkeypatch):
    from alphaflops.study import claims

    monkeypatch.setitem(claims.judge.__kwdefaults__, "error_of", lambda run, model: 20.0)
    told = command("claims", folder).out
    assert "no machine (made-up)" in told
    assert told.count("not") > 3


def test_scorecard_is_shown_or_computed_anew(command, monkeypatch, tmp_path):
    import pandas as pd

    from alphaflops.study import scores

    row = {"run": "a", "model": "macs", "cv": "random", "n": 5, "mape_pct": 12.5, "median_ape_pct": None}
    frame = pd.DataFrame([row | {"within_20_pct": float("nan")}])
    monkeypatch.setattr(scores, "scored_runs", list)
    monkeypatch.setattr(scores, "of", lambda runs: frame)
    monkeypatch.setattr(scores, "refresh", lambda jobs: tmp_path / f"{jobs}.json")
    assert command("scorecard", "--json").json[0]["within_20_pct"] is None
    assert "12.5" in command("scorecard").out
    assert command("scorecard", "--update", "--jobs", 1).out.strip() == str(tmp_path / "1.json")


def test_calibrate_fits_every_run_that_is_here(command, run, tmp_path, monkeypatch):
    monkeypatch.setattr("alphaflops.fitting.bundled.BUNDLED_MODELS", ("macs",))
    monkeypatch.setattr("alphaflops.paths.data_folder", lambda: tmp_path)
    monkeypatch.setattr(datasets, "names", lambda: ["made-up", "far-away"])
    monkeypatch.setattr(datasets, "available", lambda name: name == "made-up")
    monkeypatch.setattr(datasets, "load", lambda name: run)
    assert command("calibrate").out.split() == [str(tmp_path / "calibrations" / "made-up.json")]
    assert (tmp_path / "calibrations" / "made-up.json").is_file()


def test_books_are_built_from_the_runs_that_are_named(command, monkeypatch, tmp_path):
    from alphaflops import bare
    from alphaflops.book import publish

    built, summary = [], {"status": {"ok": 3}, "layers": 3, "seconds": 1.0, "machine": "m", "unconverged": 0}
    summary |= {"throttled": 0, "foreign_load": 0, "sentinel": {"moved": 0.01, "verdict": "steady"}}
    monkeypatch.setattr(publish, "build", lambda runs, out, jobs: built.append((runs, out, jobs)) or "index.html")
    monkeypatch.setattr(publish, "update", lambda jobs: ["a.ipynb", "b.ipynb"])
    monkeypatch.setattr(bare, "measure_command", lambda values: summary)
    assert command("book", "--run", "mine", "--out", tmp_path).out == "index.html\n"
    told = command("rerun", "--profile", "smoke", "--out", tmp_path, "--run", "other", "--jobs", 1).out
    assert "3 of 3 layers timed in 1 s on m" in told
    assert built[0] == (["mine"], tmp_path, 2)
    (other, own), out, jobs = built[1]
    assert (other, out, jobs) == ("other", tmp_path, 1)
    assert own.startswith(str(tmp_path / "runs"))
    assert own.endswith("-smoke")
    assert command("update").out == "a.ipynb\nb.ipynb\n"


def test_an_interrupted_measurement_says_how_to_go_on(command, monkeypatch):
    from alphaflops import bare
    from alphaflops import measuring as measure

    def stop(values):
        raise measure.Interrupted("stopped after 3 of 9 layers")

    monkeypatch.setattr(bare, "measure_command", stop)
    found = command("measure", "--out", "x")
    assert (found.code, found.out, found.err) == (130, "", "stopped after 3 of 9 layers\n")
    assert bare.main(["measure", "--out", "x"]) == 130


def test_an_abort_is_one_line(command, monkeypatch):
    import click

    def abort(**_):
        raise click.Abort

    monkeypatch.setattr("alphaflops.runs.datasets.inventory", abort)
    assert (command("runs").code, command("runs").err) == (130, "error: interrupted\n")


def test_a_reader_that_goes_away_gets_no_traceback():
    import subprocess
    import sys

    code = "import sys, alphaflops.cli as c; sys.exit(c.main(['cite', '--format', 'bibtex']))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


def test_environment_for_people(command):
    found, told = command("env", "--json").json, command("env")
    assert told.code == 0
    for line, (key, value) in zip(told.out.splitlines(), found.items(), strict=True):
        assert line.split()[0] == key
        assert line.endswith(str("none" if value is None else value))
