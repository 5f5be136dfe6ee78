"""Upstream files: right bytes only, read without trusting them, with the right meaning of each axis."""

import dataclasses
import hashlib
import pickle
from pathlib import Path

import pytest

from alphaflops import AlphaflopsError, load
from alphaflops.layers import Conv2d, Dense, from_row
from alphaflops.runs import datasets, upstream

PAPER = upstream.sources()["paper-t2000"]
NEUSIGHT = b"Latency,B,M,N,K\n0.5,2,58,13,141\n"


def pretend(monkeypatch, tmp_path, content: bytes, reader="paper"):
    """Offer a file with the right hash for its content in a mirror, and give its name."""
    path = tmp_path / "file"
    path.write_bytes(content)
    source = dataclasses.replace(
        PAPER,
        name="pretended",
        reader=reader,
        mirror_path="file",
        sha256=hashlib.sha256(content).hexdigest(),
    )
    monkeypatch.setenv(upstream.MIRROR, str(tmp_path))
    monkeypatch.setattr(datasets, "sources", lambda: {"pretended": source})
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
    assert "mean of the 5 fastest of 25" in run.meta["protocol"]["name"]


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
    monkeypatch.delenv(upstream.MIRROR)
    monkeypatch.setenv("ALPHAFLOPS_CACHE", str(tmp_path / "cache"))
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
    monkeypatch.setenv("ALPHAFLOPS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("pooch.retrieve", lambda *_args, **_keys: (_ for _ in ()).throw(ConnectionError("no route")))
    assert not datasets.available(name)
    with pytest.raises(AlphaflopsError, match="connect to the network or point ALPHAFLOPS_MIRROR"):
        load(name)


def test_unknown_names_are_refused():
    with pytest.raises(
        AlphaflopsError, match="run 'paper-t3000' is unknown: give a folder, a CSV file or one of paper"
    ):
        load("paper-t3000")


def test_registry_is_complete():
    for name, source in upstream.sources().items():
        assert source.name == name
        assert len(source.sha256) == 64
        assert source.commit in source.url
        assert source.url.startswith("https://")
        assert source.licence == "MIT"


def test_the_authors_data_are_given_where_they_can_be_had(paper, monkeypatch):
    assert datasets.authors().table.equals(paper.ok.table)
    monkeypatch.setattr(datasets, "available", lambda name: False)
    assert datasets.authors() is None


def test_every_bundled_run_is_in_the_inventory():
    told = {entry["name"]: entry for entry in datasets.inventory() if entry["origin"] == "measured"}
    assert list(told) == datasets.bundled()
    assert (told["cpu-1core"]["points"], told["cpu-1core"]["machine"]) == (721, load("cpu-1core").machine)


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


@pytest.mark.parametrize("name", [n for n in upstream.sources() if n != "paper-t2000"])
def test_every_reachable_set_loads(name):
    if not datasets.available(name):
        pytest.skip(f"{name} is neither in a mirror nor downloaded")
    run = load(name)
    assert run.id == name
    assert len(run.table) > 1000
