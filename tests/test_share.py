"""Runs on their way to others and back: nothing private out, nothing unsafe in, whole or absent whatever happens."""

import json
import os
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from alphaflops import experiments, files, share
from alphaflops.errors import AlphaflopsError
from alphaflops.layers import macs
from alphaflops.runs import RUN_FILE, SIZES, SUMS_FILE, TABLE_FILE, Run, datasets, derive
from alphaflops.share.plausibility import peak_flops


@pytest.fixture
def good(sendable):
    return sendable


@pytest.fixture
def packed(good, tmp_path):
    """The plausible run, written and packed."""
    return share.pack_run(good.write(tmp_path / "good"), tmp_path / "good.zip")


def zipped(run, path):
    """An archive as a stranger could make it: the files of a run, whatever it says."""
    path.write_bytes(files.pack_zip(run.files()))
    return path


def rezipped(path, change, out, resum=True):
    """Copy an archive, its files changed by a function of their dict, most often with checksums that fit."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    change(content)
    if resum and SUMS_FILE in content:
        sums = "".join(f"{files.sha256(data)}  {name}\n" for name, data in content.items() if name != SUMS_FILE)
        content[SUMS_FILE] = sums.encode()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return out


def with_meta(run, **changes):
    return Run({**run.meta, **changes}, run.table, run.samples)


def scaled(run, factor):
    """The run with its samples multiplied, by a number or a number for each row of the table."""
    factors = np.broadcast_to(factor, len(run.table))
    by_row = {int(row): value for row, value in zip(run.table["row"], factors, strict=True)}
    samples = {name: values * by_row[int(name.rpartition("_")[2])] for name, values in run.samples.items()}
    return Run(run.meta, run.table, samples)


def test_a_run_goes_out_and_comes_back(good, packed, tmp_path):
    found = share.import_run(packed, into=tmp_path / "runs")
    assert found == tmp_path / "runs" / "good-run"
    back = Run.read(found)
    assert back.sha256 == good.sha256
    assert back.time_ms().tolist() == pytest.approx(good.time_ms().tolist())
    assert back.meta["imported"] == {"sha256": files.sha256(packed), "run_id": "good-run", "implausible": []}
    assert os.listdir(tmp_path / "runs") == ["good-run"]


def test_the_same_run_gives_the_same_archive_whoever_packs_it(packed, tmp_path, monkeypatch):
    # a user called nvidia, amd, conv or increasing changes nothing
    for user in ("nvidia", "amd", "conv", "increasing", "epyc"):
        for key in ("USER", "LOGNAME", "USERNAME", "SUDO_USER", "HOSTNAME"):
            monkeypatch.setenv(key, user)
        monkeypatch.setenv("HOME", f"/home/{user}")
        again = share.pack_run(tmp_path / "good", tmp_path / f"{user}.zip")
        assert again.read_bytes() == packed.read_bytes()


def test_bundled_runs_can_be_sent_and_received(tmp_path):
    for name in datasets.bundled():
        path = share.pack_run(datasets.runs_folder() / name, tmp_path / f"{name}.zip")
        assert share.verify_archive(path).endswith("plausible")
        taken = Run.read(share.import_run(path, f"copy-of-{name}", into=tmp_path / "runs"))
        assert taken.sha256 == datasets.load(name).sha256
        assert taken.meta["imported"]["implausible"] == []


PRIVATE = {
    "user": "zebediah",
    "host": "quuxbox.lab.example",
    "mail": "zeb@quux.example",
    "path": "/srv/lab/zeb/torch/lib.py",
    "home": "~alice/x",
    "spaces": "/home/zeb ediah/my data/x",
    "windows": r"D:\lab\zeb\torch",
    "address": "10.17.33.201",
}


def test_nothing_private_leaves(good, tmp_path):
    words = " ".join(PRIVATE.values())
    table = good.table.assign(message="", throttle="")
    table.loc[0, ["message", "throttle"]] = words
    table["line"] = table["line"].mask(table.index == 1, words)
    table["experiment"] = table["experiment"].mask(table.index == 2, words)
    table["figure"] = table["figure"].mask(table.index == 2, words)
    meta = dict(good.meta)
    meta["title"] = words
    meta["software"] = good.meta["software"] | {"system": "Linux 6.1.0-zebediah-quuxbox", "zebediah": "quuxbox"}
    meta["protocol"] = good.meta["protocol"] | {"zebediah": words}
    different = {
        "software.zebediah": ["quuxbox", words[:60]],
        "zebediah": ["quuxbox", 1],
        "software.torch": ["1.0", "2.0"],
    }
    meta["resumed"] = [{"started": good.meta["started"], "different": different}]
    run = Run(meta, table, good.samples)
    assert Run.read(run.write(tmp_path / "run")).meta["title"] == words
    path = share.pack_run(tmp_path / "run", tmp_path / "run.zip")
    with zipfile.ZipFile(path) as archive:
        content = b"\n".join(archive.read(name) for name in archive.namelist()).decode("latin-1").lower()
    for word in (*PRIVATE.values(), "zebediah", "quux"):
        assert word.lower() not in content
        assert json.dumps(word)[1:-1].lower() not in content
    sent = share.read_archive(path)
    assert sent.meta["title"] == "EPYC, 2 threads"
    assert sent.meta["software"]["system"] == "Linux 6.1.0"
    assert sent.meta["resumed"][0]["different"] == {"software.torch": ["1.0", "2.0"]}
    assert sent.table["experiment"].tolist()[:3] == [good.table["experiment"][0], derive.OTHER, derive.OTHER]
    assert sent.time_ms().tolist() == pytest.approx(run.time_ms().tolist())


def test_layers_of_a_users_own_travel_without_their_labels(make_run, good, tmp_path):
    own = good.layers.head(4).assign(row=range(4), experiment="my secret net", line="layer1.conv", x=[1, 2, 3, 4])
    run = make_run(own, **{key: value for key, value in good.meta.items() if key != "format_version"})
    path = share.pack_run(run.write(tmp_path / "r"), tmp_path / "r.zip")
    found = Run.read(share.import_run(path, into=tmp_path / "runs"))
    assert set(found.table["experiment"]) == {derive.OTHER}
    assert set(found.table["line"]) == {""}
    assert found.layers.equals(run.layers)


def test_only_the_files_of_the_run_are_packed(good, tmp_path):
    folder = good.write(tmp_path / "run")
    for name in ("notes.txt", ".env", "journal.jsonl", "run.json.bak"):
        (folder / name).write_text("secret")
    path = share.pack_run(folder, tmp_path / "run.zip")
    with zipfile.ZipFile(path) as archive:
        assert sorted(archive.namelist()) == sorted(good.files())


def test_an_archive_is_not_overwritten_and_may_be_a_device(packed, tmp_path, monkeypatch):
    before = packed.read_bytes()
    with pytest.raises(AlphaflopsError, match="exists already"):
        share.pack_run(tmp_path / "good", packed)
    assert packed.read_bytes() == before
    with pytest.raises(AlphaflopsError, match="No space left"):
        share.pack_run(tmp_path / "good", "/dev/full")
    with pytest.raises(AlphaflopsError, match="File name too long"):
        share.pack_run(tmp_path / "good", tmp_path / ("x" * 256))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AlphaflopsError, match="cannot be a folder"):
        share.pack_run(tmp_path / "good", None, "Über")


def refuse(archive, tmp_path, match, **options):
    """Import must fail with one printable line, leaving nothing behind."""
    runs = tmp_path / "runs"
    with pytest.raises(AlphaflopsError, match=match) as caught:
        share.import_run(archive, into=runs, **options)
    assert str(caught.value).isprintable()
    assert not runs.exists() or not any(runs.iterdir())


@pytest.mark.parametrize("name", ["../evil", "operators.json"])
def test_unexpected_files_are_refused(packed, tmp_path, name):
    evil = rezipped(packed, lambda content: content.update({name: b"x"}), tmp_path / "in.zip")
    refuse(evil, tmp_path, "announces 5 files")
    evil = rezipped(packed, lambda content: content.update({name: content.pop(TABLE_FILE)}), tmp_path / "in.zip")
    refuse(evil, tmp_path, "is not among the files expected")


def test_a_changed_byte_is_refused(packed, tmp_path):
    def change(content):
        content[TABLE_FILE] = content[TABLE_FILE].replace(b"conv2d", b"dense", 1)

    refuse(rezipped(packed, change, tmp_path / "in.zip", resum=False), tmp_path, "layers.csv does not match")


def test_missing_files_and_other_files_are_refused(packed, tmp_path):
    for name, told in (
        (SUMS_FILE, "SHA256SUMS is missing"),
        (RUN_FILE, "holds no run"),
        ("samples.npz", "has no samples"),
    ):
        refuse(rezipped(packed, lambda content, name=name: content.pop(name), tmp_path / "a.zip"), tmp_path, told)
    refuse(tmp_path / "none.zip", tmp_path, "cannot be read: No such file")
    refuse(tmp_path, tmp_path, "cannot be read: .*irectory")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        refuse(tmp_path / "pipe", tmp_path, "no plain file")


TEXTS = [
    ("machine", "name", "EPYC [9](../../../../proc/self/environ)"),
    ("machine", "name", "{download}`/etc/passwd`"),
    ("machine", "name", "a<script>alert(1)</script>"),
    ("machine", "name", "a\nb"),
    ("machine", "name", "a|b"),
    ("machine", "name", r"$\href{x}{y}$"),
    ("machine", "name", "\x1b[2J"),
    ("machine", "name", "漢字"),
    ("software", "torch", "<b>2.9</b>"),
    ("software", "torch", "2.9 [/x]"),
    ("software", "python", "{{7*7}}"),
    ("software", "blas", "`id`"),
]


@pytest.mark.parametrize(("part", "key", "text"), TEXTS)
def test_text_that_could_bite_is_refused(packed, tmp_path, part, key, text):
    def change(content):
        meta = json.loads(content[RUN_FILE])
        meta[part][key] = text
        content[RUN_FILE] = json.dumps(meta).encode()

    refuse(rezipped(packed, change, tmp_path / "in.zip"), tmp_path, f"{part}.{key} is")


def test_a_strangers_free_text_is_not_taken_in(good, tmp_path):
    evil = "[x](../../proc/self/environ) <script>alert(1)</script> =cmd()"
    table = good.table.assign(message=evil, line=evil)
    archive = zipped(Run({**good.meta, "title": evil}, table, good.samples), tmp_path / "in.zip")
    found = share.import_run(archive, into=tmp_path / "runs")
    content = b"".join(path.read_bytes() for path in found.iterdir())
    for word in (b"script", b"proc", b"cmd"):
        assert word not in content


def test_a_run_needs_what_its_checks_need(good, tmp_path):
    for key in ("started", "finished", "seconds", "software", "sentinel"):
        meta = {name: value for name, value in good.meta.items() if name != key}
        refuse(zipped(Run(meta, good.table, good.samples), tmp_path / "in.zip"), tmp_path, f"in.zip: {key} is missing")
    for changes, told in (
        ({"origin": "file"}, "only measured runs"),
        ({"device": "unknown"}, "only measured runs"),
        ({"protocol": {"name": "trust me"}}, "protocol.name is 'trust me': expected adaptive, per-call or pipelined"),
    ):
        refuse(zipped(with_meta(good, **changes), tmp_path / "in.zip"), tmp_path, told)


def test_taken_names_are_refused(packed, tmp_path):
    share.import_run(packed, into=tmp_path / "runs")
    for name in (None, "paper-t2000"):
        with pytest.raises(AlphaflopsError, match="exists already"):
            share.import_run(packed, name, into=tmp_path / "runs")
    for name in ("../up", ""):
        with pytest.raises(AlphaflopsError, match="cannot be a folder"):
            share.import_run(packed, name, into=tmp_path / "runs")
    other = share.import_run(packed, "second", into=tmp_path / "runs")
    assert Run.read(other).id == "second"
    assert Run.read(other).meta["imported"]["run_id"] == "good-run"


def _shuffled(run):
    """Times that fall as the work grows."""
    wanted = np.arange(len(run.table), 0, -1)[np.argsort(np.argsort(macs(run.table)))]
    return scaled(run, wanted / run.time_ms().to_numpy())


def _throughput(run, factor):
    """The run with blocks too, of one call each, that take `factor` times its latencies."""
    blocks = scaled(run, factor).samples.items()
    return Run(
        run.meta, run.table, {**run.samples, **{name.replace("latency", "throughput"): ms for name, ms in blocks}}
    )


def _beyond(run):
    """Factors that bring each layer to 10 times the FLOP/s of two cores, but not under 0.2 µs."""
    return np.maximum(2 * macs(run.table) / (4 * 7e9 * 128 * 2 * 10 / 1e3), 2e-4) / run.time_ms().to_numpy()


def _curve(run, change):
    return with_meta(run, sentinel={"curve_s_ms": [change(s, ms) for s, ms in run.meta["sentinel"]["curve_s_ms"]]})


def _failed(run):
    kept = run.table["row"].head(3)
    table = run.table.assign(status=np.where(run.table["row"].isin(kept), "ok", "error"))
    return Run(run.meta, table, {f"latency_{row}": run.samples[f"latency_{row}"] for row in kept})


def _spread(run):
    return {name: values * np.linspace(0.5, 1.5, len(values)) for name, values in run.samples.items()}


IMPLAUSIBLE = {
    "beyond the machine": (lambda r: scaled(r, 1e-5), "FLOP/s|latency_ms is"),
    "throughput beyond the machine": (lambda r: _throughput(r, _beyond(r)), "FLOP/s by its throughput"),
    "too short": (lambda r: scaled(r, 5e-5 / r.time_ms()), "not between"),
    "too long": (lambda r: scaled(with_meta(r, seconds=2e7, finished="2026-12-31T00:00:00+00:00"), 1e6), "not between"),
    "shuffled": (_shuffled, "does not grow"),
    "unmeasured": (_failed, "were measured"),
    "unconverged": (lambda r: Run(r.meta, r.table, _spread(r)), "converged"),
    "without sentinel": (lambda r: with_meta(r, sentinel={"curve_s_ms": []}), "no sentinel"),
    "drifted": (lambda r: _curve(r, lambda s, ms: [s, ms * (1 + s / 50)]), "moved by 0"),
    "rising 30-fold": (lambda r: _curve(r, lambda s, ms: [s, ms * 30 ** (s / 22)]), "moved by"),
    "unsteady": (lambda r: _curve(r, lambda s, ms: [s, ms * (1 + 3 * (s % 4 > 1))]), "varied by"),
    "sentinel backwards": (lambda r: _curve(r, lambda s, ms: [100 - s, ms]), "not in order"),
    "sentinel after the end": (lambda r: _curve(r, lambda s, ms: [s + 1000, ms]), "within the run"),
    "samples longer than the run": (lambda r: scaled(with_meta(r, seconds=30.0), 10), "the samples take"),
    "run longer than its dates": (lambda r: with_meta(r, seconds=1e6), "longer than from"),
    "blocks longer than the run": (
        lambda r: Run(r.meta, r.table.assign(block_calls=10**6), _throughput(r, 1).samples),
        "the samples take",
    ),
}


@pytest.mark.parametrize("name", IMPLAUSIBLE)
def test_implausible_runs_are_refused_or_recorded(good, tmp_path, name):
    change, match = IMPLAUSIBLE[name]
    path = zipped(change(good), tmp_path / "in.zip")
    refuse(path, tmp_path, f"is implausible: .*({match})")
    assert "implausible: " in share.verify_archive(path)
    found = share.import_run(path, allow_implausible=True, into=tmp_path / "runs")
    assert Run.read(found).meta["imported"]["implausible"] == share.problems(share.read_archive(path)) != []


def test_one_core_cannot_do_what_a_hundred_can(good):
    # 6 FLOP/cycle short of the bound of one core: 7e9 Hz × 128 FLOP, times 4 for kernels of several taps
    cpu = {"name": "EPYC", "architecture": "x86_64", "cores": 100}
    work = 2 * macs(good.table)
    fast = np.where(good.table["k1"] * good.table["k2"] > 1, 4, 1) * 7e9 * 128 * 50 / 1e3
    run = scaled(good, np.maximum(work / fast, 1e-3) / good.time_ms().to_numpy())
    many = with_meta(run, machine={"name": "m", "cpu": cpu, "threads": 100})
    one = with_meta(run, machine={"name": "m", "cpu": cpu, "threads": 1})
    assert not [told for told in share.problems(many) if "FLOP/s" in told]
    assert [told for told in share.problems(one) if "FLOP/s" in told]


@pytest.mark.parametrize(
    ("device", "told", "width", "bound"),
    [
        ("cpu", {"threads": 2, "cpu": {"cores": 8, "architecture": "x86_64"}}, 4, 2 * 7e9 * 128),
        ("cpu", {"threads": 64, "cpu": {"cores": 8, "architecture": "x86_64"}}, 4, 8 * 7e9 * 128),
        ("cpu", {"threads": 1, "cpu": {"cores": 8, "architecture": "x86_64"}}, 2, 7e9 * 4096),
        ("cpu", {"threads": 1, "cpu": {"cores": 8, "architecture": "arm64"}}, 4, 7e9 * 8192),
        ("cpu", {"threads": None, "cpu": None}, 4, 1024 * 7e9 * 8192),
        ("cuda", {"gpu": {"multiprocessors": 132, "sm_clock_max_mhz": 1980}}, 4, 132 * 1.98e9 * 8192),
        ("cuda", {"gpu": {"multiprocessors": 10**6, "sm_clock_max_mhz": 1e9}}, 2, 512 * 4e9 * 16384),
        ("mps", {"gpu": None}, 1, 512 * 4e9 * 32768),
    ],
)
def test_what_a_machine_cannot_exceed_by_hand(device, told, width, bound):
    assert peak_flops({"device": device, "machine": told}, width) == pytest.approx(bound)


def test_bytes_that_no_memory_moves_are_told(make_run, good):
    # 12800² weights, 655 MB, in 0.1 ms: 6.6e12 bytes per second, beyond two cores' 4e12
    grid = experiments.grid("paper")
    dense = grid[(grid["line"] == "dense") & (grid["x"] == 12800)].reset_index(drop=True)
    meta = {key: value for key, value in good.meta.items() if key != "format_version"}
    run = make_run(dense, lambda table: [0.1], **meta)
    assert [told for told in share.problems(run) if "bytes" in told] == [
        "row 0 moves 6.6e+12 bytes per second by its latency, beyond 4e+12 of any such memory"
    ]
    assert not [told for told in share.problems(make_run(dense, lambda table: [0.2], **meta)) if "bytes" in told]


def test_a_plausible_run_has_no_problems(good):
    assert share.problems(good) == []


def test_what_could_not_be_read_again_is_not_written(good, tmp_path, monkeypatch):
    short = json.dumps(good.meta, separators=(",", ":")).encode()
    content = {name: data for name, data in good.files().items() if name != "SHA256SUMS"} | {"run.json": short}
    sums = "".join(f"{files.sha256(data)}  {name}\n" for name, data in content.items())
    (tmp_path / "long.zip").write_bytes(files.pack_zip({**content, "SHA256SUMS": sums.encode()}))
    monkeypatch.setitem(SIZES, "run.json", len(short))
    with pytest.raises(AlphaflopsError, match=r"run\.json has \d+ bytes"):
        share.import_run(tmp_path / "long.zip", allow_implausible=True, into=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_what_the_book_could_not_show_is_told_before_the_run_is_taken_in(packed, tmp_path):
    def trial(run):
        raise KeyError(f"no chapter\nknows {run.id}")

    refuse(packed, tmp_path, r"the book cannot show it \(KeyError: .*no chapter.*knows good-run", trial=trial)
    found = share.import_run(packed, into=tmp_path / "runs", trial=share.try_chapters)
    assert found.name == "good-run"


def test_a_chapter_that_fails_on_a_run_keeps_it_out(packed, tmp_path, monkeypatch):
    def fails(*_args):
        raise ZeroDivisionError("no layer of that size")

    monkeypatch.setattr("alphaflops.chapters.judged.verdicts", fails)
    refuse(packed, tmp_path, "cannot show it .ZeroDivisionError: no layer of that size", trial=share.try_chapters)


def test_the_folder_of_runs_must_be_writable_and_readable(packed, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for home in (tmp_path / "file" / "runs", tmp_path / "file"):
        with pytest.raises(AlphaflopsError, match="cannot be"):
            share.import_run(packed, into=home)
    monkeypatch.setattr("os.fsync", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(AlphaflopsError, match="No space left on device"):
        share.import_run(packed, into=tmp_path / "runs")
    assert os.listdir(tmp_path / "runs") == []


def test_imports_at_the_same_time_give_one_whole_run(packed, tmp_path):
    outcomes = []

    def take():
        try:
            outcomes.append(share.import_run(packed, into=tmp_path / "runs"))
        except AlphaflopsError as error:
            outcomes.append(str(error))

    takers = [threading.Thread(target=take) for _ in range(4)]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join()
    assert sorted(isinstance(outcome, Path) for outcome in outcomes) == [False] * 3 + [True]
    assert all("exists already" in outcome for outcome in outcomes if isinstance(outcome, str))
    assert os.listdir(tmp_path / "runs") == ["good-run"]
    assert Run.read(tmp_path / "runs" / "good-run").id == "good-run"


def test_commands(command, refused, good, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = good.write(tmp_path / "good")
    assert command("pack", "--run", folder).out.startswith("good-run.zip: ")
    assert "every byte as written, plausible" in command("verify", "good-run.zip").out
    assert "good-run" in command("import", "good-run.zip", "--into", tmp_path / "runs").out
    assert "exists already" in refused("import", "good-run.zip", "--into", tmp_path / "runs")


STRANGEST = "https://evil.example/(a) @_x_ %s: ;+=-- (r) www.evil.example"


def test_what_the_chapters_say_of_the_strangest_run_is_text(good, tmp_path):
    from markdown_it import MarkdownIt

    from alphaflops.chapters import judged, tables

    machine = {**good.meta["machine"], "name": STRANGEST, "cpu": {**good.meta["machine"]["cpu"], "name": STRANGEST}}
    software = {
        "python": "3.1.1+_-..",
        "torch": "2.9.0+_._",
        "blas": "a.b_c +-",
        "environment": {"KMP_AFFINITY": "a,b:=_"},
    }
    archive = zipped(with_meta(good, machine=machine, software=software), tmp_path / "in.zip")
    run = Run.read(share.import_run(archive, into=tmp_path / "runs", trial=share.try_chapters))
    pages = [tables.table(judged.cards([run])), tables.loaded([run]), tables.table(judged.quality([run]))]
    for page in pages:
        text = str(page.data)
        tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(text)
        kinds = {child.type for token in tokens for child in token.children or ()}
        assert kinds <= {"text", "text_special", "code_inline", "softbreak"}, kinds
        assert "://" not in text
    cells = [token.content for token in MarkdownIt("commonmark").enable("table").parse(str(pages[0].data))]
    assert any("evil" in cell for cell in cells)


def test_names_of_files_send_no_codes_to_a_terminal(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = command("import", "\x1b[31mx\u202e.zip")
    assert told.code == 2
    assert told.err == "error: \\x1b[31mx\\u202e.zip cannot be read: No such file or directory\n"
