"""Commands as a user types them: output, exit codes, and one line for every mistake."""

import csv
import io
import os
import subprocess
import sys
from itertools import groupby

import pytest

from alphaflops import cli
from alphaflops.cli import commands, show_table
from alphaflops.runs import datasets

LAYER = ("layer", "dense", "--in", "8", "--out", "8")


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
        (("layer", "dense", "--in", "x", "--out", "4"), "argument --in: invalid int value: 'x'"),
        (("layer", "dense", "--out", "4"), "required: --in"),
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
        (("nonsense",), "invalid choice: 'nonsense' (choose from"),
        (("verify", "a", "--quick"), "unrecognized arguments: --quick: see alphaflops verify --help"),
        (("--quick",), "required: COMMAND: see alphaflops --help"),
        (("score", "nonsense", "--model", "macs"), "run 'nonsense' is unknown"),
        (
            ("measure", "--device", "cuda:7", "--profile", "smoke", "--out", "x"),
            "device 'cuda:7' is not on this machine",
        ),
        (("measure", "--profile", "slow", "--out", "x"), "invalid choice: 'slow'"),
        (("measure",), "give either --out DIR"),
        (("cite",), "command 'cite' is gone: use `cat CITATION.cff"),
        (("measure-networks", "my-gpu"), "use `measure --networks RUN`"),
        (("scorecard", "--update"), "use `refresh scores`"),
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
    assert "15,470,264,320 MAC" in command(*vgg, "--csv", tmp_path / "vgg.csv").out
    rows = list(csv.DictReader((tmp_path / "vgg.csv").read_text().splitlines()))
    assert next(iter(rows[0])) == "module"
    assert sum(int(row["macs"]) for row in rows) == 15_470_264_320
    assert "calibration 'h9000' is not here" in refused(*vgg, "--calibration", "h9000")
    old = ("estimate", "alphaflops.whole.zoo:vgg16", "--input", "1,3,224,224")  # its name in version 0.1
    assert command(*old, "--json").json == found


def test_score_has_the_promised_keys(command, folder):
    found = command("score", folder, "--model", "macs", "--cv", "random", "--json").json
    promised = {"run", "model", "n", "mape_pct", "median_ape_pct", "r2", "spearman", "per_experiment"}
    assert promised | {"cv", "within_20_pct", "parameters"} <= set(found)
    assert found["n"] == 58
    # The made-up run is exactly proportional to MACs; the scale is drawn a little towards its start, 0.01.
    assert found["mape_pct"] < 0.02
    assert found["parameters"]["scale"] == pytest.approx(1, rel=2e-4)


def test_fit_writes_a_calibration(command, folder, tmp_path):
    from alphaflops import read_calibration

    outcome = command("fit", folder, "--model", "macs", "--out", tmp_path / "c.json", "--json")
    assert outcome.json["model"] == "macs"
    assert read_calibration(tmp_path / "c.json").values["scale"] == pytest.approx(1, rel=2e-4)


def test_compare_needs_two(command, refused, folder):
    assert "name two or more" in refused("compare", folder)
    rows = command("compare", folder, folder, "--json").json
    assert [row["time_ratio"] for row in rows] == [1, 1]


def test_runs(command):
    entries = command("runs", "--json").json
    assert sorted(e["name"] for e in entries) == sorted(datasets.names())
    assert len(list(groupby(e["vendor"] for e in entries))) == len({e["vendor"] for e in entries}), "vendor by vendor"
    for entry in entries:
        assert set(entry) == {"name", "vendor", "machine", "role", "origin", "points", "where"}
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
    assert len(commands()) <= 15
    for name in commands():
        assert f"alphaflops {name}" in command(name, "--help").out.partition("Example")[2]
        assert name in command("--help").out


def test_verify_finds_a_changed_byte(command, refused, folder):
    assert "every byte as written" in command("verify", folder).out
    (folder / "layers.csv").write_bytes((folder / "layers.csv").read_bytes().replace(b"1", b"2", 1))
    assert "layers.csv does not match its checksum" in refused("verify", folder)


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
    from alphaflops.fitting import optimise

    monkeypatch.setattr(optimise, "doubts", lambda *_: ("t0 is at its bound", "q is not shown by these layers"))
    told = command("fit", folder, "--model", "macs").out
    assert "note: t0 is at its bound\nnote: q is not shown by these layers\n" in told


def test_doubts_about_a_score_are_told(command, folder):
    assert "note: half of the layers are off by more than" in command("score", folder, "--model", "alpha-rtx4090").out


def test_a_learned_model_is_refused_before_it_is_fitted(refused, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("alphaflops.fitting.calibration.fitted", lambda *_, **__: pytest.fail("fitted"))
    line = refused("fit", folder, "--model", "boosting", "--out", tmp_path / "b.json")
    assert "is learned and has no formula: score it on a run" in line


def test_comparisons_are_told_to_people(command, folder, monkeypatch):
    monkeypatch.setattr("alphaflops.fitting.validate.COMPARED", ("macs", "macs+t0"))
    told = command("compare", folder, folder).out
    assert "latency beside" in told
    assert "time_ratio" in told


def test_claims_are_told_to_people(command, folder, monkeypatch):
    from alphaflops import claims

    monkeypatch.setitem(claims.judge.__kwdefaults__, "error_of", lambda run, model: 20.0)
    told = command("claims", folder).out
    assert "no machine (made-up)" in told
    assert told.count("not") > 3


def test_a_reader_that_goes_away_gets_no_traceback():
    command = [sys.executable, "-m", "alphaflops", *LAYER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


def test_environment_for_people(command):
    found, told = command("env", "--json").json, command("env")
    assert told.code == 0
    for line, (key, value) in zip(told.out.splitlines(), found.items(), strict=True):
        assert line.split()[0] == key
        assert line.endswith("-" if value is None else str(value))


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "ascii"])
@pytest.mark.parametrize("arguments", [["--help"], ["layer", "conv2d", "--help"], ["runs"], ["score", "--help"]])
def test_terminals_without_utf8_get_all_that_they_can_show(encoding, arguments, monkeypatch, capsys):
    shown = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", shown)
    assert cli.main(arguments) == 0
    shown.flush()
    assert shown.buffer.getvalue()
    assert capsys.readouterr().err == ""


def test_a_program_that_writes_ascii_alone_is_understood():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-m", "alphaflops", "--help"], capture_output=True, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"commands" in done.stdout


def test_closed_and_full_outputs_are_one_line():
    command = f"{sys.executable} -m alphaflops {' '.join(LAYER)}"
    closed = subprocess.run(f"{command} >&-", shell=True, capture_output=True, check=False)
    assert (closed.returncode, closed.stderr.count(b"\n")) == (2, 1)
    assert b"standard output is closed" in closed.stderr
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    full = subprocess.run(f"{command} >/dev/full", shell=True, capture_output=True, check=False, env=buffered)
    assert (full.returncode, full.stderr.count(b"\n")) == (2, 1)
    assert b"No space left" in full.stderr
    nobody = subprocess.run(f"{sys.executable} -m alphaflops score nothing 2>/dev/full", shell=True, check=False)
    assert nobody.returncode == 2


def test_no_number_of_a_table_is_cut(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    show_table("Sizes", ("a long name of a column", "macs"), [["x" * 60, 123_456_789_012], ["y", 1.25]])
    told = capsys.readouterr().out
    assert "x" * 60 + "  123,456,789,012" in told
    assert told.splitlines()[-1] == "y" + " " * 72 + "1.25"
