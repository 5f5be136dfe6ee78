"""Upstream files: right bytes only, read without trusting them, with the right meaning of each axis."""

import bz2
import dataclasses
import hashlib
import pickle
import re
from pathlib import Path

import pytest

from alphaflops import AlphaflopsError, load
from alphaflops.layers import Conv2d, Dense, from_row
from alphaflops.runs import datasets

PAPER = datasets.entries()["paper-t2000"]
NEUSIGHT = b"Latency,B,M,N,K\n0.5,2,58,13,141\n"


def pretend(monkeypatch, tmp_path, content: bytes, reader="paper", **more):
    """Offer a file with the right hash for its content in a mirror, and give its name."""
    (tmp_path / "file").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    entry = dataclasses.replace(PAPER, name="pretended", reader=reader, mirror_path="file", sha256=sha256, **more)
    monkeypatch.setenv(datasets.MIRROR, str(tmp_path))
    monkeypatch.setenv("ALPHAFLOPS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets, "registered", lambda: {"pretended": entry})
    return "pretended"


class Exploit:
    def __reduce__(self):
        return (print, ("owned",))


def test_a_pickle_that_asks_for_more_than_arrays_is_refused(monkeypatch, tmp_path, capsys):
    name = pretend(monkeypatch, tmp_path, pickle.dumps({"plots": Exploit()}))
    with pytest.raises(AlphaflopsError, match=r"asks for 'builtins\.print': only NumPy arrays"):
        load(name)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps([1, 2]), pickle.dumps({"plots": [{}]})])
def test_other_content_is_refused(monkeypatch, tmp_path, content):
    with pytest.raises(AlphaflopsError):
        load(pretend(monkeypatch, tmp_path, content))


def test_other_layers_than_the_papers_are_refused(monkeypatch, tmp_path):
    name = pretend(monkeypatch, tmp_path, pickle.dumps({"plots": []}))
    with pytest.raises(AlphaflopsError, match="'conv_fixed_progressive' is missing"):
        load(name)


@pytest.mark.parametrize("reader", ["neusight-conv", "neusight-dense"])
def test_other_tables_are_refused(monkeypatch, tmp_path, reader):
    name = pretend(monkeypatch, tmp_path, b"a,b\n1,2\n", reader)
    with pytest.raises(AlphaflopsError, match="is no NeuSight table"):
        load(name)


def test_neusight_rows(monkeypatch, tmp_path):
    head = b"Latency,B,Input_Channel,Output_Channel,Kernel_Szie,Input_Size,Stride,Padding\n"
    run = load(pretend(monkeypatch, tmp_path, head + b"2.5,38,893,326,3,5,1,1\n", "neusight-conv"))
    assert from_row(run.table.iloc[0]) == Conv2d(5, 5, 893, 326, 3, batch=38, padding=1)
    assert run.time_ms().tolist() == [2.5]
    run = load(pretend(monkeypatch, tmp_path, NEUSIGHT, "neusight-dense"))
    assert from_row(run.table.iloc[0]) == Dense(141, 13, batch=116)  # 2 · 58 rows


def test_neusight_rows_without_a_time_are_no_measurements(monkeypatch, tmp_path):
    rows = (
        b"Latency,B,M,N,K\n0.5,2,58,13,141\n,1,2,3,4\n0,1,2,3,4\nOOM,1,2,3,4\n-1,1,2,3,4\ninf,1,2,3,4\n0.25,1,2,3,4\n"
    )
    run = load(pretend(monkeypatch, tmp_path, rows, "neusight-dense"))
    assert run.table["status"].tolist() == ["ok", *["error"] * 5, "ok"]
    assert set(run.table["message"][1:6]) == {"no time in the table"}
    assert run.ok.time_ms().tolist() == [0.5, 0.25]


def test_a_wrong_hash_is_refused(monkeypatch, tmp_path):
    name = pretend(monkeypatch, tmp_path, b"right")
    (tmp_path / "file").write_bytes(b"wrong")
    with pytest.raises(AlphaflopsError, match="has sha256"):
        load(name)


def offered(monkeypatch, tmp_path, content: bytes):
    """Let the network, and nothing else, have a file whose hash should be that of `NEUSIGHT`; give its downloads."""
    name = pretend(monkeypatch, tmp_path, NEUSIGHT, "neusight-dense")
    monkeypatch.delenv(datasets.MIRROR)
    downloads = []

    def download(url, path, _pooch):
        downloads.append(url)
        Path(path).write_bytes(content)

    monkeypatch.setattr("pooch.core.choose_downloader", lambda url, **_: download)
    return name, downloads


def test_a_file_is_downloaded_once_and_kept(monkeypatch, tmp_path):
    name, downloads = offered(monkeypatch, tmp_path, NEUSIGHT)
    assert not datasets.available(name)
    first = datasets.inventory()[0]
    assert (first["points"], first["where"], downloads) == (None, "downloaded on first use", [])
    assert load(name).time_ms().tolist() == [0.5]
    assert datasets.available(name)
    assert load(name).time_ms().tolist() == [0.5]
    assert downloads == [PAPER.url]
    assert [path.read_bytes() for path in (tmp_path / "cache").iterdir()] == [NEUSIGHT]


def test_another_file_from_the_network_is_not_kept(monkeypatch, tmp_path):
    name, _ = offered(monkeypatch, tmp_path, b"a page that asks for a password")
    with pytest.raises(AlphaflopsError, match="gave a file with another sha256: not used"):
        load(name)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_file_out_of_reach_is_one_clear_error(monkeypatch, tmp_path):
    name = pretend(monkeypatch, tmp_path, b"gone")
    (tmp_path / "file").unlink()
    monkeypatch.setattr("pooch.retrieve", lambda *_args, **_keys: (_ for _ in ()).throw(ConnectionError("no route")))
    assert not datasets.available(name)
    with pytest.raises(AlphaflopsError, match="connect to the network or point ALPHAFLOPS_MIRROR"):
        load(name)


@pytest.mark.parametrize("name", ["paper-t3000", "x" * 300, "a\0b"])
def test_unknown_names_are_refused(name):
    known = "give a folder, a CSV file or one of paper"
    with pytest.raises(AlphaflopsError, match=re.escape(f"run {name!r} is unknown: {known}")):
        load(name)


def test_every_entry_says_whose_it_is_and_what_for():
    for name, entry in datasets.entries().items():
        assert entry.name == name
        assert entry.vendor in ("NVIDIA", "AMD", "CPU")
        assert entry.role in datasets.ROLES
        assert entry.protocol
        if entry.reader != datasets.OWN:
            assert len(entry.sha256) == 64
            assert entry.commit in entry.url
            assert entry.url.startswith("https://")
            assert entry.licence == "MIT"
            assert entry.peak_tflops > 0 < entry.peak_gbs


def test_formulas_are_chosen_on_eleven_sets_and_judged_on_other_machines():
    roles = {role: [e for e in datasets.entries().values() if e.role == role] for role in datasets.ROLES}
    assert len([e for e in roles["development"] if e.vendor != "CPU"]) == 9
    assert {e.vendor for e in roles["judged"]} == {"NVIDIA", "AMD"}
    assert not {e.device for e in roles["judged"]} & {e.device for e in roles["development"]}


def test_the_authors_data_are_given_where_they_can_be_had(paper, monkeypatch):
    assert datasets.authors().table.equals(paper.ok.table)
    monkeypatch.setattr(datasets, "available", lambda name: False)
    assert datasets.authors() is None


def test_every_bundled_run_is_in_the_inventory():
    told = {entry["name"]: entry for entry in datasets.inventory() if entry["origin"] == "measured"}
    assert sorted(told) == datasets.bundled()
    assert (told["cpu-1core"]["points"], told["cpu-1core"]["vendor"]) == (721, "CPU")


def test_the_authors_axes(paper):
    table = paper.table
    wide = table[table["experiment"] == "increasing_W"]
    assert (wide["width"] == wide["x"]).all()
    assert (wide["height"] == 100).all()
    batches = table[table["experiment"] == "increasing_batch"]
    assert (batches["batch"] == batches["x"]).all()
    assert (batches["height"] == 1).all()
    assert set(batches["kind"]) == {"dense"}
    # the time that the paper's table gives for the dense layer of 327.68 million FLOPs
    dense = table[(table["line"] == "dense") & (table["x"] == 12800)]
    assert dense["latency_ms"].item() == pytest.approx(6.392, abs=5e-4)


def test_the_paper_calls_some_layers_twice(paper):
    again = paper.table[paper.table.duplicated(["kind", *paper.layers.columns[1:]], keep=False)]
    groups = again.groupby(list(paper.layers.columns))["latency_ms"]
    assert groups.ngroups == 6
    assert ((groups.max() / groups.min()) - 1).max() == pytest.approx(0.064, abs=1e-3)


@pytest.mark.parametrize("name", [n for n in datasets.names() if n.startswith(("neusight", "miopen"))])
def test_every_reachable_set_loads(name):
    if not datasets.available(name):
        pytest.skip(f"{name} is neither in a mirror nor downloaded")
    run = load(name)
    assert run.id == name
    assert len(run.table) > 900


NEW = "64-56-28-1x3-32-56-28-16-0x1-1x1-1x1-0-NCHW-FP32-F=Fast:0.5,0,algorithm;Slow:1.5,0,algorithm"
OLD = "64-56-28-1x3-32-28-14-16-0x1-2x2-1x1-0-NCHW-FP32-F_g2=algo:Slow,2.5,0,algo,<unused>;algo:Fast,0.25,0,algo,none"
BACK = "32-28-14-1x3-64-56-28-16-0x1-2x2-1x1-0-NCHW-FP16-B=Fast:0.75,0,algorithm"
DROPPED = (
    "64-1-56-28-1x1x3-32-1-56-28-16-0x0x1-1x1x1-1x1x1-0-NCDHW-FP32-F=Fast:1,0,a",
    "64-56-28-1x3-32-56-28-16-0x1-1x1-1x1-0-NHWC-NHWC-NHWC-FP32-F=Fast:1,0,a",
    "64-56-28-1x3-32-55-28-16-0x1-1x1-1x1-0-NCHW-FP32-F=Fast:1,0,a",
    "64-56-28-1x3-33-56-28-16-0x1-1x1-1x1-0-NCHW-FP32-F=Fast:0,0,a;Slow:1,0,a",
    "64-56-28-1x3-34-56-28-16-0x1-1x1-1x1-0-NCHW-FP32-F=ConvDirectNaiveConvFwd:1,0,a",
)


def packed(*lines: str) -> bytes:
    return bz2.compress("".join(f"{line}\n" for line in lines).encode())


def test_lines_of_a_find_db_become_layers(monkeypatch, tmp_path):
    name = pretend(monkeypatch, tmp_path, packed(NEW, *DROPPED, OLD, BACK), "miopen")
    run = load(name)
    assert [from_row(row) for _, row in run.table.iterrows()] == [
        Conv2d(56, 28, 64, 32, (1, 3), batch=16, padding=(0, 1)),
        Conv2d(56, 28, 64, 32, (1, 3), batch=16, padding=(0, 1), stride=2, groups=2),
    ]
    assert run.time_ms().tolist() == [0.5, 0.25]  # the fastest solver
    told = run.meta["source"]
    assert (told["lines"], list(told["dropped"].values())) == (7, [2, 1, 1, 1])
    back = load(f"{name}:fp16:backward-data")
    assert from_row(back.table.iloc[0]) == Conv2d(56, 28, 64, 32, (1, 3), 16, 2, (0, 1), dtype_bytes=2)
    assert (back.id, back.meta["source"]["direction"]) == ("pretended:fp16:backward-data", "backward-data")
    with pytest.raises(AlphaflopsError, match="no variant 'int8': choose from fp32, fp16, forward"):
        load(f"{name}:int8")
    with pytest.raises(AlphaflopsError, match="no layer of fp16, forward"):
        load(f"{name}:fp16")


def test_a_find_db_is_parsed_once(monkeypatch, tmp_path):
    name = pretend(monkeypatch, tmp_path, packed(NEW, BACK), "miopen")
    first = load(name)
    monkeypatch.setattr("bz2.BZ2Decompressor", None)
    assert load(name).table.equals(first.table)
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_bytes(kept.read_bytes()[:100])  # a damaged table is read anew
    monkeypatch.undo()
    assert load(pretend(monkeypatch, tmp_path, packed(NEW, BACK), "miopen")).table.equals(first.table)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("no layer at all", "'no layer at all' is no layer"),
        (NEW.replace("NCHW", "CHWN"), "layout 'CHWN' is unknown"),
        (NEW.replace("64-56", "-64-56"), "are not C-H-W"),
        (NEW.replace("16-0x1", "-16-0x1"), "are not C-H-W"),
        (NEW.replace("1x3", "3"), "are not C-H-W"),
        (NEW.replace("64-56", "0-56"), "are no layer"),
        (OLD.replace("_g2", "_g3"), "in 3 groups are no layer"),
        (NEW.replace("Slow:1.5", "Slow:"), "solver 'Slow' has no time"),
        (NEW.replace("1.5", "-1.5"), "solver 'Slow' has no time"),
        (NEW.replace("1.5", "nan"), "solver 'Slow' has no time"),
        (OLD.replace("Fast,0.25,", "Fast,,"), "solver 'Fast' has no time"),
        (NEW.split("=")[0], "solver '' has no time"),
        (NEW.replace("64-56", f"{2**40}-56"), "are no layer"),
    ],
)
def test_bad_lines_are_told_by_number(monkeypatch, tmp_path, line, told):
    with pytest.raises(AlphaflopsError, match=rf"file, line 2: .*{told}"):
        load(pretend(monkeypatch, tmp_path, packed(NEW, line), "miopen"))


def test_a_truncated_or_endless_find_db_is_refused(monkeypatch, tmp_path):
    whole = packed(*[NEW] * 50)
    for content, told in ((whole[:-8], "is truncated"), (b"plain text", "is no find-db"), (packed(), "no line")):
        with pytest.raises(AlphaflopsError, match=told):
            load(pretend(monkeypatch, tmp_path, content, "miopen"))
    monkeypatch.setattr("alphaflops.runs.miopen.LARGEST", 1000)
    with pytest.raises(AlphaflopsError, match="unpacks to more than"):
        load(pretend(monkeypatch, tmp_path, whole, "miopen"))


@pytest.mark.parametrize(
    ("name", "kept"),
    [("miopen-mi210", 19269), ("miopen-mi100", 19195), ("miopen-vega64", 7527), ("miopen-rx6800xt", 18161)],
)
def test_known_counts_of_the_find_db(name, kept):
    if not datasets.available(name):
        pytest.skip(f"{name} is neither in a mirror nor downloaded")
    run = load(name)
    assert len(run.ok.table) == kept
    assert kept + sum(run.meta["source"]["dropped"].values()) == run.meta["source"]["lines"]


def test_a_file_of_several_devices_gives_the_rows_of_one(monkeypatch, tmp_path):
    rows = b"Latency,Device,B,M,N,K\n0.5,one,2,58,13,141\n0.7,two,1,2,3,4\n0.9,two,1,-2,3,4\n"
    run = load(pretend(monkeypatch, tmp_path, rows, "neusight-dense", where={"Device": "one"}))
    assert run.time_ms().tolist() == [0.5]
    with pytest.raises(AlphaflopsError, match="line 4: M is '-2': expected an integer from 1 up"):
        load(pretend(monkeypatch, tmp_path, rows, "neusight-dense", where={"Device": "two"}))
    with pytest.raises(AlphaflopsError, match="no row of three"):
        load(pretend(monkeypatch, tmp_path, rows, "neusight-dense", where={"Device": "three"}))
