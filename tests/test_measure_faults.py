"""Runs survive what happens to long runs: kills, full disks, damaged files, second writers, bad clocks."""

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from fake_device import BackwardsClock, FakeDevice
from filelock import FileLock

from alphaflops import experiments
from alphaflops import measuring as measure
from alphaflops.errors import AlphaflopsError
from alphaflops.measuring import journal, session
from alphaflops.measuring.record import check_same
from alphaflops.runs import Run

HERE = Path(__file__).parent
FILES = ["SHA256SUMS", "layers.csv", "run.json", "samples.npz"]
NO_ROWS = journal.Header(journal.VERSION, {}, {}, [])
GRID = experiments.grid("smoke").iloc[:8]
OPTIONS = measure.Options(device="cpu", threads=1, profile="smoke", seed=3)


class Stopping(FakeDevice):
    """Raises an exception while it prepares its `nth` layer."""

    def __init__(self, nth, error=KeyboardInterrupt):
        super().__init__()
        self.nth, self.error = nth, error

    def prepare(self, layer):
        if len(self.prepared) == self.nth:
            raise self.error
        return super().prepare(layer)


def unfinished(folder, rows=4):
    """Leave a run in `folder` with its first few rows."""
    warm = FakeDevice()
    session.run(GRID.iloc[:1], folder.with_name("probe"), OPTIONS, device=warm)
    before_first_row = len(warm.prepared) - 2  # the row itself and the last sentinel
    with pytest.raises(measure.Interrupted, match=f"stopped after {rows} of 8 layers.*--resume"):
        session.run(GRID, folder, OPTIONS, device=Stopping(before_first_row + rows))
    return journal.read(folder)


@pytest.fixture
def memory_folder(tmp_path):
    """A folder in memory where there is one: a kill leaves the same bytes there, and waiting for a disk is saved."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def killed(folder, trials):
    """What `killed_runs.py` found in so many trials."""
    done = subprocess.run(
        [sys.executable, str(HERE / "killed_runs.py"), str(folder), str(trials)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parent}", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fifty_kills_lose_and_repeat_nothing(memory_folder):
    found = killed(memory_folder, 50)
    rows, order = found["whole"]
    assert len(found["trials"]) == 50
    for trial in found["trials"]:
        assert trial["rows"] == rows
        assert trial["order"] == order
        assert trial["kept_same"]
        assert trial["problems"] == []
        assert trial["files"] == FILES
    assert len({trial["kept"] for trial in found["trials"]}) > 10  # the kills did hit many moments


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_kill_at_any_write_leaves_nothing_half_written_that_is_taken_for_whole(memory_folder):
    new, more = killed(memory_folder, 0)
    assert len(new) > 30
    assert len(more) > 30
    for trial in (*new, *more):
        assert trial["read"] in ((None, 2) if trial["there"] == 0 else (None, 1, 2))  # what was there before, or all
        assert trial["state"] != "finished" or trial["read"] is not None
        assert not trial["whole"] or trial["read"] is not None
        assert trial["rows"] == GRID["row"].head(2).tolist()
        assert trial["files"] == FILES
    assert any(trial["read"] is None for trial in more)
    assert any(trial["read"] == 1 for trial in more)  # readable as it was while rows are added


def test_interrupted_run_resumes_in_the_same_order(tmp_path):
    whole = session.run(GRID, tmp_path / "whole", OPTIONS, device=FakeDevice())
    kept = unfinished(tmp_path / "run")
    run = session.resume(tmp_path / "run", device=FakeDevice(seed=9))
    assert run.table[["row", "order"]].equals(whole.table[["row", "order"]])
    for entry in kept.entries:
        if entry.type == "row":
            assert run.samples[f"latency_{entry.row}"] == pytest.approx(np.array(entry.latency_ns) / 1e6)
    assert len(run.meta["resumed"]) == 1
    assert run.meta["resumed"][0]["different"] == {}


def test_a_run_stopped_behind_its_last_row_still_gets_its_end(tmp_path):
    unfinished(tmp_path / "run", rows=8)
    run = session.resume(tmp_path / "run", device=FakeDevice())
    assert run.meta["finished"] >= run.meta["started"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs signals of Unix")
def test_a_terminated_run_can_be_resumed(tmp_path):
    class Terminated(FakeDevice):
        def prepare(self, layer):
            if len(self.prepared) == 5:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().prepare(layer)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(measure.Interrupted, match=r"stopped after \d of 8 layers"):
        session.run(GRID, tmp_path / "run", OPTIONS, device=Terminated())
    assert signal.getsignal(signal.SIGTERM) is before
    assert len(session.resume(tmp_path / "run", device=FakeDevice()).table) == 8


@pytest.mark.parametrize("changes", [{"title": "new"}, {"run_id": "new"}])
def test_what_only_a_new_run_can_take_is_refused(tmp_path, changes):
    unfinished(tmp_path / "run")
    with pytest.raises(AlphaflopsError, match=f"{next(iter(changes))} cannot change in a run that is there"):
        session.resume(tmp_path / "run", changes, device=FakeDevice())


def test_resume_of_nothing(tmp_path):
    with pytest.raises(AlphaflopsError, match="no unfinished run"):
        session.resume(tmp_path)
    session.run(GRID, tmp_path / "run", OPTIONS, device=FakeDevice())
    with pytest.raises(AlphaflopsError, match="no unfinished run"):
        session.resume(tmp_path / "run")


def test_nothing_is_measured_in_a_deleted_working_directory(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for call in (lambda: measure.measure(experiments.grid("smoke"), out=tmp_path / "r"), lambda: measure.resume("r")):
        with pytest.raises(AlphaflopsError, match="the working directory was deleted"):
            call()
    assert not (tmp_path / "r").exists()


def test_torn_last_line_is_measured_again(tmp_path):
    folder = tmp_path / "run"
    unfinished(folder)
    path = folder / journal.JOURNAL_FILE
    path.write_bytes(path.read_bytes()[:-40])
    assert journal.read(folder).torn
    assert "cut short" in measure.verify(folder).problems[0]
    run = session.resume(folder, device=FakeDevice())
    assert sorted(run.table["row"]) == sorted(GRID["row"])


def test_damaged_middle_is_refused(tmp_path):
    folder = tmp_path / "run"
    unfinished(folder)
    path = folder / journal.JOURNAL_FILE
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(AlphaflopsError, match=r"journal\.jsonl is damaged in line \d+"):
        session.resume(folder, device=FakeDevice())
    assert path.read_bytes() == raw


@pytest.mark.parametrize("state", ["finished", "unfinished"])
def test_verify_finds_any_changed_byte(tmp_path, state):
    folder = tmp_path / "run"
    if state == "finished":
        session.run(GRID, folder, OPTIONS, device=FakeDevice())
    else:
        unfinished(folder)
    found = measure.verify(folder)
    assert (found.state, found.problems) == (state, ())
    assert found.rows == (8 if state == "finished" else 4)
    rng = np.random.default_rng(0)
    for path in sorted(folder.iterdir()):
        raw = path.read_bytes()
        for place in rng.integers(len(raw), size=60) if raw else []:
            changed = bytearray(raw)
            changed[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(changed)
            problems = measure.verify(folder).problems
            assert problems
            # a digest changed in SHA256SUMS and a changed file look the same: the file of that digest is named
            assert path.name == "SHA256SUMS" or path.name in " ".join(problems)
        path.write_bytes(raw)


def test_verify_names_a_missing_file_and_an_empty_folder(tmp_path):
    folder = tmp_path / "run"
    session.run(GRID, folder, OPTIONS, device=FakeDevice())
    (folder / "layers.csv").unlink()
    assert "layers.csv" in measure.verify(folder).problems[0]
    for nothing in (tmp_path / "none", tmp_path):
        with pytest.raises(AlphaflopsError, match="holds no run"):
            measure.verify(nothing)


def test_full_disk_is_one_error_and_nothing_lost(tmp_path, monkeypatch):
    folder, real, written = tmp_path / "run", os.write, []

    def write(file, data):
        written.append(len(data))
        if len(written) == 6:
            real(file, data[: len(data) // 2])  # a part still fits
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(file, data)

    monkeypatch.setattr(journal.os, "write", write)
    with pytest.raises(AlphaflopsError, match=r"No space left on device; the rows so far are intact.*--resume"):
        session.run(GRID, folder, OPTIONS, device=FakeDevice())
    monkeypatch.undo()
    assert not journal.read(folder).torn
    assert measure.verify(folder).problems == ()
    assert sorted(session.resume(folder, device=FakeDevice()).table["row"]) == sorted(GRID["row"])


def test_a_folder_that_is_deleted_or_replaced_meanwhile_is_noticed_at_the_next_row(tmp_path):
    folder = tmp_path / "run"

    class Deleting(FakeDevice):
        deleted_at = 0

        def prepare(self, layer):
            if not self.deleted_at and len(journal.read(folder).done) == 2:
                self.deleted_at = len(self.prepared)
                shutil.rmtree(folder)
                folder.mkdir()
                if replaced:
                    (folder / journal.JOURNAL_FILE).write_text("mine")
            return super().prepare(layer)

    for replaced in (False, True):
        device = Deleting()
        with pytest.raises(AlphaflopsError, match=r"journal\.jsonl is gone, deleted or moved while measuring"):
            session.run(GRID, folder, OPTIONS, device=device)
        assert len(device.prepared) == device.deleted_at + 1 > 1
        assert [path.read_text() for path in folder.iterdir()] == ["mine"] * replaced


def test_disk_full_at_the_very_end(tmp_path, monkeypatch):
    def no_room(run):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Run, "files", no_room)
    with pytest.raises(AlphaflopsError, match="all layers are measured and kept"):
        session.run(GRID, tmp_path / "run", OPTIONS, device=FakeDevice())
    monkeypatch.undo()
    device = FakeDevice()
    run = session.resume(tmp_path / "run", device=device)
    assert len(run.table) == 8


def test_two_writers(tmp_path):
    folder = tmp_path / "run"
    unfinished(folder)
    with FileLock(folder / journal.LOCK_FILE), pytest.raises(AlphaflopsError, match="being written by another process"):
        session.resume(folder, device=FakeDevice())


def test_existing_folders_are_left_alone(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(AlphaflopsError, match="exists already"):
        session.run(GRID, tmp_path / "full", OPTIONS, device=FakeDevice())
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["thesis.txt"]
    kept = unfinished(tmp_path / "run")
    run = session.run(GRID, tmp_path / "run", OPTIONS, device=FakeDevice(seed=7))  # an unfinished run goes on
    assert len(run.table) == 8
    assert len(kept.done) == 4
    for row, entry in kept.done.items():
        assert run.samples[f"latency_{row}"] == pytest.approx(np.array(entry.latency_ns) / 1e6)


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AlphaflopsError, match="cannot be written: Not a directory"):
        session.run(GRID, tmp_path / "file" / "run", OPTIONS, device=FakeDevice())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder(tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    with pytest.raises(AlphaflopsError, match="cannot be"):
        session.run(GRID, folder / "run", OPTIONS, device=FakeDevice())
    with pytest.raises(AlphaflopsError, match="cannot be written"):
        session.run(GRID, folder, OPTIONS, device=FakeDevice())


def test_other_machine_is_refused_by_key(tmp_path):
    folder = tmp_path / "run"
    unfinished(folder)
    before = (folder / journal.JOURNAL_FILE).read_bytes()
    with pytest.raises(AlphaflopsError, match=r"protocol\.tolerance was 0\.02 and is now 0\.05"):
        session.resume(folder, {"tolerance": 0.05}, device=FakeDevice())
    with pytest.raises(AlphaflopsError, match=r"machine\.name was .*1 thread.* and is now"):
        session.resume(folder, {"threads": 2}, device=FakeDevice())
    assert (folder / journal.JOURNAL_FILE).read_bytes() == before
    run = session.resume(folder, {"tolerance": 0.05, "allow_different": ("protocol.tolerance",)}, device=FakeDevice())
    assert run.meta["resumed"][0]["different"] == {"protocol.tolerance": [0.02, 0.05]}


def test_check_same_names_driver_and_versions():
    base = {
        "device": "cuda",
        "machine": {"gpu": {"driver": "570", "shared": False}},
        "software": {"torch": "2.6"},
        "protocol": {"tf32": False},
        "profile": "paper",
        "seed": 0,
    }
    for part, value in (
        ("machine", {"gpu": {"driver": "571", "shared": False}}),
        ("software", {"torch": "2.7"}),
        ("protocol", {"tf32": True}),
    ):
        (key,) = check_same(base, {**base, part: value}, [part])
        assert key.startswith(part)
        with pytest.raises(AlphaflopsError, match=key):
            check_same(base, {**base, part: value})
    assert check_same(base, {**base, "machine": {"gpu": {"driver": "570", "shared": True}}}) == {}


@pytest.mark.parametrize("still", [False, True])
def test_clock_going_backwards_or_standing_still(tmp_path, still):
    bad = BackwardsClock(bad=range(0, 10**6, 37), still=still, seed=1)
    run = session.run(GRID, tmp_path / "run", OPTIONS, device=bad)
    assert (run.table["latency_ms"] > 0).all()
    assert run.table["flags"].str.contains("clock").sum() >= 1
    assert all((taken > 0).all() for taken in run.samples.values())
    stopped = BackwardsClock(bad=range(10**6), still=still)
    run = session.run(GRID, tmp_path / "stopped", OPTIONS, device=stopped)
    assert (run.table["status"] == "error").all()
    assert run.table["message"].str.contains("clock stood still or went backwards").all()


def test_failing_layers_become_rows(tmp_path):
    device = FakeDevice()

    def fail(layer):
        if layer.row()["kind"] == "dense":
            return RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        return RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED") if layer.row()["width"] == 4 else None

    device.fail = fail
    run = session.run(GRID, tmp_path / "run", OPTIONS, device=device)
    assert len(run.table) == 8
    dense = run.table["kind"] == "dense"
    assert (run.table.loc[dense, "status"] == "out-of-memory").all()
    assert dense.any()
    wide = run.table["width"] == 4
    assert (run.table.loc[wide, "status"] == "error").all()
    assert run.table.loc[wide, "message"].str.contains("CUDNN_STATUS_EXECUTION_FAILED").all()
    assert run.table.loc[~(dense | wide), "latency_ms"].notna().all()
    assert run.ok.table["status"].eq("ok").all()


def test_layer_beyond_the_memory_is_not_tried(tmp_path):
    device = FakeDevice()
    device.memory = 2**20
    run = session.run(GRID, tmp_path / "run", OPTIONS, device=device)
    too_big = run.table["status"] == "out-of-memory"
    assert too_big.any()
    assert run.table.loc[too_big, "message"].str.contains("needs at least").all()


def test_dead_device_ends_the_run_resumably(tmp_path):
    class Dying(Stopping):
        def prepare(self, layer):
            try:
                return super().prepare(layer)
            except RuntimeError:
                self.dead = True
                raise

    device = Dying(520, RuntimeError("CUDA error: an illegal memory access was encountered"))
    with pytest.raises(AlphaflopsError, match="stopped answering"):
        session.run(experiments.grid("paper"), tmp_path / "run", OPTIONS, device=device)
    assert measure.verify(tmp_path / "run").rows > 400


def test_a_journal_that_cannot_be_opened_or_locked_is_one_line(tmp_path, monkeypatch):
    def denied(*_args, **_keys):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    folder = tmp_path / "run"
    unfinished(folder)
    monkeypatch.setattr(journal.os, "open", denied)
    with pytest.raises(AlphaflopsError, match=r"journal\.jsonl cannot be written: Permission denied"):
        journal.Journal(folder, journal.Contents(NO_ROWS, ()))
    with pytest.raises(AlphaflopsError, match=r"journal\.jsonl cannot be written: Permission denied"):
        journal.begin(folder, NO_ROWS)
    monkeypatch.undo()
    monkeypatch.setattr("filelock.FileLock.acquire", denied)
    with pytest.raises(AlphaflopsError, match="cannot be written: Permission denied"), journal.locked(folder):
        pass


def planted(folder, *values):
    """Write a journal of any values, with digests that fit."""
    folder.mkdir(exist_ok=True)
    lines, digest = [], ""
    for value in values:
        text = json.dumps(value, separators=(",", ":"))
        digest = hashlib.sha256((digest + text).encode()).hexdigest()
        lines.append(f'{{"sha256":"{digest}","data":{text}}}\n')
    (folder / journal.JOURNAL_FILE).write_text("".join(lines))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda head, rows: head.update(version=2), "version is 2, this program resumes 3"),
        (lambda head, rows: head.update(version=True), "version is True"),
        (lambda head, rows: head.pop("version"), "version is None"),
        (lambda head, rows: head.pop("rows"), "header: rows is missing"),
        (lambda head, rows: head.update(extra=1), "header: the key 'extra' is not allowed"),
        (lambda head, rows: head["options"].update(speed=1), "options: the key 'speed' is not allowed"),
        (lambda head, rows: head["options"].update(seed="x"), "options: seed is 'x': expected an integer"),
        (lambda head, rows: head["rows"].append(head["rows"][0]), "row . occurs twice"),
        (lambda head, rows: head["rows"].clear(), "header: rows: column 'kind' is missing"),
        (lambda head, rows: head["rows"][0].pop("kind"), "row 0: the key 'kind' is missing"),
        (lambda head, rows: head["rows"][7].pop("line"), "row 7: the key 'line' is missing"),
        (lambda head, rows: head["rows"][7].update(speed=1), "row 7: the key 'speed' is missing or not allowed"),
        (lambda head, rows: head["rows"][7].update(k2="x"), "k2 is 'x' in row 7"),
        (lambda head, rows: head["rows"][7].update(line="a\x1b"), "line is 'a\\\\x1b' in row 7"),
        (lambda head, rows: rows[0].update(median_ms=float("nan")), "damaged in line 2"),
        (lambda head, rows: head["rows"][0].update(k1=-3), "k1 is -3"),
        (lambda head, rows: head["meta"].pop("machine"), r"machine\.name was None"),
        (lambda head, rows: rows[0].update(type="sleep"), "type is 'sleep'"),
        (lambda head, rows: rows[0].pop("type"), "line 2: type is missing"),
        (lambda head, rows: rows[-2].update(row=99), "row is 99"),
        (lambda head, rows: rows[-2].update(latency_ns=["x"]), "holds something but numbers"),
        (lambda head, rows: rows[-2].update(latency_ns=5), "holds something but numbers"),
        (lambda head, rows: rows[-2].update(status="fine"), "status is 'fine'"),
        (lambda head, rows: rows[-2].update(colour=1), "the key 'colour' is not allowed"),
    ],
)
def test_a_journal_of_another_version_or_with_wrong_keys_is_one_line_that_names_the_key(tmp_path, change, message):
    unfinished(tmp_path / "run")
    lines = [json.loads(line)["data"] for line in (tmp_path / "run" / journal.JOURNAL_FILE).read_text().splitlines()]
    change(lines[0], lines[1:])
    planted(tmp_path / "other", *lines)
    with pytest.raises(AlphaflopsError, match=message) as caught:
        session.resume(tmp_path / "other", device=FakeDevice())
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "other" / "run.json").exists()


@pytest.mark.parametrize("text", [b"[1]", b"{", b"[" * 100_000])
def test_a_first_line_that_is_no_object_is_refused_although_its_digest_fits(tmp_path, text):
    digest = hashlib.sha256(text).hexdigest().encode()
    (tmp_path / journal.JOURNAL_FILE).write_bytes(b'{"sha256":"' + digest + b'","data":' + text + b"}\n")
    with pytest.raises(AlphaflopsError, match=r"damaged in line 1|version is None"):
        journal.read(tmp_path)
