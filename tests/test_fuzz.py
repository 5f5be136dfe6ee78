"""Every parser of foreign files, fed with damaged ones: our own error or a result, nothing written elsewhere.

Seeded; a few hundred inputs for each parser by default, 10,000 with ``FUZZ=full`` (``make fuzz``), or any number.
"""

import bz2
import dataclasses
import hashlib
import io
import json
import os
import pickle
import random
import re
import sys
import time
import zipfile

import numpy as np
import pytest

from alphaflops import experiments, files, fitting, share
from alphaflops import measuring as measure
from alphaflops.errors import AlphaflopsError
from alphaflops.layers import macs
from alphaflops.paths import data_folder
from alphaflops.runs import Run, datasets, miopen, readers

COUNT = {"": 120, "full": 10_000}.get(os.environ.get("FUZZ", ""), 0) or int(os.environ["FUZZ"])
SECONDS = 10.0
"""Longest processor time that one input may take; a sound file takes milliseconds."""

MEMORY_MIB = 600
"""How much the peak memory of this process may grow over all inputs of one parser."""

TOKENS = [
    *(b"", b"-1", b"0", b"1e999", b"-1e-999", b"nan", b"NaN", b"Infinity", b"null", b"true", b"9" * 400, b"9" * 5000),
    *(
        b"1e400",
        b"0x10",
        b"\x00",
        b'"',
        b"'",
        b",",
        b"\n",
        b"\r",
        b"{",
        b"}",
        b"[",
        b"[" * 3000,
        b'{"a":' * 1500,
        b"\xff\xfe",
    ),
    *(
        b"../../evil",
        b"/tmp/evil",
        b"conv2d",
        b"dense",
        b"ok",
        b"1e18",
        b"4294967296",
        b"-9223372036854775809",
        b"\\u0000",
    ),
    *(
        "é∞".encode(),
        b"PK\x03\x04",
        b"PK\x05\x06",
        b"\x93NUMPY",
        b"__import__('os')",
        b"cos\nsystem\n(S'x'\ntR.",
        b"2021-13-45",
    ),
]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Damage some bytes: flips, cuts, copies, and values that parsers dislike in place of numbers and words."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(out) + 1)
        kind = rng.randrange(8)
        if kind == 0 and out:
            out[at % len(out)] ^= 1 << rng.randrange(8)
        elif kind == 1 and out:
            out[at % len(out)] = rng.randrange(256)
        elif kind == 2:
            out[at : at + rng.choice((1, 4, 40, 400))] = b""
        elif kind == 3:
            out[at:at] = rng.choice(TOKENS)
        elif kind == 4:
            del out[at:]
        elif kind == 5:
            other = rng.randrange(len(out) + 1)
            out[at:at] = out[other : other + rng.choice((2, 30, 300))]
        else:
            words = list(re.finditer(rb"[\w.+-]+", bytes(out)))
            if words:
                word = rng.choice(words)
                out[word.start() : word.end()] = rng.choice(TOKENS)
    return bytes(out)


WATCH = {"home": None, "seen": []}
"""The folder in which writing is allowed while a parser runs, and what was written elsewhere."""

CHANGES = {
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "shutil.move",
    "shutil.copyfile",
}
FORBIDDEN = {"os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "socket.connect", "ctypes.dlopen"}


def _audit(event, args):
    home = WATCH["home"]
    if home is None:
        return
    if event in FORBIDDEN:
        WATCH["seen"].append((event, str(args)[:100]))
    writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if (writes or event in CHANGES) and not isinstance(args[0], int):
        paths = [os.fsdecode(arg) for arg in args[:2] if isinstance(arg, str | bytes | os.PathLike)]
        for path in paths[: 1 if event == "open" else 2]:
            if not os.path.abspath(path).startswith(home + os.sep):
                WATCH["seen"].append((event, path))


sys.addaudithook(_audit)


@pytest.fixture
def sandbox(tmp_path, monkeypatch):
    """The only folder that may be written to; working and temporary folder lie in it."""
    import tempfile

    for name in ("cwd", "tmp", "in", "runs"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@pytest.fixture
def good(sendable):
    """A small, sound run of a few layers with raw samples."""
    table = sendable.table.head(12).assign(load=0.1, throttle="", message="", elapsed_s=range(12))
    samples = {f"{name}_{row}": np.full(7, 1.5) for row in table["row"] for name in ("latency", "throughput")}
    return Run(sendable.meta, table, samples)


def peak_mib():
    """Peak memory of this process (MiB)."""
    resource = pytest.importorskip("resource", reason="peak memory is only told on Unix")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def fuzz(sandbox, seeds, parse):
    """Parse `COUNT` damaged copies; give how many were read and how many refused.

    `seeds` gives a damaged input from a generator of random numbers; `parse` gets it.
    """
    rng = random.Random(f"{parse.__name__} 20210715")
    counts = {"read": 0, "refused": 0}
    slowest, before = 0.0, peak_mib()
    for number in range(COUNT):
        damaged = seeds(rng)
        start, told = time.process_time(), ""
        WATCH.update(home=str(sandbox), seen=[])
        try:
            parse(damaged)
            counts["read"] += 1
        except AlphaflopsError as error:
            counts["refused"] += 1
            told = str(error)
        except BaseException as error:
            (sandbox / "crash").write_bytes(damaged if isinstance(damaged, bytes) else repr(damaged).encode())
            raise AssertionError(
                f"input {number} gave {type(error).__name__}: {error} ({sandbox / 'crash'})"
            ) from error
        finally:
            WATCH["home"] = None
        assert "\n" not in told, f"input {number}: {told!r}"
        slowest = max(slowest, time.process_time() - start)
        assert WATCH["seen"] == [], f"input {number}"
    grown = peak_mib() - before
    seen = f"{counts['read']} read, {counts['refused']} refused"
    print(f"{parse.__name__}: {seen}, slowest {slowest:.2f} s, {grown:.0f} MiB more")
    assert counts["refused"] > COUNT / 20, counts
    assert slowest < SECONDS
    assert grown < MEMORY_MIB
    assert not any((sandbox / "cwd").iterdir())
    assert not any((sandbox / "tmp").iterdir())


def resummed(files):
    """Give files checksums that fit, so that what lies behind the checksums is reached."""
    files = {name: data for name, data in files.items() if name != "SHA256SUMS"}
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items())
    return {**files, "SHA256SUMS": sums.encode()}


VALUES = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1.5,
        2**31,
        2**63 - 1,
        -1e300,
        1e-320,
        "",
        " ",
        "a\nb",
        "\x1b[2J",
        "\u202e",
        "é",
        "漢",
        "\x00",
    ),
    *(
        "<script>alert(1)</script>",
        "[x](../../../../proc/self/environ)",
        "{download}`/etc/passwd`",
        "a|b",
        "$x$",
        "=1+1",
    ),
    *("../up", "x" * 5000, "2026-13-45T99:99:99+00:00", "0001-01-01T00:00:00+14:00", "nan", "1e999", "2.9.0"),
    *([], {}, [[]], [None] * 50, {"a": {"b": {}}}, {"": ""}),
]


def changed(value, rng):
    """Change one place of a JSON value, of whatever depth: another value, a key more or a key less."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(sorted(value))
        kind = rng.random()
        if kind < 0.1:
            return {name: item for name, item in value.items() if name != key}
        if kind < 0.2:
            return {**value, rng.choice(["owner", "", "a\nb", "name", "verdict", "x" * 200]): rng.choice(VALUES)}
        return {**value, key: changed(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        return [*value[:at], changed(value[at], rng), *value[at + 1 :]]
    return rng.choice(VALUES)


def damaged_json(data, rng):
    """Damage the bytes of a JSON file, or values in it, so that what lies behind the syntax is reached."""
    if rng.random() < 0.3:
        return mutated(data, rng)
    value = json.loads(data)
    for _ in range(rng.choice((1, 1, 2))):
        value = changed(value, rng)
    return json.dumps(value).encode()


def damaged_files(files, rng):
    """Damage one file of a run, most often with checksums that fit."""
    name = rng.choice(["run.json", "run.json", "layers.csv", "layers.csv", "samples.npz", "SHA256SUMS"])
    damaged = damaged_json(files[name], rng) if name == "run.json" else mutated(files[name], rng)
    content = {**files, name: damaged}
    return content if name == "SHA256SUMS" or rng.random() < 0.1 else resummed(content)


BITING = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069<>`|$\\{}\[\]]")
"""What no text of a run that came in may hold: control codes, and signs that begin markup."""


def texts(value):
    """All keys and texts of a JSON value."""
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in (key, *texts(item))]
    return (
        [text for item in value for text in texts(item)]
        if isinstance(value, list)
        else [value] * isinstance(value, str)
    )


def test_run_folders(good, sandbox):
    content = good.files()

    def run_folder(damaged):
        for name, data in damaged.items():
            (sandbox / "in" / name).write_bytes(data)
        run = Run.read(sandbox / "in")
        run.ok.time_ms()
        assert run.sentinel.readings >= 0
        assert all(word.isprintable() for word in texts(dict(run.meta)))
        share.problems(run)

    fuzz(sandbox, lambda rng: damaged_files(content, rng), run_folder)


def test_archives_of_runs(good, sandbox):
    content = good.files()
    whole = files.pack_zip(content)

    def seeds(rng):
        if rng.random() < 0.3:
            return mutated(whole, rng)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
            for name, data in damaged_files(content, rng).items():
                new = name if rng.random() < 0.97 else mutated(name.encode(), rng).decode("latin-1")[:2000]
                archive.writestr(new if new.partition("\0")[0] else "x", data)
        return buffer.getvalue()

    def run_archive(damaged):
        path = sandbox / "in" / "x.zip"
        path.write_bytes(damaged)
        found = share.import_run(path, allow_implausible=True, into=sandbox / "runs")
        assert found.parent == sandbox / "runs"
        run = Run.read(found)
        told = [
            *texts(dict(run.meta)),
            *(text for column in ("experiment", "line", "throttle") for text in run.table[column]),
        ]
        implausible = run.meta["imported"]["implausible"]
        assert not [text for text in told if text not in implausible and BITING.search(text)]
        for file in found.iterdir():
            file.unlink()
        found.rmdir()

    fuzz(sandbox, seeds, run_archive)
    assert not any((sandbox / "runs").iterdir())


def test_the_register_of_data_sets(sandbox):
    whole = (data_folder() / "datasets.json").read_bytes()

    def register(damaged):
        for entry in datasets.parse(damaged, "datasets.json").values():
            assert entry.role in datasets.ROLES
            assert ".." not in entry.mirror_path.split("/")
            assert not entry.url or entry.url.startswith("https://")

    fuzz(sandbox, lambda rng: damaged_json(whole, rng), register)


def test_journals_of_unfinished_runs(good, sandbox):
    rows = good.table.to_dict(orient="records")
    lines = [{"meta": dict(good.meta), "rows": rows, "options": {}}]
    lines += [{"type": "row", "row": n, "latency_ns": [1, 2, 3], "status": "ok"} for n in range(3)]
    lines += [{"type": "sentinel", "elapsed_s": 1.0, "median_ms": 2.0}]
    texts = [json.dumps(line, default=lambda value: value.item()).encode() for line in lines]

    def chained(texts):
        """Lines whose digests fit, as a stranger could make them."""
        digest, out = "", b""
        for text in texts:
            digest = hashlib.sha256(digest.encode() + text).hexdigest()
            out += b'{"sha256":"' + digest.encode() + b'","data":' + text + b"}\n"
        return out

    whole = chained(texts)

    def seeds(rng):
        if rng.random() < 0.5:
            return mutated(whole, rng)
        changed = list(texts)
        at = rng.randrange(len(changed))
        changed[at] = mutated(changed[at], rng).replace(b"\n", b" ")
        return chained(changed)

    def journal(damaged):
        (sandbox / "in" / "journal.jsonl").write_bytes(damaged)
        found = measure.verify(sandbox / "in")
        if found.problems:
            raise AlphaflopsError(found.problems[0])

    fuzz(sandbox, seeds, journal)


def test_files_of_samples(sandbox):
    names = {"latency": 100, "latency_n": 100}
    arrays = {"latency": np.linspace(1, 2, 40, dtype="<f4"), "latency_n": np.full(8, 5, "<i4")}
    whole = files.pack_arrays(arrays)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        inner = {name: archive.read(name) for name in archive.namelist()}

    def seeds(rng):
        if rng.random() < 0.4:
            return mutated(whole, rng)
        name = rng.choice(sorted(inner))
        return files.pack_zip({**inner, name: mutated(inner[name], rng)})

    def samples(damaged):
        for values in files.read_arrays(damaged, names, "samples.npz").values():
            assert values.ndim == 1

    fuzz(sandbox, seeds, samples)


def test_tables(good, sandbox):
    text = good.table.to_csv(index=False).encode()

    def table(damaged):
        path = sandbox / "in" / "x.csv"
        path.write_bytes(damaged)
        datasets.load(path).ok.time_ms()

    fuzz(sandbox, lambda rng: mutated(text, rng), table)


def test_tables_of_neusight(sandbox):
    conv = b"Latency,B,Input_Channel,Output_Channel,Kernel_Szie,Input_Size,Stride,Padding\n"
    conv += b"1.5,1,64,64,3,56,1,1\n0.2,8,3,32,3,9,2,0\n"
    dense = b"Latency,B,M,N,K\n0.5,1,64,128,256\n0.7,4,64,128,256\n"
    entry = next(entry for entry in datasets.entries().values() if entry.reader == "neusight-conv")
    sources = {True: entry, False: dataclasses.replace(entry, reader="neusight-dense")}

    def neusight(damaged):
        path = sandbox / "in" / "x.csv"
        path.write_bytes(damaged[1])
        readers.read_neusight(sources[damaged[0]], path)

    def seeds(rng):
        first = rng.random() < 0.5
        return first, mutated(conv if first else dense, rng)

    fuzz(sandbox, seeds, neusight)


def test_find_dbs(sandbox, monkeypatch):
    lines = b"64-56-28-1x3-32-56-28-16-0x1-1x1-1x1-0-NCHW-FP32-F=Fast:0.5,0,algorithm;Slow:1.5,0,algorithm\n"
    lines += b"64-56-28-1x3-32-28-14-16-0x1-2x2-1x1-0-NCHW-FP32-F_g2=algo:Slow,2.5,0,algo,<unused>\n"
    source = datasets.entries()["miopen-mi100"]
    monkeypatch.setattr(miopen, "write_atomic", lambda path, data: None)
    monkeypatch.setattr(readers, "cache_folder", lambda: sandbox / "in")

    def find_db(damaged):
        path = sandbox / "in" / "x.bz2"
        path.write_bytes(damaged)
        readers.read_miopen(source, path)

    def seeds(rng):
        return bz2.compress(mutated(lines, rng)) if rng.random() < 0.7 else mutated(bz2.compress(lines), rng)

    fuzz(sandbox, seeds, find_db)


def authors_pickle():
    """A file like the authors', made up, which needs the same two names of NumPy."""

    class Plain(pickle._Pickler):
        pass

    plots = []
    for experiment in experiments.PAPER:
        name = readers.PLOT_NAMES.get(experiment.name, experiment.name)
        lines = [
            np.array([[*readers._file_order(experiment.name, layer), 1.0] for _, layer in line.points])
            for line in experiment.lines
        ]
        plots.append({"name": name, "lines": lines})
    data = pickle.dumps({"plots": plots}, protocol=5)
    return data.replace(b"numpy._core.numeric", b"numpy.core.numeric").replace(
        b"\x8c\x13numpy.core.numeric", b"\x8c\x12numpy.core.numeric"
    )


def test_the_authors_pickle(sandbox):
    source = datasets.entries()["paper-t2000"]
    # frames carry their length, which renaming a module changes: pickle them again without frames
    whole = bytes(authors_pickle())
    whole = re.sub(rb"^\x80\x05\x95.{8}", b"\x80\x05", whole, flags=re.S)
    path = sandbox / "in" / "x.pickle"
    path.write_bytes(whole)
    assert len(readers.read_paper(source, path).table) == 721

    for bomb in (b"\x80\x04]r\xff\xff\xff\x7f.", b"\x80\x04\x95" + b"\xff" * 5 + b"\0\0\0].", b"]p2000000000\n."):
        before = peak_mib()
        path.write_bytes(bomb)
        with pytest.raises(AlphaflopsError, match="it is damaged"):
            readers.read_paper(source, path)
        assert peak_mib() - before < 50

    def paper_pickle(damaged):
        path.write_bytes(damaged)
        readers.read_paper(source, path)

    def seeds(rng):
        # damage near the beginning reaches the structure, elsewhere mostly numbers
        if rng.random() < 0.5:
            head = rng.choice((200, 2000))
            return mutated(whole[:head], rng) + whole[head:]
        return mutated(whole, rng)

    fuzz(sandbox, seeds, paper_pickle)


def test_calibrations(good, sandbox):
    grid = experiments.grid("smoke")
    fitted = fitting.fit(Run(good.meta, grid.assign(latency_ms=1.0 + macs(grid) / 1e7)), "macs+t0", draws=20)
    text = fitted.save(sandbox / "in" / "sound.json").read_bytes()

    def calibration(damaged):
        path = sandbox / "in" / "x.json"
        path.write_bytes(damaged)
        fitting.read_calibration(path)

    fuzz(sandbox, lambda rng: mutated(text, rng), calibration)
