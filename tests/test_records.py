"""Runs on disk: what is written is read back, and what is wrong is named."""

import hashlib
import json
import shutil

import numpy as np
import pandas as pd
import pytest

from alphaflops import AlphaflopsError, Run, load
from alphaflops.runs import RUN_FILE, SAMPLES_FILE, SUMS_FILE, TABLE_FILE, changed_files, read_json


def edit(folder, name, change):
    path = folder / name
    path.write_bytes(change(path.read_bytes()))


def resum(folder):
    """Make the checksums right again, so that only the schema can object."""
    names = [n for n in (RUN_FILE, TABLE_FILE, SAMPLES_FILE) if (folder / n).exists()]
    lines = [f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in names]
    (folder / SUMS_FILE).write_text("".join(lines))


def test_round_trip(run, tmp_path):
    run = Run({**run.meta, "protocol": {"name": "none", "tolerance": 0.02}}, run.table)
    (tmp_path / "empty").mkdir()
    folder = run.write(tmp_path / "empty")
    back = Run.read(folder)
    pd.testing.assert_frame_equal(back.table, run.table)
    assert back.meta == run.meta
    assert back.sha256 == hashlib.sha256((folder / TABLE_FILE).read_bytes()).hexdigest() == run.sha256
    assert back.id == "made-up"
    assert back.machine == "no machine"


def test_round_trip_of_samples(run, tmp_path):
    samples = {"latency_0": np.array([1.0, 2.0, 4.0]), "latency_1": np.array([0.5])}
    back = Run.read(Run(run.meta, run.table, samples).write(tmp_path / "r"))
    assert {name: values.tolist() for name, values in back.samples.items()} == {
        "latency_0": [1.0, 2.0, 4.0],
        "latency_1": [0.5],
    }


def test_quantities(run):
    assert run.time_ms().equals(run.table["latency_ms"])
    with pytest.raises(AlphaflopsError, match="has no throughput"):
        run.time_ms("throughput")
    with pytest.raises(AlphaflopsError, match="quantity 'speed' is unknown"):
        run.time_ms("speed")


def test_sizes_are_integers_and_an_interval_may_be_unknown(run):
    checked = Run(run.meta, run.table.assign(groups=1.0, bias=1, latency_low_ms=np.nan, throughput_ms=0))
    assert (checked.layers.drop(columns=["kind", "bias"]).dtypes == np.int64).all()
    assert checked.layers["bias"].dtype == bool
    assert checked.table["latency_low_ms"].isna().all()


def test_rows_that_failed_are_kept_apart(run):
    table = run.table.copy()
    table.loc[0, ["status", "latency_ms"]] = ["out-of-memory", np.nan]
    marked = Run(run.meta, table)
    assert len(marked.table) == len(run.table)
    assert len(marked.ok.table) == len(run.table) - 1


@pytest.mark.parametrize("name", [RUN_FILE, TABLE_FILE, SAMPLES_FILE, SUMS_FILE])
def test_any_changed_byte_is_found(run, tmp_path, name):
    folder = Run(run.meta, run.table, {"latency_0": np.ones(3)}).write(tmp_path / "r")
    assert changed_files(folder) == []
    original = (folder / name).read_bytes()
    for position in range(0, len(original), max(1, len(original) // 50)):
        changed = bytearray(original)
        changed[position] ^= 1
        (folder / name).write_bytes(changed)
        assert changed_files(folder), f"byte {position} of {name}"
    (folder / name).write_bytes(original + b"\n")
    assert changed_files(folder)
    (folder / name).unlink()
    assert changed_files(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="latency_ms"), "column 'latency_ms' is missing"),
        (lambda t: t.drop(columns="height"), "column 'height' is missing"),
        (lambda t: t.rename(columns={"latency_ms": "latncy_ms"}), "did you mean 'latency_ms'"),
        (lambda t: t.assign(colour="red"), "column 'colour' is unknown: remove it"),
        (lambda t: t.assign(latency_ms=t["latency_ms"].where(t.index != 3)), "latency_ms is nan in row 3"),
        (lambda t: t.assign(latency_ms=-t["latency_ms"]), "expected a positive number"),
        (lambda t: t.assign(latency_ms=0.0), "latency_ms is 0.0 in row 0"),
        (lambda t: t.assign(throughput_ms=-0.5), "throughput_ms is -0.5 in row 0"),
        (lambda t: t.assign(latency_ms="fast"), "latency_ms is 'fast' in row 0"),
        (lambda t: t.assign(in_channels=-t["in_channels"]), "expected an integer from 1 up"),
        (lambda t: t.assign(batch=1.5), "batch is 1.5 in row 0"),
        (lambda t: t.assign(k1=999, pad_top=0), "exceeds its padded input"),
        (lambda t: t.assign(kind="pool"), "kind is 'pool' in row 0"),
        (lambda t: t.assign(status="fine"), "status is 'fine'"),
        (lambda t: t.assign(row=0), "row 0 occurs twice"),
        (lambda t: t.head(0), "has no rows"),
    ],
)
def test_a_table_against_the_schema_is_refused(run, folder, change, message):
    change(run.table).to_csv(folder / TABLE_FILE, index=False)
    resum(folder)
    with pytest.raises(AlphaflopsError) as error:
        Run.read(folder)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: {k: v for k, v in m.items() if k != "machine"}, "machine is missing"),
        (lambda m: m | {"format_version": 99}, "format_version is 99"),
        (lambda m: m | {"machine": {}}, "machine.name is missing"),
        (lambda m: m | {"run_id": 7}, "run_id is 7"),
        (lambda m: m | {"protocol": "none"}, "protocol is 'none'"),
    ],
)
def test_metadata_against_the_schema_are_refused(folder, change, message):
    edit(folder, RUN_FILE, lambda raw: json.dumps(change(json.loads(raw))).encode())
    resum(folder)
    with pytest.raises(AlphaflopsError, match=message):
        Run.read(folder)


def test_truncated_files_are_named(folder):
    edit(folder, TABLE_FILE, lambda raw: raw[:-20])
    with pytest.raises(AlphaflopsError, match=r"measurements\.csv is truncated"):
        Run.read(folder)
    edit(folder, RUN_FILE, lambda raw: raw[:-20])
    with pytest.raises(AlphaflopsError, match=r"run\.json cannot be read: it is not valid JSON"):
        Run.read(folder)


def test_damaged_samples_are_named(run, tmp_path):
    folder = Run(run.meta, run.table, {"latency_0": np.ones(3)}).write(tmp_path / "r")
    edit(folder, SAMPLES_FILE, lambda raw: raw[: len(raw) // 2])
    with pytest.raises(AlphaflopsError, match=r"samples\.npz is no zip archive"):
        Run.read(folder)


def test_folders_are_never_overwritten(run, folder):
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(AlphaflopsError, match="exists already"):
        run.write(folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_nothing_is_half_written_where_writing_fails(run, tmp_path, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(AlphaflopsError, match="No space left on device"):
        run.write(tmp_path / "r")
    assert list((tmp_path / "r").iterdir()) == []


def test_missing_and_unfinished_runs(tmp_path, folder):
    with pytest.raises(AlphaflopsError, match="does not exist"):
        Run.read(tmp_path / "nothing")
    (folder / RUN_FILE).unlink()
    with pytest.raises(AlphaflopsError, match="no finished run"):
        Run.read(folder)


def test_a_plain_csv_can_be_a_run(run, folder, tmp_path):
    shutil.copy(folder / TABLE_FILE, tmp_path / "mine.csv")
    back = load(tmp_path / "mine.csv")
    assert back.id == "mine"
    assert back.time_ms().tolist() == run.time_ms().tolist()


@pytest.mark.parametrize("value", ["1e999", "-1e999", "NaN", "Infinity", '"\\ud800"', "[" * 100_000])
def test_metadata_that_could_not_be_written_again_are_refused(tmp_path, value):
    (tmp_path / "run.json").write_text(f'{{"machine": {value}}}')
    with pytest.raises(AlphaflopsError, match="it is not valid JSON"):
        read_json(tmp_path / "run.json")


def test_floats_are_read_back_exactly(run, tmp_path):
    # digits that a fast parser rounds to a neighbour; the hash of a table must not depend on pandas
    times = np.random.default_rng(0).random(len(run.table)) * 1e-3
    written = Run(run.meta, run.table.assign(latency_ms=times))
    assert Run.read(written.write(tmp_path / "r")).sha256 == written.sha256


def test_a_list_of_checksums_written_otherwise_is_told(folder):
    edit(folder, SUMS_FILE, lambda raw: raw.replace(b"\n", b"\r\n", 1))
    assert changed_files(folder)
    edit(folder, SUMS_FILE, lambda raw: raw.replace(b"\r\n", b"\n").rstrip(b"\n"))
    assert changed_files(folder) == [f"{SUMS_FILE} has changed"]


def test_metadata_that_are_no_object_are_refused(folder):
    edit(folder, RUN_FILE, lambda raw: b"[1, 2]")
    with pytest.raises(AlphaflopsError, match=r"run\.json holds a list: expected a JSON object"):
        Run.read(folder)
