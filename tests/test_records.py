"""Runs on disk: what is written is read back, what is derived is never stored, and what is wrong is named."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from alphaflops import AlphaflopsError, Run, experiments, files, load
from alphaflops.layers import macs
from alphaflops.runs import RUN_FILE, SAMPLES_FILE, SUMS_FILE, TABLE_FILE, damaged, datasets, derive, read_files
from alphaflops.runs.schema import check_slug, slug


def resum(folder):
    """Make the checksums right again, so that only the schema can object."""
    names = [name for name in (TABLE_FILE, SAMPLES_FILE, RUN_FILE) if (folder / name).exists()]
    (folder / SUMS_FILE).write_text("".join(f"{files.sha256(folder / name)}  {name}\n" for name in names))


def edit(folder, name, change):
    path = folder / name
    path.write_bytes(change(path.read_bytes()))


def edit_meta(folder, change):
    edit(folder, RUN_FILE, lambda raw: json.dumps(change(json.loads(raw))).encode())
    resum(folder)


def told(run, **columns):
    """The run with times told instead of sampled, as a published table has them."""
    table = run.table.assign(**columns)
    return Run({**run.meta, "origin": "upstream"}, table)


def test_round_trip(run, tmp_path):
    run = Run({**run.meta, "protocol": {"name": "adaptive", "tolerance": 0.02}}, run.table, run.samples)
    (tmp_path / "empty").mkdir()
    back = Run.read(run.write(tmp_path / "empty"))
    pd.testing.assert_frame_equal(back.table, run.table, rtol=1e-6)
    assert back.meta == run.meta
    assert back.sha256 == run.sha256
    assert back.samples.keys() == run.samples.keys()
    assert (back.id, back.machine) == ("made-up", "no machine")
    assert sorted(path.name for path in (tmp_path / "empty").iterdir()) == sorted(run.files())


def test_times_that_were_told_are_read_back_exactly(run, tmp_path):
    # digits that a fast parser rounds to a neighbour
    times = np.random.default_rng(0).random(len(run.table)) * 1e-3
    written = told(run, latency_ms=times)
    back = Run.read(written.write(tmp_path / "r"))
    pd.testing.assert_frame_equal(back.table, written.table)
    assert back.sha256 == written.sha256


def test_a_run_has_the_same_hash_and_bytes_whatever_it_is_called(run, tmp_path):
    other = Run({**run.meta, "run_id": "other"}, run.table, run.samples)
    assert other.sha256 == run.sha256
    assert other.files()[TABLE_FILE] == run.files()[TABLE_FILE]
    changed = {**run.samples, "latency_0": run.samples["latency_0"] * 1.001}
    assert Run(run.meta, run.table, changed).sha256 != run.sha256


def test_quantities(run):
    assert run.time_ms().equals(run.table["latency_ms"])
    file = Run({**run.meta, "origin": "file"}, run.layers.assign(latency_ms=1.0))
    with pytest.raises(AlphaflopsError, match="has no throughput"):
        file.time_ms("throughput")
    with pytest.raises(AlphaflopsError, match="quantity 'speed' is unknown"):
        run.time_ms("speed")


def test_sizes_are_integers_and_an_interval_may_be_unknown(run):
    checked = told(run, groups=1.0, bias=1, latency_low_ms=np.nan, throughput_ms=0)
    assert (checked.layers.drop(columns=["kind", "bias"]).dtypes == np.int64).all()
    assert checked.layers["bias"].dtype == bool
    assert checked.table["latency_low_ms"].isna().all()


def test_rows_that_failed_are_kept_apart(run):
    table = run.table.copy()
    table.loc[0, "status"] = "out-of-memory"
    samples = {name: values for name, values in run.samples.items() if name != f"latency_{table.loc[0, 'row']}"}
    marked = Run(run.meta, table, samples)
    assert len(marked.table) == len(run.table)
    assert len(marked.ok.table) == len(run.table) - 1
    assert np.isnan(marked.table.loc[0, "latency_ms"])


# --- derived, not stored ---


def with_samples(make_run, values, quantity="latency", **meta):
    """One layer with these samples (ms)."""
    run = make_run(experiments.grid("smoke").head(1), **meta)
    samples = {"latency_0": np.full(9, 1.0), f"{quantity}_0": np.asarray(values, dtype=float)}
    return Run(run.meta, run.table, samples)


def test_statistics_follow_from_the_samples_whatever_a_table_says(make_run):
    run = with_samples(make_run, [5, 1, 2, 3, 4, 9, 8, 7, 6], protocol={"name": "adaptive", "tolerance": 0.02})
    forged = run.table.assign(latency_ms=0.1, latency_low_ms=0.1, latency_high_ms=0.1, latency_n=10**6, converged=True)
    row = Run(run.meta, forged.assign(flags=""), run.samples).table.iloc[0]
    # order statistics of 1…9: the interval of the median at 96.25 % lies between the 2nd and 3rd from either end
    assert (row["latency_ms"], row["latency_n"]) == (5, 9)
    assert 1 < row["latency_low_ms"] < 3
    assert 7 < row["latency_high_ms"] < 9
    assert not row["converged"]
    assert row["flags"] == "unconverged"


def test_a_derived_column_in_a_file_is_refused(folder):
    for name in ("latency_ms", "converged", "flags"):
        before = (folder / TABLE_FILE).read_bytes()
        edit(
            folder,
            TABLE_FILE,
            lambda raw, name=name: pd.read_csv(folder / TABLE_FILE).assign(**{name: 1}).to_csv(index=False).encode(),
        )
        resum(folder)
        with pytest.raises(AlphaflopsError, match=f"{name} follows from the samples: remove it"):
            Run.read(folder)
        (folder / TABLE_FILE).write_bytes(before)


def test_flags_follow_from_readings(make_run):
    run = make_run(machine={"name": "m", "cpu": {"name": "m", "cores": 4}})
    quiet = dict(load=0.2, throttle="", processes=1, bad_clock=0)
    table = run.table.head(5).assign(**quiet)
    for at, (name, value) in enumerate({"load": 0.3, "throttle": "thermal", "processes": 2, "bad_clock": 3}.items()):
        table.loc[at, name] = value
    samples = {f"latency_{row}": np.full(9, 1.0) for row in table["row"]}
    found = Run(run.meta, table, samples).table["flags"].tolist()
    assert found == ["foreign-load", "throttled", "foreign-load", "clock", ""]


def test_fixed_protocols_report_the_mean_and_always_converge(make_run):
    row = with_samples(make_run, [1, 2, 6], protocol={"name": "per-call"}).table.iloc[0]
    assert (row["latency_ms"], row["converged"]) == (3, True)
    assert np.isnan(row["latency_low_ms"])


def test_throughput_must_converge_too(make_run):
    wide = with_samples(make_run, np.arange(1, 10), "throughput", protocol={"name": "adaptive", "tolerance": 0.02})
    assert wide.table["throughput_ms"].tolist() == [5]
    assert wide.table["converged"].tolist() == [False]


def test_the_sentinels_verdict_follows_from_its_curve(sendable):
    assert sendable.sentinel.verdict == "steady"
    rising = [[s, 4.0 * 30 ** (s / 22)] for s, _ in sendable.meta["sentinel"]["curve_s_ms"]]
    run = Run({**sendable.meta, "sentinel": {"curve_s_ms": rising}}, sendable.table, sendable.samples)
    assert run.sentinel.verdict == "drifted"
    with pytest.raises(AlphaflopsError, match="the key 'verdict' in sentinel is not allowed"):
        Run({**run.meta, "sentinel": {"curve_s_ms": rising, "verdict": "steady"}}, run.table, run.samples)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("latency_0"), "row 0 is ok but has no samples"),
        (lambda s: s.update(latency_0=np.array([])), "row 0 is ok but has no samples"),
        (lambda s: s.update(latency_0=np.array([1.0, np.nan])), "samples of latency_0 are not all positive"),
        (lambda s: s.update(latency_0=np.array([1.0, -1.0])), "samples of latency_0 are not all positive"),
        (lambda s: s.update(throughput_0=np.array([0.0])), "samples of throughput_0 are not all positive"),
        (lambda s: s.update(latency_999999=np.array([1.0])), "'latency_999999' belong to no measured row"),
        (lambda s: s.update(energy_0=np.array([1.0])), "'energy_0' belong to no measured row"),
    ],
)
def test_samples_are_there_positive_and_for_exactly_the_rows(make_run, change, message):
    run = make_run(experiments.grid("smoke").head(3))
    samples = dict(run.samples)
    change(samples)
    with pytest.raises(AlphaflopsError, match=message):
        Run(run.meta, run.table, samples)


def test_a_measured_run_without_samples_is_no_run(folder):
    (folder / SAMPLES_FILE).unlink()
    resum(folder)
    with pytest.raises(AlphaflopsError, match=r"no whole run: it has no samples\.npz"):
        Run.read(folder)


def test_layers_that_an_experiment_does_not_have_are_other_layers(make_run):
    grid = experiments.grid("smoke")
    assert derive.OTHER not in set(make_run(grid).table["experiment"])
    grid.loc[0, "in_channels"] += 1
    grid.loc[1, "x"] += 1
    grid.loc[2, "line"] = "another"
    grid.loc[3, "experiment"] = "mine"
    found = make_run(grid).table["experiment"].tolist()
    assert found[:4] == [derive.OTHER] * 3 + ["mine"]
    assert derive.OTHER not in found[4:]


def test_a_run_resumed_on_other_software_says_so_in_its_machine(sendable):
    part = {"started": "2026-01-31T12:01:00+00:00", "different": {"software.torch": ["2.9.0", "2.8.0"]}}
    run = Run({**sendable.meta, "resumed": [part, {**part, "different": {}}]}, sendable.table, sendable.samples)
    assert run.machine == "EPYC, 2 threads, resumed with other software"
    same = Run({**sendable.meta, "resumed": [{**part, "different": {}}]}, sendable.table, sendable.samples)
    assert same.machine == "EPYC, 2 threads"


# --- files ---


@pytest.mark.parametrize("name", [RUN_FILE, TABLE_FILE, SAMPLES_FILE, SUMS_FILE])
def test_any_changed_byte_is_found(folder, name):
    assert damaged(read_files(folder)) == []
    original = (folder / name).read_bytes()
    for position in range(0, len(original), max(1, len(original) // 50)):
        changed = bytearray(original)
        changed[position] ^= 1
        (folder / name).write_bytes(changed)
        assert damaged(read_files(folder)), f"byte {position} of {name}"
    (folder / name).write_bytes(original + b"\n")
    assert damaged(read_files(folder))
    (folder / name).unlink()
    assert damaged(read_files(folder))


TABLES = [
    (lambda t: t.drop(columns="height"), "column 'height' is missing"),
    (lambda t: t.rename(columns={"elapsed_s": "elapsd_s"}), "did you mean 'elapsed_s'"),
    (lambda t: t.assign(colour="red"), "column 'colour' is unknown: remove it"),
    (lambda t: t.assign(power_w=-0.5), "power_w is -0.5 in row 0"),
    (lambda t: t.assign(power_w="much"), "power_w is 'much' in row 0"),
    (lambda t: t.assign(power_w="inf"), "power_w is inf in row 0"),
    (lambda t: t.assign(in_channels=-t["in_channels"]), "expected an integer from 1 up"),
    (lambda t: t.assign(batch=1.5), "batch is 1.5 in row 0"),
    (lambda t: t.assign(height=2**63), "height is 9223372036854775808 in row 0"),
    (lambda t: t.assign(height=str(10**400)), "height"),
    (lambda t: t.assign(k1=999, pad_top=0), "exceeds its padded input"),
    (lambda t: t.assign(kind="pool"), "kind is 'pool' in row 0"),
    (lambda t: t.assign(status="fine"), "status is 'fine'"),
    (lambda t: t.assign(row=0), "row 0 occurs twice"),
    (lambda t: t.assign(line="a\nb"), "line is 'a\\nb' in row 0: expected one printable line"),
    (lambda t: t.assign(line="\x1b[31m"), "line is '\\x1b[31m' in row 0"),
    (lambda t: t.assign(message="x" * 241), "message is"),
    (lambda t: t.head(0), "holds no layers"),
]


@pytest.mark.parametrize(("change", "message"), TABLES)
def test_a_table_against_the_schema_is_refused(folder, change, message):
    stored = pd.read_csv(folder / TABLE_FILE).assign(elapsed_s=1.0)
    change(stored).to_csv(folder / TABLE_FILE, index=False)
    resum(folder)
    with pytest.raises(AlphaflopsError) as error:
        Run.read(folder)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


CPU = {"name": "EPYC", "cores": 2}
META = [
    (lambda m: {k: v for k, v in m.items() if k != "machine"}, "machine is missing"),
    (lambda m: m | {"format_version": 99}, "format_version is 99, this program reads"),
    (lambda m: m | {"format_version": True}, "format_version is True"),
    (lambda m: m | {"format_version": 2.0}, "format_version is 2.0"),
    (lambda m: m | {"machine": {}}, "machine.name is missing"),
    (lambda m: m | {"run_id": 7}, "run_id is 7"),
    (lambda m: m | {"run_id": "../up"}, "run_id is '../up': expected up to 64"),
    (lambda m: m | {"run_id": "UPPER"}, "run_id is 'UPPER'"),
    (lambda m: m | {"run_id": "a\n"}, "run_id is"),
    (lambda m: m | {"protocol": "none"}, "protocol is 'none': expected object"),
    (lambda m: m | {"protocol": {"name": "adaptive", "tolerance": "0"}}, "protocol.tolerance is '0'"),
    (lambda m: m | {"device": "tpu"}, "device is 'tpu': expected cpu or cuda or mps"),
    (lambda m: m | {"origin": "heaven"}, "origin is 'heaven'"),
    (lambda m: m | {"owner": "zeb"}, "the key 'owner' is not allowed: remove it"),
    (lambda m: m | {"title": "two\nlines"}, "title is"),
    (lambda m: m | {"title": "x" * 241}, "title is"),
    (lambda m: m | {"title": "\u202egnal"}, "title is"),
    (lambda m: m | {"title": "\x1b[2J"}, "title is"),
    (lambda m: m | {"machine": {"name": "EPYC [9](../../../../proc/self/environ)"}}, "machine.name is"),
    (lambda m: m | {"machine": {"name": "<script>alert(1)</script>"}}, "machine.name is"),
    (lambda m: m | {"machine": {"name": "a", "serial_number": "5"}}, "the key 'serial_number' in machine is not"),
    (lambda m: m | {"machine": {"name": "a", "cpu": CPU | {"cores": True}}}, "machine.cpu.cores is True"),
    (lambda m: m | {"machine": {"name": "a", "cpu": CPU | {"cores": 2**40}}}, "machine.cpu.cores is 1099511627776"),
    (lambda m: m | {"machine": {"name": "a", "threads": 1.5}}, "machine.threads is 1.5"),
    (lambda m: m | {"software": {"torch": True}}, "software.torch is True: expected a version"),
    (lambda m: m | {"software": {"torch": 2.9}}, "software.torch is 2.9: expected a version"),
    (lambda m: m | {"software": {"torch": "<b>2</b>"}}, "software.torch is '<b>2</b>': expected a version"),
    (lambda m: m | {"software": {"environment": {"KMP_AFFINITY": "/home/zeb"}}}, "software.environment.KMP_AFFINITY"),
    (lambda m: m | {"software": {"zeus": "a|b"}}, "software.zeus is 'a|b'"),
    (lambda m: m | {"software": {"zeus": "1.0", "A b": "1.0"}}, "the key 'A b' in software is not allowed"),
    (lambda m: m | {"seed": -1}, "seed is -1"),
    (lambda m: m | {"seconds": "long"}, "seconds is 'long'"),
    (lambda m: m | {"sentinel": {"curve_s_ms": [[1.0, 0.0]] * 9}}, "curve_s_ms.0.1 is 0.0: expected a positive number"),
    (lambda m: m | {"started": "yesterday"}, "started is 'yesterday': expected a date"),
    (lambda m: m | {"started": "2026-02-31T12:00:00+00:00"}, "started is '2026-02-31T12:00:00+00:00': expected a date"),
    (
        lambda m: m | {"started": "2026-01-02T00:00:00+00:00", "finished": "2026-01-01T00:00:00+00:00"},
        "finished is 2026-01-01T00:00:00+00:00, before started",
    ),
    (
        lambda m: (
            m
            | {
                "started": "2026-01-02T00:00:00+00:00",
                "resumed": [{"started": "2026-01-01T00:00:00+00:00", "different": {}}],
            }
        ),
        "resumed is 2026-01-01",
    ),
]


@pytest.mark.parametrize(("change", "message"), META)
def test_metadata_against_the_schema_are_refused(folder, change, message):
    edit_meta(folder, change)
    with pytest.raises(AlphaflopsError) as error:
        Run.read(folder)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert str(error.value).isprintable()


def test_a_key_that_occurs_twice_is_refused(folder):
    edit(folder, RUN_FILE, lambda raw: raw.replace(b"{", b'{"run_id": "other",', 1))
    resum(folder)
    with pytest.raises(AlphaflopsError, match=r"run\.json cannot be read: .* a key occurs twice"):
        Run.read(folder)


def test_truncated_and_damaged_files_are_named(folder):
    original = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name, told in (
        (TABLE_FILE, r"layers\.csv: .* in row"),
        (RUN_FILE, r"run\.json cannot be read: it is not valid JSON"),
        (SAMPLES_FILE, r"samples\.npz is no zip archive"),
    ):
        edit(folder, name, lambda raw: raw[:-20])
        with pytest.raises(AlphaflopsError, match=f"{name} does not match its checksum"):
            Run.read(folder)
        resum(folder)
        with pytest.raises(AlphaflopsError, match=told):
            Run.read(folder)
        for file, content in original.items():
            (folder / file).write_bytes(content)
    edit(folder, RUN_FILE, lambda raw: b"[1, 2]")
    resum(folder)
    with pytest.raises(AlphaflopsError, match=r"run\.json holds a list: expected a JSON object"):
        Run.read(folder)


def test_samples_of_another_number_of_rows_are_refused(folder, run):
    fewer = Run(run.meta, run.table.head(5), {f"latency_{row}": np.ones(9) for row in run.table["row"].head(5)})
    (folder / SAMPLES_FILE).write_bytes(fewer.files()[SAMPLES_FILE])
    resum(folder)
    with pytest.raises(AlphaflopsError, match=f"does not give the samples of {len(run.table)} rows"):
        Run.read(folder)


def test_links_in_a_run_are_refused(folder, tmp_path):
    (folder / SAMPLES_FILE).rename(tmp_path / "elsewhere")
    (folder / SAMPLES_FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AlphaflopsError, match="is a link"):
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
    assert list(tmp_path.iterdir()) == []


def test_missing_and_unfinished_runs(tmp_path, folder):
    with pytest.raises(AlphaflopsError, match="does not exist"):
        Run.read(tmp_path / "nothing")
    (folder / RUN_FILE).unlink()
    with pytest.raises(AlphaflopsError, match="no finished run"):
        Run.read(folder)


def test_a_list_of_checksums_written_otherwise_is_told(folder):
    edit(folder, SUMS_FILE, lambda raw: raw.replace(b"\n", b"\r\n", 1))
    assert damaged(read_files(folder))
    edit(folder, SUMS_FILE, lambda raw: raw.replace(b"\r\n", b"\n").rstrip(b"\n"))
    assert damaged(read_files(folder)) == [f"{SUMS_FILE} has changed"]


@pytest.mark.parametrize("name", ["", ".a", "-a", "A", "con", "nul.txt", "a..b", "x" * 65, "é", "a/b", "a:b", "a\n"])
def test_names_that_are_no_folder_are_refused(name):
    with pytest.raises(AlphaflopsError, match="cannot be a folder"):
        check_slug(name)


@pytest.mark.parametrize(
    ("text", "name"),
    [("My GPU (2)", "my-gpu-2"), ("Größe", "gr-e"), ("漢", "run"), ("con", "con-1"), ("a" * 99, "a" * 64)],
)
def test_any_text_becomes_a_name(text, name):
    assert slug(text) == check_slug(slug(text)) == name


# --- tables of users ---


def forms(table):
    """One table as programs of many countries write it."""
    plain = table.to_csv(index=False)
    return {
        "plain.csv": plain.encode(),
        "semicolons.csv": table.to_csv(index=False, sep=";", decimal=",").encode(),
        "semicolons and points.csv": table.to_csv(index=False, sep=";").encode(),
        "tabs.csv": table.to_csv(index=False, sep="\t").encode(),
        "mark.csv": b"\xef\xbb\xbf" + plain.encode(),
        "lines.csv": plain.replace("\n", "\r\n").encode(),
        "end.csv": plain.rstrip("\n").encode(),
        "UPPER.CSV": plain.encode(),
        "spaces.csv": plain.replace(",", ", ").encode(),
        "extra.csv": table.assign(comment="=1+1", Unnamed=3).to_csv(index=True).encode(),
    }


USERS = pd.DataFrame(
    {"kind": "conv2d", "in_channels": [64, 32], "out_channels": 64, "height": 28, "width": 28, "kernel": 3}
)


@pytest.mark.parametrize("name", forms(USERS))
def test_tables_of_users_are_read(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(forms(USERS.assign(latency_ms=[0.4, 1.6]))[name])
    run = load(path)
    assert run.time_ms().tolist() == [0.4, 1.6]
    assert macs(run.table).tolist() == [28 * 28 * 64 * 64 * 9, 28 * 28 * 32 * 64 * 9]
    assert run.id == check_slug(run.id)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (
            USERS.assign(latency_ms=1.0).to_csv(index=False).encode("utf-16"),
            "is no UTF-8 text: save it again as CSV UTF-8",
        ),
        (USERS.assign(latncy_ms=1.0).to_csv(index=False).encode(), "'latency_ms' is missing: rename 'latncy_ms'"),
        (USERS.to_csv(index=False).encode(), "'latency_ms' is missing: add the time"),
        (USERS.assign(latency_ms="fast").to_csv(index=False).encode(), "latency_ms is 'fast' in row 0"),
        (USERS.assign(latency_ms=0).to_csv(index=False).encode(), "latency_ms is 0 in row 0"),
        (USERS.assign(latency_ms=[1, None]).to_csv(index=False).encode(), "latency_ms is nan in row 1"),
        (USERS.assign(latency_ms=1.0, line="a\x1b").to_csv(index=False).encode(), "line is 'a\\x1b' in row 0"),
        (
            USERS.assign(latency_ms=1.0).to_csv(index=False).replace("1.0\n", "1.0,7\n").encode(),
            "is no table of layers",
        ),
        (
            b"sep=;\n" + USERS.assign(latency_ms=1.0).to_csv(index=False, sep=";").encode(),
            "remove what stands above it",
        ),
        (USERS.assign(latency_ms=True).to_csv(index=False).encode(), "latency_ms is True in row 0: expected a number"),
        (USERS.assign(latency_ms=1.0).assign(**{"latency_ms ": 2.0}).to_csv(index=False).encode(), "occurs twice"),
        (USERS.assign(latency_ms=1.0, t=2.0).to_csv(index=False).replace(",t", ",latency_ms").encode(), "occurs twice"),
        (b"", "is no table"),
        (b"\x00\x01", "is no UTF-8 text"),
    ],
)
def test_tables_that_cannot_be_read_say_what_to_do(tmp_path, data, told):
    (tmp_path / "mine.csv").write_bytes(data)
    with pytest.raises(AlphaflopsError) as error:
        load(tmp_path / "mine.csv")
    assert told in str(error.value)
    assert "mine.csv" in str(error.value)
    assert "\n" not in str(error.value)


def test_the_table_of_a_run_is_a_table_too(run, folder, tmp_path):
    shutil.copy(folder / TABLE_FILE, tmp_path / "mine.csv")
    with pytest.raises(AlphaflopsError, match="'latency_ms' is missing"):
        load(tmp_path / "mine.csv")
    run.table.to_csv(tmp_path / "mine.csv", index=False)
    assert load(tmp_path / "mine.csv").time_ms().tolist() == run.time_ms().tolist()


def test_a_bad_run_among_the_bundled_ones_is_left_out_and_says_why(sendable, tmp_path, monkeypatch):
    home = tmp_path / "runs"
    monkeypatch.setattr(datasets, "runs_folder", lambda: home)
    assert datasets.bundled() == []
    for name in ("good-run", "other name", ".alphaflops-123", "renamed"):
        sendable.write(home / name)
    Run({**sendable.meta, "run_id": "damaged"}, sendable.table, sendable.samples).write(home / "damaged")
    sound = (home / "damaged" / TABLE_FILE).read_bytes()
    (home / "damaged" / TABLE_FILE).write_bytes(sound.replace(b"conv2d", b"dense", 1))
    (home / "[x](y)").mkdir()
    (home / "[x](y)" / RUN_FILE).write_text("{}")
    assert datasets.bundled() == ["good-run"]
    reasons = {
        "other name": "is left out: the name of the folder is no name of a run",
        "[x](y)": "is left out: the name of the folder is no name of a run",
        "renamed": "is left out: .* another name, 'good-run'",
        "damaged": "is left out: .* does not match its checksum",
        ".alphaflops-123": "is unknown",
    }
    for name, why in reasons.items():
        with pytest.raises(AlphaflopsError, match=why):
            load(name)
    (home / "damaged" / TABLE_FILE).write_bytes(sound)
    assert datasets.bundled() == ["damaged", "good-run"]
    assert "damaged" in datasets.names()


def test_a_loaded_run_is_not_changed_by_who_loaded_it_before():
    name = datasets.bundled()[0]
    table = datasets.load(name).table
    table.loc[0, "latency_ms"] = 1e9
    assert datasets.load(name).time_ms().max() < 1e9
