"""Archives of runs and of the whole project: nothing private out, nothing unsafe in, every byte checked."""

import hashlib
import io
import json
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from alphaflops import experiments, paths, zips
from alphaflops import share as artifact
from alphaflops.errors import AlphaflopsError
from alphaflops.layers import macs
from alphaflops.runs import Run, datasets
from alphaflops.share import crate, privacy
from alphaflops.share.plausibility import peak_flops, problems

STEADY = {"verdict": "steady", "readings": 9, "median_ms": 4.0, "moved": 0.01, "spread": 0.05, "p": 0.5}


@pytest.fixture
def good(meta):
    """A plausible run with raw samples."""
    grid = experiments.grid("smoke")
    times = 0.05 + macs(grid) / 1e7
    samples = {f"latency_{row}": np.full(9, time) for row, time in zip(grid["row"], times, strict=True)}
    return Run(
        {**meta, "run_id": "good-run", "sentinel": STEADY}, grid.assign(latency_ms=times, converged=True), samples
    )


@pytest.fixture
def packed(good, tmp_path):
    """The plausible run, written and packed."""
    return artifact.pack_run(good.write(tmp_path / "good"), tmp_path / "good.zip").path


def rezipped(path, change, out):
    """Copy an archive, its files changed by a function of their dict."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out


def test_a_run_goes_out_and_comes_back_byte_for_byte(good, packed, tmp_path):
    found = artifact.import_run(packed, into=tmp_path / "runs")
    assert found.path == tmp_path / "runs" / "good-run"
    assert found.implausible == ()
    for path in (tmp_path / "good").iterdir():
        assert (found.path / path.name).read_bytes() == path.read_bytes()
    assert Run.read(found.path).table.equals(good.table)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_the_same_run_gives_the_same_archive(packed, tmp_path):
    again = artifact.pack_run(tmp_path / "good", tmp_path / "again.zip").path
    assert again.read_bytes() == packed.read_bytes()
    assert {info.date_time for info in zipfile.ZipFile(packed).infolist()} == {zips.EPOCH}


def test_bundled_runs_can_be_sent_and_received(tmp_path):
    names = datasets.bundled()
    if not names:
        pytest.skip("no run is bundled")
    for name in names:
        done = artifact.pack_run(datasets.runs_folder() / name, tmp_path / f"{name}.zip")
        assert not done.removed, "a bundled run holds something private"
        found = artifact.import_run(done.path, f"copy-of-{name}", into=tmp_path / "runs")
        assert len(found.run.table) == done.layers


PLANTED = {
    "user": "zebediah",
    "host": "quuxbox",
    "serial": "SN-5510-7743-A",
    "gpu": "GPU-8f2c1a90-1111-2222-3333-44445555aaaa",
    "mac": "02:42:ac:1f:9e:0d",
    "mail": "zeb@quux.example",
    "path": "/srv/lab/zeb/torch/lib.py",
    "windows": r"D:\lab\zeb\torch",
    "address": "10.17.33.201",
}


@pytest.fixture
def owner(monkeypatch, tmp_path):
    """A machine with a name, a user and a home."""
    home = tmp_path / "homes" / PLANTED["user"]
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    for key in ("USER", "LOGNAME", "USERNAME"):
        monkeypatch.setenv(key, PLANTED["user"])
    monkeypatch.setattr("socket.gethostname", lambda: PLANTED["host"] + ".lab.example")
    return home


def planted_run(good, owner):
    table = good.table.copy()
    table["message"] = ""
    table["flags"] = ""
    table.loc[0, "message"] = f"RuntimeError in {owner}/venv/torch.py: see {PLANTED['path']} or {PLANTED['windows']}"
    table.loc[1, "flags"] = PLANTED["host"]
    meta = dict(good.meta)
    meta["title"] = f"{PLANTED['user']}'s box {PLANTED['host']} ({PLANTED['mail']})"
    meta["machine"] = {
        "name": f"A GPU on {PLANTED['host']}",
        "serial_number": PLANTED["serial"],
        "bus": [PLANTED["gpu"], PLANTED["mac"], {"deep": PLANTED["address"]}],
    }
    meta["software"] = {"prefix": str(owner), "cwd": str(Path.cwd()), "torch": "2.13.0+cpu"}
    return Run(meta, table, good.samples)


def test_nothing_private_leaves(good, owner, tmp_path):
    run = planted_run(good, owner)
    done = artifact.pack_run(run.write(tmp_path / "run"), tmp_path / "run.zip")
    assert done.removed
    with zipfile.ZipFile(done.path) as archive:
        content = b"\n".join([archive.read(name) for name in archive.namelist()])
        told = json.loads(archive.read("run.json"))
    lowered = content.decode("utf-8", "replace").lower()
    for what, word in PLANTED.items():
        assert word.lower() not in lowered, what
        assert json.dumps(word)[1:-1].lower() not in lowered, what
    for folder in (owner, Path.cwd(), tmp_path):
        assert str(folder).lower() not in lowered
    assert told["title"] == "[removed]'s box [removed] ([removed])"
    assert told["software"]["torch"] == "2.13.0+cpu"
    assert artifact.read_run(done.path)[0].time_ms().equals(run.time_ms())


def test_a_private_name_of_the_run_is_refused(good, owner, tmp_path):
    run = Run({**good.meta, "run_id": f"{PLANTED['host']}-gpu"}, good.table)
    folder = run.write(tmp_path / "run")
    with pytest.raises(AlphaflopsError, match="choose another with --id"):
        artifact.pack_run(folder, tmp_path / "run.zip")
    assert not (tmp_path / "run.zip").exists()
    assert artifact.pack_run(folder, tmp_path / "run.zip", "lab-gpu").path.exists()


def test_words_in_places_that_cannot_be_scrubbed_are_refused(good, owner, tmp_path):
    run = Run({**good.meta, "machine": {"name": "x", PLANTED["host"]: 1}}, good.table)
    with pytest.raises(AlphaflopsError, match="names this machine"):
        artifact.pack_run(run.write(tmp_path / "run"), tmp_path / "run.zip")


def test_texts_without_secrets_stay_as_they_are():
    told = [
        "https://github.com/asperti/alpha_flops_dataset/blob/eecef84/README.md",
        "median of 9 calls, IQR/median 0.5 %, 1.5 ms/row",
        "NVIDIA H200, 132 SMs, driver 550.54.14",
        "Linux 6.18.44, cuDNN 9.10.2.21, MKL 2024.2.2.17",
        "conv 3×3 16/32",
    ]
    assert privacy.scrub(told, []) == told


def test_links_are_not_packed(good, tmp_path):
    folder = good.write(tmp_path / "run")
    (folder / "samples.npz").rename(tmp_path / "elsewhere")
    (folder / "samples.npz").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AlphaflopsError, match="is a link"):
        artifact.pack_run(folder, tmp_path / "run.zip")


def test_an_archive_is_not_overwritten(packed, tmp_path):
    before = packed.read_bytes()
    with pytest.raises(AlphaflopsError, match="exists already"):
        artifact.pack_run(tmp_path / "good", packed)
    assert packed.read_bytes() == before
    assert not list(tmp_path.glob(".part-*"))


def refuse(archive, tmp_path, match, **options):
    """Import must fail with one line, leaving nothing behind."""
    runs = tmp_path / "runs"
    with pytest.raises(AlphaflopsError, match=match) as caught:
        artifact.import_run(archive, into=runs, **options)
    assert "\n" not in str(caught.value)
    assert not runs.exists() or not any(runs.iterdir())
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    "name", ["../evil", "/tmp/evil", "a/../../evil", "evil", "C:evil", "..\\evil", "run.json/", "x\x00y"]
)
def test_unexpected_names_are_refused(packed, tmp_path, name):
    evil = rezipped(packed, lambda files: files.update({name: b"x"}), tmp_path / "in.zip")
    refuse(evil, tmp_path, "not among the files expected|a folder|damaged")


def test_an_escaping_name_instead_of_an_expected_one_is_refused(packed, tmp_path):
    evil = rezipped(packed, lambda files: files.update({"../evil": files.pop("samples.npz")}), tmp_path / "in.zip")
    refuse(evil, tmp_path, "'../evil' is not among the files expected")


def test_links_in_archives_are_refused(packed, tmp_path):
    with zipfile.ZipFile(packed) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)
            if name == "samples.npz":
                info.external_attr, data = (stat.S_IFLNK | 0o777) << 16, b"/etc/passwd"
            archive.writestr(info, data)
    refuse(tmp_path / "in.zip", tmp_path, "is a link")


def test_bombs_are_refused_before_they_are_unpacked(packed, tmp_path):
    bomb = rezipped(packed, lambda files: files.update({"measurements.csv": b"0" * 2**24}), tmp_path / "in.zip")
    refuse(bomb, tmp_path, "grow more than 100-fold")
    large = rezipped(packed, lambda files: files.update({"run.json": b" " * (2**22 + 1)}), tmp_path / "in2.zip")
    refuse(large, tmp_path, "at most 4194304 are allowed")


def test_a_bomb_among_the_samples_is_refused(packed, tmp_path):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, latency_0=np.zeros(2**21, np.float32))
    bomb = rezipped(packed, lambda files: files.update({"samples.npz": buffer.getvalue()}), tmp_path / "in.zip")
    refuse(bomb, tmp_path, "grow more than 100-fold")


def test_pickles_among_the_samples_are_refused(packed, tmp_path):
    buffer = io.BytesIO()
    np.savez(buffer, latency_0=np.array([{"a": 1}], dtype=object))
    evil = rezipped(packed, lambda files: files.update({"samples.npz": buffer.getvalue()}), tmp_path / "in.zip")
    refuse(evil, tmp_path, "array of object")


def test_an_array_that_promises_more_than_it_holds_is_refused():
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(4, np.float32))
    lying = buffer.getvalue().replace(b"(4,), ", b"(4000000000,), ", 1)
    with pytest.raises(AlphaflopsError, match="latency_0"):
        zips.read_arrays(zips.pack({"latency_0.npy": lying}), "x")


@pytest.mark.parametrize(
    ("device", "told", "cores", "clock_hz", "per_cycle"),
    [
        ("cpu", {"threads": 2, "cpu": {"cores": 8}}, 2, 7e9, 4096),
        ("cpu", {"cpu": {"cores": 8}}, 8, 7e9, 4096),
        ("cpu", {"threads": None, "cpu": None}, 1024, 7e9, 4096),
        ("cuda", {"gpu": {"multiprocessors": 132, "sm_clock_max_mhz": 1980}}, 132, 1.98e9, 32768),
        ("cuda", {"gpu": {"multiprocessors": True, "sm_clock_max_mhz": "fast"}}, 512, 4e9, 32768),
        ("mps", {"gpu": {"multiprocessors": -1, "sm_clock_max_mhz": float("inf")}}, 512, 4e9, 32768),
    ],
)
def test_what_a_machine_cannot_exceed_by_hand(device, told, cores, clock_hz, per_cycle):
    assert peak_flops({"device": device, "machine": told}) == cores * clock_hz * per_cycle


@pytest.mark.parametrize("array", [np.zeros((2, 3)), np.zeros(()), np.zeros(4, np.int64), np.zeros(4, ">f8")])
def test_only_rows_of_floats_are_samples(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    with pytest.raises(AlphaflopsError, match="expected one row of floats"):
        zips.read_arrays(zips.pack({"latency_0.npy": buffer.getvalue()}), "x")


def test_samples_of_either_width_are_read_as_double():
    buffer = io.BytesIO()
    np.savez(buffer, latency_0=np.array([0.5, 2.0], np.float32), latency_1=np.array([0.1]))
    found = zips.read_arrays(buffer.getvalue(), "x")
    assert {name: (values.tolist(), values.dtype) for name, values in found.items()} == {
        "latency_0": ([0.5, 2.0], np.float64),
        "latency_1": ([0.1], np.float64),
    }


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(packed, tmp_path):
    with zipfile.ZipFile(packed, "a") as archive:
        for _ in range(3):
            archive.writestr("run.json", "{}")
    refuse(packed, tmp_path, "announces 7 files")
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("run.json", "{}")
        archive.writestr("run.json", "{}")
    refuse(tmp_path / "two.zip", tmp_path, "occurs twice")


def test_a_changed_byte_is_refused(packed, tmp_path):
    def change(files):
        files["measurements.csv"] = files["measurements.csv"].replace(b"conv2d", b"conv2d ", 1)[:-2] + b"7\n"

    refuse(rezipped(packed, change, tmp_path / "in.zip"), tmp_path, "in.zip: measurements.csv")


def test_missing_files_and_other_files_are_refused(packed, tmp_path):
    refuse(rezipped(packed, lambda files: files.pop("SHA256SUMS"), tmp_path / "a.zip"), tmp_path, "has no SHA256SUMS")
    (tmp_path / "b.zip").write_bytes(packed.read_bytes()[:-30])
    refuse(tmp_path / "b.zip", tmp_path, "no zip archive")
    (tmp_path / "c.zip").write_bytes(b"")
    refuse(tmp_path / "c.zip", tmp_path, "no zip archive")
    refuse(tmp_path / "none.zip", tmp_path, "cannot be read: No such file")
    refuse(tmp_path, tmp_path, "cannot be read: Is a directory")


@pytest.mark.parametrize(
    "name", ["../up", "a/b", "", ".hidden", "-dash", "UPPER", "con", "nul.txt", "a..b", "x" * 65, "é"]
)
def test_unsafe_run_ids_are_refused(good, tmp_path, name):
    run = Run({**good.meta, "run_id": name}, good.table, good.samples)
    files = artifact.runs.contents(run)
    (tmp_path / "in.zip").write_bytes(zips.pack(files))
    refuse(tmp_path / "in.zip", tmp_path, "cannot be a folder")
    with pytest.raises(AlphaflopsError, match="cannot be a folder"):
        artifact.verify_archive(tmp_path / "in.zip")


def test_taken_names_are_refused(packed, tmp_path):
    artifact.import_run(packed, into=tmp_path / "runs")
    with pytest.raises(AlphaflopsError, match="exists already"):
        artifact.import_run(packed, into=tmp_path / "runs")
    with pytest.raises(AlphaflopsError, match="exists already"):
        artifact.import_run(packed, "paper-t2000", into=tmp_path / "runs")
    other = artifact.import_run(packed, "second", into=tmp_path / "runs")
    assert Run.read(other.path).id == "second"
    assert Run.read(other.path).meta["imported"]["run_id"] == "good-run"


def with_table(run, **columns):
    return Run(run.meta, run.table.assign(**columns), {})


IMPLAUSIBLE = {
    "beyond the machine": (lambda r: with_table(r, latency_ms=r.table["latency_ms"] / 1e6), "FLOP/s|latency_ms is"),
    "too short": (lambda r: with_table(r, latency_ms=r.table["latency_ms"].clip(upper=5e-5)), "not between"),
    "too long": (lambda r: with_table(r, latency_ms=r.table["latency_ms"] * 1e9), "not between"),
    "shuffled": (
        lambda r: with_table(
            r,
            latency_ms=r.table["latency_ms"].to_numpy()[::-1] * 0
            + np.arange(len(r.table), 0, -1)[np.argsort(np.argsort(macs(r.table)))],
        ),
        "do not grow",
    ),
    "unmeasured": (lambda r: with_table(r, status="error"), "were measured"),
    "unconverged": (lambda r: with_table(r, converged=False), "converged"),
    "outside its interval": (lambda r: with_table(r, latency_low_ms=1e5, latency_high_ms=1e6), "its own interval"),
    "without sentinel": (lambda r: Run({**r.meta, "sentinel": None}, r.table, {}), "no sentinel"),
    "drifted": (lambda r: Run({**r.meta, "sentinel": {**STEADY, "moved": 0.3}}, r.table, {}), "moved by 0.3"),
    "unsteady": (lambda r: Run({**r.meta, "sentinel": {**STEADY, "spread": 3.0}}, r.table, {}), "varied by 3.0"),
    "other samples": (
        lambda r: Run(r.meta, r.table.assign(latency_ms=r.table["latency_ms"] * 1.5), r.samples),
        "median of its samples",
    ),
}


@pytest.mark.parametrize("name", IMPLAUSIBLE)
def test_implausible_runs_are_refused_or_recorded(good, tmp_path, name):
    change, match = IMPLAUSIBLE[name]
    path = tmp_path / "in.zip"
    path.write_bytes(zips.pack(artifact.runs.contents(change(good))))
    refuse(path, tmp_path, f"is implausible: .*({match})")
    found = artifact.import_run(path, allow_implausible=True, into=tmp_path / "runs")
    assert Run.read(found.path).meta["imported"]["implausible"] == list(found.implausible) != []


def test_bytes_that_no_memory_moves_are_told(good):
    # 12800² weights, 655 MB, in 0.016 ms: 4.1e13 bytes per second, at 2e13 FLOP/s that a core might just do
    grid = experiments.grid("paper")
    dense = grid[(grid["line"] == "dense") & (grid["x"] == 12800)].reset_index(drop=True)
    run = Run(good.meta, dense.assign(latency_ms=0.016, converged=True))
    assert problems(run) == ["row 0 moves 4.1e+13 bytes per second, beyond 2e+13 of any cpu memory"]
    assert problems(Run(good.meta, dense.assign(latency_ms=0.04, converged=True))) == []


def test_a_plausible_run_has_no_problems(good):
    assert problems(good) == []


def test_upstream_data_are_not_imported_as_measurements(good, tmp_path):
    path = tmp_path / "in.zip"
    path.write_bytes(zips.pack(artifact.runs.contents(Run({**good.meta, "origin": "upstream"}, good.table))))
    refuse(path, tmp_path, "only measured runs")


def test_runs_of_an_unknown_kind_of_device_are_not_imported(good, tmp_path):
    path = tmp_path / "in.zip"
    path.write_bytes(zips.pack(artifact.runs.contents(Run({**good.meta, "device": "tpu"}, good.table))))
    refuse(path, tmp_path, "device is 'tpu': expected cpu, cuda or mps")


def test_the_folder_of_runs_must_be_writable(packed, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AlphaflopsError, match="cannot be written"):
        artifact.import_run(packed, into=tmp_path / "file" / "runs")


def test_commands(command, refused, good, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = good.write(tmp_path / "good")
    assert command("pack", "--run", folder).out.startswith("good-run.zip: ")
    assert "every byte as written, plausible" in command("verify", "good-run.zip").out
    assert "good-run" in command("import", "good-run.zip", "--into", tmp_path / "runs").out
    assert "exists already" in refused("import", "good-run.zip", "--into", tmp_path / "runs")
    assert "--id names a run" in refused("pack", "--id", "x")
    assert "leave out --run" in refused("pack", "--run", folder, "--html", tmp_path)


@pytest.fixture
def small(tmp_path, monkeypatch, good):
    """A tiny checkout, so that packing it is quick."""
    pytest.importorskip("rocrate", reason="ro-crate-py is not installed: pip install 'alphaflops[archive]'")
    root = tmp_path / "checkout"
    for name in (
        "README.md",
        "alphaflops/layers.py",
        "notebooks/01_x.ipynb",
        "book/intro.md",
        "_build/html/index.html",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"content of {name}\n")
    (root / "alphaflops/__pycache__").mkdir()
    (root / "alphaflops/__pycache__/layers.pyc").write_bytes(b"0")
    good.write(root / "data/runs/good-run")
    monkeypatch.setattr(crate, "CHECKOUT", root)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    return root


def test_the_whole_artifact_is_one_crate(small, tmp_path):
    path = artifact.pack_artifact(tmp_path / "a.zip")
    again = artifact.pack_artifact(tmp_path / "b.zip")
    assert path.read_bytes() == again.read_bytes()
    found = artifact.verify_crate(path)
    assert (found.files, found.runs) == (11, 1)
    with zipfile.ZipFile(path) as archive:
        assert "alphaflops/__pycache__/layers.pyc" not in archive.namelist()
        archive.extractall(tmp_path / "out")
    from rocrate.rocrate import ROCrate

    read = ROCrate(tmp_path / "out")
    entity = read.get("data/runs/good-run/measurements.csv")
    assert entity["encodingFormat"] == "text/csv"
    assert entity["license"].id == "https://creativecommons.org/licenses/by/4.0/"
    assert read.get("alphaflops/layers.py").get("license") is None
    assert read.root_dataset["license"].id == "https://spdx.org/licenses/MIT"
    assert str(read.root_dataset["datePublished"]).startswith("2023-11-14")
    assert "every byte as written" in artifact.verify_archive(path)


def test_the_artifact_holds_every_file_of_the_repository():
    done = subprocess.run(["git", "-C", paths.CHECKOUT, "ls-files", "-z"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this checkout is no git repository")
    tracked = [name for name in done.stdout.decode().split("\0") if name and (paths.CHECKOUT / name).is_file()]
    assert len(tracked) > 200
    assert set(tracked) - {name for name, _ in crate.members(paths.CHECKOUT)} == set()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda files: files.update({"README.md": b"other"}), "'README.md' does not match"),
        (lambda files: files.update({"extra.py": b"other"}), "'extra.py' is not listed"),
        (lambda files: files.pop("README.md"), "'README.md' is missing"),
        (lambda files: files.update({"SHA256SUMS": b"x"}), "a line that is no checksum"),
        (lambda files: files.update({"../evil": b"x"}), "'../evil' is not among"),
        (lambda files: files.pop("SHA256SUMS"), "neither a run nor an artifact"),
    ],
)
def test_a_changed_crate_is_refused(small, tmp_path, change, match):
    path = artifact.pack_artifact(tmp_path / "a.zip")
    with pytest.raises(AlphaflopsError, match=match):
        artifact.verify_archive(rezipped(path, change, tmp_path / "b.zip"))


def test_a_crate_that_names_a_folder_of_this_machine_is_refused(small, tmp_path):
    (small / "_build/html/index.html").write_text(f"built in {Path.cwd()}/_build")
    with pytest.raises(AlphaflopsError, match=r"_build/html/index.html, line 1, names this machine"):
        artifact.pack_artifact(tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def test_dates_that_are_none_are_refused(small, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(AlphaflopsError, match="SOURCE_DATE_EPOCH"):
        artifact.pack_artifact(tmp_path / "a.zip")


def test_crates_are_refused_before_anything_is_written(small, tmp_path, monkeypatch):
    with pytest.raises(AlphaflopsError, match=r"nowhere does not exist: build the book first"):
        artifact.pack_artifact(tmp_path / "a.zip", tmp_path / "nowhere")
    (small / "book" / "what?.md").write_text("")
    with pytest.raises(AlphaflopsError, match=r"book/what\?\.md has 0 bytes or a name that is not portable"):
        artifact.pack_artifact(tmp_path / "a.zip")
    (small / "book" / "what?.md").unlink()
    monkeypatch.setitem(sys.modules, "rocrate.rocrate", None)
    with pytest.raises(AlphaflopsError, match="packed with ro-crate-py: pip install"):
        artifact.pack_artifact(tmp_path / "a.zip")
    monkeypatch.setattr(crate, "in_checkout", lambda: False)
    with pytest.raises(AlphaflopsError, match="only a checkout holds the whole artifact"):
        artifact.pack_artifact(tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


@pytest.mark.parametrize(
    ("description", "match"),
    [
        (b"{}", "is no description of a crate"),
        (b'{"@graph": []}', "does not give the sha256 of"),
    ],
)
def test_a_description_that_does_not_describe_is_refused(small, tmp_path, description, match):
    def change(files):
        files["ro-crate-metadata.json"] = description
        sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name != "SHA256SUMS"}
        files["SHA256SUMS"] = "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())).encode()

    path = artifact.pack_artifact(tmp_path / "a.zip")
    with pytest.raises(AlphaflopsError, match=match):
        artifact.verify_archive(rezipped(path, change, tmp_path / "b.zip"))


def test_a_user_without_a_name_has_words_of_the_machine_only(monkeypatch):
    def nameless():
        raise KeyError("getpwuid(): uid not found: 12345")

    for key in ("USER", "LOGNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setattr(privacy.getpass, "getuser", nameless)
    monkeypatch.setenv("HOSTNAME", "workbench-17")
    assert "workbench-17" in privacy.own_words()


def test_archives_of_another_form_are_refused(packed, tmp_path):
    (tmp_path / "short.zip").write_bytes(b"PK")
    refuse(tmp_path / "short.zip", tmp_path, "is no zip archive: it has 2 bytes")
    with zipfile.ZipFile(packed) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "bz.zip", "w", zipfile.ZIP_BZIP2) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    refuse(tmp_path / "bz.zip", tmp_path, r"is packed by method 12: only deflate is allowed")
