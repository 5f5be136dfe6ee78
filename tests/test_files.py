"""The one place that opens foreign bytes and writes files: what is written is whole, what is read is bounded."""

import io
import json
import os
import stat
import subprocess
import sys
import threading
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest

from alphaflops import files
from alphaflops.errors import AlphaflopsError


def refused(function, *args, **keys):
    """The one line with which a call must fail."""
    with pytest.raises(AlphaflopsError) as caught:
        function(*args, **keys)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_is_replaced_with_its_permissions_and_nothing_stays_beside_it(tmp_path):
    path = tmp_path / "a.json"
    files.write_atomic(path, b"old")
    path.chmod(0o640)
    files.write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["a.json"]


def test_the_umask_decides_for_new_files(tmp_path):
    before = os.umask(0o027)
    try:
        files.write_atomic(tmp_path / "a", b"")
        files.write_folder(tmp_path / "f", {"b": b""})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o750
    assert stat.S_IMODE((tmp_path / "f" / "b").stat().st_mode) == 0o640


def test_links_are_written_through(tmp_path):
    (tmp_path / "link").symlink_to("real")
    files.write_atomic(tmp_path / "link", b"x")  # also where nothing stands behind it yet
    files.write_atomic(tmp_path / "link", b"y")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"y"
    (tmp_path / "circle").symlink_to("circle")
    assert "cannot be written" in refused(files.write_atomic, tmp_path / "circle", b"x")
    assert (tmp_path / "circle").is_symlink()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_devices_and_pipes_are_written_through_and_stay(tmp_path):
    assert "No space left" in refused(files.write_atomic, "/dev/full", b"x")
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)
    files.write_atomic("/dev/null", b"x")
    os.mkfifo(tmp_path / "pipe")
    got = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    files.write_atomic(tmp_path / "pipe", b"through")
    reader.join(10)
    assert got == [b"through"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_reading_what_never_ends_stops_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "no plain file" in refused(files.read_bytes, tmp_path / "pipe")
    assert "no plain file" in refused(files.read_json, "/dev/zero")
    assert "is a directory" in refused(files.read_bytes, tmp_path).lower()
    (tmp_path / "long").write_bytes(b"0" * 101)
    assert "longer than the 100 bytes" in refused(files.read_bytes, tmp_path / "long", 100)
    assert len(files.read_bytes(tmp_path / "long", 101)) == 101


@pytest.mark.parametrize("name", ["x" * 256, "a\0b", "", ".", "no/such/folder"])
def test_names_that_cannot_be_are_one_line(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "cannot be written" in refused(files.write_atomic, name, b"")
    assert os.listdir(tmp_path) == []


def test_a_working_directory_that_was_deleted_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert "No such file" in refused(files.write_atomic, "a", b"")
    assert "No such file" in refused(files.write_folder, "f", {"a": b""})
    assert "No such file" in refused(files.read_bytes, "a")


def test_a_new_file_replaces_none(tmp_path):
    files.write_atomic(tmp_path / "a", b"1", new=True)
    assert "exists already" in refused(files.write_atomic, tmp_path / "a", b"2", new=True)
    assert (tmp_path / "a").read_bytes() == b"1"


def test_many_writers_at_once_leave_one_whole_file(tmp_path):
    outcomes = []

    def write(n):
        try:
            files.write_atomic(tmp_path / "a", str(n).encode() * 10_000, new=True)
            outcomes.append(n)
        except AlphaflopsError:
            pass

    writers = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(outcomes) == 1
    assert (tmp_path / "a").read_bytes() == str(outcomes[0]).encode() * 10_000
    assert os.listdir(tmp_path) == ["a"]


def test_what_a_killed_process_left_is_swept_but_nobody_elses_work(tmp_path):
    old, young, other = tmp_path / ".alphaflops-0.part", tmp_path / ".alphaflops-1", tmp_path / ".part"
    for path in (old, other):
        path.write_bytes(b"")
        os.utime(path, (0, 0))
    young.mkdir()
    files.write_atomic(tmp_path / "a", b"")
    assert sorted(os.listdir(tmp_path)) == [".alphaflops-1", ".part", "a"]
    os.utime(young, (0, 0))
    files.write_folder(tmp_path / "f", {"b": b""})
    assert sorted(os.listdir(tmp_path)) == [".part", "a", "f"]


@pytest.mark.parametrize("call", ["os.fsync", "os.replace"])
def test_a_failure_leaves_the_old_file_and_no_new_folder(tmp_path, monkeypatch, call):
    files.write_atomic(tmp_path / "a", b"old")

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(call, full)
    assert "No space left on device" in refused(files.write_atomic, tmp_path / "a", b"new")
    assert "No space left on device" in refused(files.write_folder, tmp_path / "f", {"x": b"1"})
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_folder_is_written_once(tmp_path):
    (tmp_path / "empty").mkdir()
    files.write_folder(tmp_path / "empty", {"a": b"1"})
    for path in (tmp_path / "empty", tmp_path / "empty" / "a"):
        assert "exists already" in refused(files.write_folder, path, {"b": b""})
    assert os.listdir(tmp_path / "empty") == ["a"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b'{"a": 1e999}', "1e999 is no finite number"),
        (b'{"a": NaN}', "NaN is no finite"),
        (b'{"a": 9223372036854775808}', "more than 64 bits"),
        (b'{"a": %s}' % (b"9" * 5000), "more than 64 bits"),
        (b'{"a": 1, "a": 2}', "a key occurs twice"),
        (b'{"a": "\\ud800"}', "is no Unicode"),
        (b'{"a": ' + b"[" * 100_000, "too deep"),
        (b'{"a": ' + b'{"a":' * 100_000, "too deep"),
        (b"\xff\xfe{}", "is no Unicode"),
        (b'{"a": 1', "perhaps truncated"),
        (b"[1]", "holds a list: expected a JSON object"),
    ],
)
def test_json_that_could_not_be_written_again_is_refused(tmp_path, text, why):
    (tmp_path / "x.json").write_bytes(text)
    assert why in refused(files.read_json, tmp_path / "x.json")


SCHEMA = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z]+$(?!\\n)", "description": "letters"},
        "count": {"type": "integer", "minimum": 1},
        "deep": {"type": "object", "properties": {"one": {"enum": ["a", None]}}},
    },
}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({}, "w: name is missing"),
        ({"name": "a\n"}, r"w: name is 'a\n': expected letters"),
        ({"name": "a", "other": 1}, "w: the key 'other' is not allowed: remove it"),
        ({"name": "a", "count": True}, "w: count is True: expected integer"),
        ({"name": "a", "count": 1.0}, "w: count is 1.0: expected integer"),
        ({"name": "a", "count": 0}, "w: count is 0: expected at least 1"),
        ({"name": "a", "deep": {"one": "b"}}, "w: deep.one is 'b': expected a or None"),
        ({"name": "a", "deep": 7}, "w: deep is 7: expected object"),
    ],
)
def test_a_schema_names_the_key_at_fault(value, told):
    files.check({"name": "a", "count": 1, "deep": {"one": None}}, SCHEMA, "w")
    assert refused(files.check, value, SCHEMA, "w") == told


def test_own_files_are_read_where_the_library_of_schemas_is_missing():
    code = (
        "import sys; sys.modules['jsonschema'] = None\n"
        "from alphaflops import files\n"
        "files.check({}, {'required': ['x']}, 'mine')\n"
        "files.check({}, {}, 'a stranger', needed=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "AlphaflopsError: a stranger is checked with the library jsonschema" in done.stderr


@dataclass(frozen=True)
class Part:
    x: float
    ends: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True)
class Whole:
    name: str
    kind: Literal["a", "b"]
    parts: tuple[Part, ...]
    by_name: Mapping[str, Part] = field(default_factory=dict)
    count: int | None = None
    free: Any = None


def test_records_go_to_json_and_back():
    whole = Whole("n", "b", (Part(1.5), Part(2, (3, 4))), {"k": Part(0.5)}, 7, [1, {"x": None}])
    assert files.from_json(Whole, json.loads(json.dumps(files.to_json(whole))), "w") == whole
    assert files.to_json(Part(np.float64(1.0), np.array([1.0, 2.0]))) == {"x": 1.0, "ends": [1.0, 2.0]}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": 3}, "w: name is 3: expected text"),
        ({"kind": "c"}, "w: kind is 'c': expected a or b"),
        ({"kind": True}, "w: kind is True: expected a or b"),
        ({"parts": [{"x": "1"}]}, "w: parts[0]: x is '1': expected a number"),
        ({"parts": [{}]}, "w: parts[0]: x is missing"),
        ({"parts": [{"x": 1, "ends": [1]}]}, "w: parts[0]: ends is list: expected a list of 2"),
        ({"parts": {}}, "w: parts is dict: expected a list"),
        ({"by_name": []}, "w: by_name is list: expected an object"),
        ({"count": True}, "w: count is True: expected an integer"),
        ({"count": 1.0}, "w: count is 1.0: expected an integer"),
        ({"more": 1}, "w: the key 'more' is not allowed: remove it"),
    ],
)
def test_records_of_another_type_are_refused_by_their_key(change, told):
    assert refused(files.from_json, Whole, {"name": "n", "kind": "a", "parts": [], **change}, "w") == told


ATTACKS = [
    "EPYC [9](../../../../proc/self/environ)",
    "{download}`/etc/passwd`",
    "<script>alert(1)</script>",
    "a | b || c",
    r"$\href{javascript:alert(1)}{x}$ and \(x\)",
    "**bold** _it_ ~~x~~ `code` # h & amp; ![i](u) ^1^ :::{include} x",
    "https://evil.example www.evil.example a@evil.example",
    "{{ 7 * 7 }} {% raw %} %",
    "'quoted' \"twice\"",
]


@pytest.mark.parametrize("text", ATTACKS)
def test_text_in_markdown_is_shown_and_never_obeyed(text):
    import html

    told = files.markdown(text)
    assert not set("[]{}<>|$`\\*_#!^~@\"':%\n") & set(told.replace("&#", ""))
    assert html.unescape(told) == text
    tokens = pytest.importorskip("markdown_it").MarkdownIt("commonmark", {"html": True}).enable("table").parse(told)
    kinds = {child.type for token in tokens for child in token.children or ()} | {token.type for token in tokens}
    assert kinds <= {"paragraph_open", "paragraph_close", "inline", "text", "text_special"}


def test_text_on_a_terminal_sends_no_codes():
    assert files.terminal("a\x1b[31mb\u202ec\r\nd\x9b") == "a\\x1b[31mb\\u202ec\\r\\nd\\x9b"
    assert files.terminal("K = 3×3, α → β") == "K = 3×3, α → β"
    assert files.terminal("\ud800") == "\\ud800"


def test_a_line_of_a_record_is_printable_and_short():
    assert files.one_line("a\n b\x00\u2028c 漢 \u202e") == "a b? c ? ?"
    assert files.one_line("x" * 300, 10) == "xxxxxxxxx…"
    assert files.mathtext("a $x$") == r"a \$x\$"


def test_cells_that_a_spreadsheet_would_compute_are_neutralised():
    table = pd.DataFrame({"line": ["=1+1", "+x", "-x", "@x", " =x", "\tx", "safe = 1"], "ms": [-1.0, 2, 3, 4, 5, 6, 7]})
    back = pd.read_csv(io.BytesIO(files.export_csv(table)))
    assert back["line"].tolist() == ["'=1+1", "'+x", "'-x", "'@x", "' =x", "'\tx", "safe = 1"]
    assert back["ms"].tolist() == table["ms"].tolist()


NAMES = {"a": 10, "b": 10}


def test_archives_have_the_same_bytes_on_any_day_and_come_back():
    data = files.pack_zip({"b": b"2", "a": b"1"})
    assert data == files.pack_zip({"a": b"1", "b": b"2"})
    assert files.read_zip(data, NAMES, "x") == {"a": b"1", "b": b"2"}
    assert {info.date_time for info in zipfile.ZipFile(io.BytesIO(data)).infolist()} == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize("array", [np.zeros((2, 3)), np.zeros(()), np.zeros(4, np.int64), np.zeros(4, ">f8")])
def test_only_rows_of_numbers_are_arrays(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    data = files.pack_zip({"a.npy": buffer.getvalue()})
    assert "expected one row of numbers" in refused(files.read_arrays, data, {"a": 10}, "x")


def test_arrays_come_back_and_promise_no_more_than_they_hold():
    arrays = {"a": np.array([0.5, 2.0], "<f4"), "b": np.array([1, -2], "<i4"), "c": np.array([0.1])}
    back = files.read_arrays(files.pack_arrays(arrays), dict.fromkeys(arrays, 10), "x")
    assert {name: (values.tolist(), values.dtype) for name, values in back.items()} == {
        name: (values.tolist(), values.dtype) for name, values in arrays.items()
    }
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(4, np.float32))
    lying = buffer.getvalue().replace(b"(4,), ", b"(4000000000,), ", 1)
    assert "'a.npy'" in refused(files.read_arrays, files.pack_zip({"a.npy": lying}), {"a": 10}, "x")
    buffer = io.BytesIO()
    np.savez(buffer, a=np.array([{"a": 1}], dtype=object))
    assert "array of object" in refused(files.read_arrays, buffer.getvalue(), {"a": 100}, "x")
    assert "'c.npy' is not among" in refused(
        files.read_arrays, files.pack_arrays(arrays), {"a": 9, "b": 9, "d": 9}, "x"
    )


def zipped(content, method=zipfile.ZIP_DEFLATED, mode=0):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in content:
            info = zipfile.ZipInfo(name)
            info.compress_type, info.external_attr = method, mode << 16
            archive.writestr(info, data)
    return buffer.getvalue()


EVIL = ["../a", "/tmp/a", "a/../../b", "evil", "C:a", "..\\a", "a/", "a\x00y", "A"]


@pytest.mark.parametrize("name", EVIL)
def test_unexpected_names_in_archives_are_refused(name):
    data = zipped([(name.replace("\x00", "~"), b"x")])
    told = refused(files.read_zip, data.replace(b"a~y", name.encode()) if "\x00" in name else data, NAMES, "x.zip")
    assert "not among the files expected" in told


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is no zip archive"),
        (b"PK", "is no zip archive"),
        (zipped([("a", b"1")])[:-3], "is no zip archive"),
        (zipped([("a", b"1"), ("a", b"2")]), "'a' occurs twice"),
        (zipped([("a", b"1")] * 3), "announces 3 files"),
        (zipped([("a", b"0" * 11)]), "would unpack to 11 bytes: at most 10"),
        (zipped([("a", b"/etc")], mode=stat.S_IFLNK | 0o777), "is a link"),
        (zipped([("a", b"1")], zipfile.ZIP_BZIP2), "another method than deflate"),
        (zipped([("a", b"12345678")], zipfile.ZIP_STORED).replace(b"12345678", b"12345679", 1), "damaged"),
    ],
)
def test_archives_that_are_none_are_refused(data, told):
    assert told in refused(files.read_zip, data, NAMES, "x.zip")
