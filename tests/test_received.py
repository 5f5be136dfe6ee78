"""Times of networks travel with a run: packed, checked by what the book does with them, and shown by chapter 11."""

import io
import json

import numpy as np
import pandas as pd
import pytest

from alphaflops import share as artifact
from alphaflops import zips
from alphaflops.errors import AlphaflopsError
from alphaflops.paths import data_folder
from alphaflops.prediction import comparison, received
from alphaflops.runs import datasets
from alphaflops.share.plausibility import FAST_ALGORITHM, peak_flops

NAME = "cpu-1core"


@pytest.fixture(scope="module")
def bundled():
    """A bundled run and the two files beside it."""
    run = datasets.load(NAME)
    folder = data_folder()
    return run, (folder / f"operators/{NAME}.json").read_bytes(), (folder / f"networks/{NAME}.csv").read_bytes()


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return artifact.pack_run(datasets.runs_folder() / NAME, tmp_path_factory.mktemp("out") / "x.zip", "lab")


FITS = {}


@pytest.fixture(autouse=True)
def fitted_once(monkeypatch):
    """Fit the same layers once, though every check does."""

    def calibrate(run, *args, **options):
        key = (run.sha256, args, tuple(options.items()))
        if key not in FITS:
            FITS[key] = anew(run, *args, **options)
        return FITS[key]

    anew = received.calibrate
    for module in (received, comparison):
        monkeypatch.setattr(module, "calibrate", calibrate)


def most(run):
    return FAST_ALGORITHM * peak_flops(run.meta)


def test_networks_go_out_and_come_back_byte_for_byte(bundled, packed, tmp_path):
    assert packed.networks
    found = artifact.import_run(packed.path, into=tmp_path / "runs", check=received.check)
    assert found.networks
    assert (tmp_path / "operators/lab.json").read_bytes() == bundled[1]
    assert (tmp_path / "networks/lab.csv").read_bytes() == bundled[2]
    with pytest.raises(AlphaflopsError, match="'lab' exists already"):
        artifact.import_run(packed.path, into=tmp_path / "others", check=received.check)


def test_chapter_shows_what_was_received(packed, tmp_path, monkeypatch):
    artifact.import_run(packed.path, into=tmp_path / "runs", check=received.check)
    for module in (comparison, datasets):
        monkeypatch.setattr(module, "data_folder", lambda: tmp_path)
    monkeypatch.setattr(comparison, "operators_folder", lambda: tmp_path / "operators")
    monkeypatch.setattr(comparison, "load", lambda name: datasets.Run.read(tmp_path / "runs" / name))
    assert comparison.measured_networks() == ["lab"]
    small = {"ResNet-18": received.book()["ResNet-18"]}
    (row,) = comparison.comparison(small, ["lab"]).to_dict("records")
    assert row["network"] == "ResNet-18"
    assert np.isfinite(row["error"])


def test_without_a_check_they_are_left_out(packed, tmp_path):
    assert not artifact.import_run(packed.path, into=tmp_path / "runs").networks
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_networks_of_another_run_are_not_packed(bundled, tmp_path):
    run, operators, networks = bundled
    for place, name, data in (("operators", "made-up.json", operators), ("networks", "made-up.csv", networks)):
        (tmp_path / place).mkdir()
        (tmp_path / place / name).write_bytes(data)
    other = datasets.Run({**run.meta, "run_id": "made-up"}, run.table.head(60))
    folder = other.write(tmp_path / "made-up")
    assert not artifact.pack_run(folder, tmp_path / "x.zip", data=tmp_path).networks


def test_half_of_the_two_files_is_refused(packed, tmp_path):
    files = zips.read_files(packed.path, artifact.runs.RUN_LIMITS, "x")
    del files["operators.json"]
    path = tmp_path / "x.zip"
    path.write_bytes(zips.pack(files))
    with pytest.raises(AlphaflopsError, match=r"it has no operators\.json"):
        artifact.import_run(path, into=tmp_path / "runs", check=received.check)


@pytest.mark.parametrize("name", ["operators.json", "networks.csv"])
def test_a_changed_byte_is_found_by_its_checksum(packed, tmp_path, name):
    assert "layers and networks, every byte as written" in artifact.verify_archive(packed.path)
    files = zips.read_files(packed.path, artifact.runs.RUN_LIMITS, "x")
    files[name] = files[name].replace(b"1", b"2", 1)
    path = tmp_path / "x.zip"
    path.write_bytes(zips.pack(files))
    for reader in (artifact.verify_archive, lambda path: artifact.import_run(path, into=tmp_path / "runs")):
        with pytest.raises(AlphaflopsError, match=rf"{name} does not match its checksum"):
            reader(path)
    assert not (tmp_path / "runs").exists()


def test_what_cannot_be_written_leaves_nothing(packed, tmp_path):
    (tmp_path / "networks").write_text("a file in place of the folder")
    with pytest.raises(AlphaflopsError, match="cannot be written"):
        artifact.import_run(packed.path, into=tmp_path / "runs", check=received.check)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["networks", "operators", "runs"]


def rows(change):
    """Change a table of networks as a frame."""

    def changed(operators, networks):
        frame = change(pd.read_csv(io.BytesIO(networks)))
        return operators, frame.to_csv(index=False, lineterminator="\n").encode()

    return changed


def one_layer(column):
    """Make the layer that takes longest a thousand times faster, in one of its two times."""

    def change(frame):
        slowest = frame["latency_ms"].where(frame["what"] == "layer").idxmax()
        frame.loc[slowest, column] /= 1000
        return frame

    return rows(change)


def entries(change):
    """Change an operator table as a dict."""

    def changed(operators, networks):
        content = json.loads(operators)
        change(content)
        return json.dumps(content).encode(), networks

    return changed


def scaled(factor):
    """Scale the times of whole networks."""

    def change(frame):
        whole = frame["what"] == "network"
        return frame.assign(latency_ms=frame["latency_ms"].where(~whole, factor * frame["latency_ms"]))

    return rows(change)


DAMAGED = {
    "columns": (rows(lambda f: f.drop(columns="uses")), "expected network, part"),
    "empty": (rows(lambda f: f.head(0)), "expected network, part"),
    "unknown network": (rows(lambda f: f.assign(network="X\nY")), r"network 'X\\nY' is unknown"),
    "unknown row": (rows(lambda f: f.assign(what="guess")), "a row is no layer"),
    "no time": (rows(lambda f: f.assign(latency_ms=np.nan)), "its time not in"),
    "a word": (rows(lambda f: f.assign(latency_ms="fast")), r"cannot be read: ValueError"),
    "a layer is missing": (rows(lambda f: f[f["what"] != "layer"]), r"cannot be read: KeyError"),
    "no whole": (rows(lambda f: f[f["what"] != "network"]), "has no row of the whole network"),
    "too fast": (scaled(1e-3), "or impossible"),
    "too slow": (scaled(50), "or impossible"),
    "a layer too fast": (one_layer("latency_ms"), r"\(.* ms is impossible"),
    "a layer too fast in turns": (one_layer("turn_ms"), r"\(.* ms is impossible"),
    "another run": (entries(lambda c: c["run"]["rho_from"].update(run_sha256="0")), "belongs to another run"),
    "rho": (entries(lambda c: c["run"].update(rho=2.0)), "rho beyond 0 to 1"),
    "too many layers": (entries(lambda c: c["layers"].update(ms=[1.0] * 2000)), "more than 1024 layers"),
    "a huge kernel": (entries(lambda c: c["layers"]["k1"].__setitem__(0, 2**30)), "k1 is 1073741824 in row 0"),
    "no table": (lambda operators, networks: (b"{}", networks), r"operators\.json is no operator table"),
    "no text": (lambda operators, networks: (operators, b"\xff\x00"), "cannot be read: UnicodeDecodeError"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_cannot_be_is_refused(bundled, name):
    run, *files = bundled
    change, match = DAMAGED[name]
    with pytest.raises(AlphaflopsError, match=match) as refused:
        received.check(run, *change(*files), most(run))
    assert "\n" not in str(refused.value)
