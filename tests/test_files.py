import errno
import hashlib
import json
import multiprocessing
import os
import resource
import stat
import tempfile
import threading
from pathlib import Path

import pytest

from zoo.errors import DiskFullError, did_you_mean
from zoo.files import (
    TEMPORARY_PREFIX,
    check_free_space,
    sha256_of,
    write_json,
    write_text,
    writing_directory,
    writing_file,
)

# Newer versions of Python warn of every fork of a process with threads; the children here do next to nothing.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
NOBODY = 65534


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def calls(monkeypatch):
    """Records what reaches the disk, in order, as (what, name); temporary names are called <temporary>."""
    found = []
    real_fsync, real_rename, real_replace = os.fsync, Path.rename, Path.replace

    def name_of(path):
        name = Path(path).name
        return "<temporary>" if name.startswith(TEMPORARY_PREFIX) else name

    def fsync(descriptor):
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        found.append(("fsync", name_of(path), Path(path).stat().st_size if Path(path).is_file() else None))
        real_fsync(descriptor)

    def rename(self, target):
        found.append(("rename", name_of(self), Path(target).name))
        return real_rename(self, target)

    def replace(self, target):
        found.append(("rename", name_of(self), Path(target).name))
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    monkeypatch.setattr(Path, "replace", replace)
    return found


def test_a_file_reaches_the_disk_before_its_name_does_and_the_folder_last(tmp_path, calls):
    write_text(tmp_path / "x.txt", "abc")
    assert calls == [
        ("fsync", "<temporary>", 3),
        ("rename", "<temporary>", "x.txt"),
        ("fsync", tmp_path.name, None),
    ]


def test_every_file_of_a_folder_reaches_the_disk_before_its_name_does(tmp_path, calls):
    with writing_directory(tmp_path / "d") as folder:
        (folder / "a.bin").write_bytes(b"12")
        (folder / "inner").mkdir()
        (folder / "inner" / "b.bin").write_bytes(b"345")
        assert calls == []
    place = calls.index(("rename", "<temporary>", "d"))
    before, after = calls[:place], calls[place + 1 :]
    for entry in (
        ("fsync", "a.bin", 2),
        ("fsync", "b.bin", 3),
        ("fsync", "inner", None),
        ("fsync", "<temporary>", None),
    ):
        assert entry in before
    assert after == [("fsync", tmp_path.name, None)]


def test_text_and_json_are_written_as_given(tmp_path):
    write_text(tmp_path / "new" / "deep" / "x.txt", "Grüße\n")
    assert (tmp_path / "new" / "deep" / "x.txt").read_bytes() == "Grüße\n".encode()
    write_json(tmp_path / "x.json", {"b": 1, "a": [0.1]})
    assert (tmp_path / "x.json").read_text() == '{\n  "a": [\n    0.1\n  ],\n  "b": 1\n}\n'
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError):
            write_json(tmp_path / "x.json", {"a": value})
    assert json.loads((tmp_path / "x.json").read_text()) == {"b": 1, "a": [0.1]}
    assert names(tmp_path) == ["new", "x.json"]


def test_a_file_is_as_readable_as_any_other(tmp_path):
    before = os.umask(0o022)
    try:
        write_text(tmp_path / "x", "")
        with writing_directory(tmp_path / "d") as folder:
            (folder / "y").write_text("")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o755


def test_the_digest_is_sha256_of_the_bytes(tmp_path):
    data = bytes(range(256)) * 9000
    (tmp_path / "x").write_bytes(data)
    assert sha256_of(tmp_path / "x") == hashlib.sha256(data).hexdigest()


class UnexpectedError(Exception):
    pass


@pytest.mark.parametrize("error", [UnexpectedError(), KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
def test_whatever_happens_within_the_block_leaves_what_was_there(tmp_path, error):
    target = tmp_path / "x.txt"
    target.write_text("old")
    expected = DiskFullError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected), writing_file(target) as temporary:
        temporary.write_text("half")
        raise error
    with pytest.raises(expected), writing_directory(tmp_path / "d") as folder:
        (folder / "x").write_text("half")
        raise error
    assert names(tmp_path) == ["x.txt"] and target.read_text() == "old"


@pytest.mark.parametrize("call", ["fsync", "rename", "mkstemp", "chmod"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_an_error_of_any_call_is_reported_and_leaves_existing_files_unchanged(tmp_path, monkeypatch, call, number):
    target = tmp_path / "x.txt"
    target.write_text("old")

    def fail(*arguments, **named):
        raise OSError(number, os.strerror(number))

    for owner, name in {
        "fsync": [(os, "fsync")],
        "rename": [(Path, "rename"), (Path, "replace")],
        "mkstemp": [("tempfile", "mkstemp"), ("tempfile", "mkdtemp")],
        "chmod": [(Path, "chmod")],
    }[call]:
        if isinstance(owner, str):
            monkeypatch.setattr(f"{owner}.{name}", fail)
        else:
            monkeypatch.setattr(owner, name, fail)
    with pytest.raises(DiskFullError) as caught:
        write_text(target, "new")
    assert str(caught.value) == f"{target}: cannot be written: {os.strerror(number)}; nothing was changed there"
    with pytest.raises(DiskFullError), writing_directory(tmp_path / "d") as folder:
        (folder / "x").write_text("new")
    assert names(tmp_path) == ["x.txt"] and target.read_text() == "old"


def _write_until_full(folder, limit, results):
    """Writes with a real limit of the operating system on the size of files."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        write_text(folder / "x.txt", "n" * 100_000)
        results.put("written")
    except DiskFullError as error:
        results.put(str(error))


@pytest.mark.parametrize("limit", [0, 1, 4096, 99_999])
def test_a_real_limit_at_any_byte_leaves_the_old_file_whole(tmp_path, limit):
    (tmp_path / "x.txt").write_text("old")
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    process = context.Process(target=_write_until_full, args=(tmp_path, limit, results))
    process.start()
    process.join(30)
    assert process.exitcode == 0
    assert "cannot be written: File too large" in results.get()
    assert names(tmp_path) == ["x.txt"] and (tmp_path / "x.txt").read_text() == "old"


def test_a_folder_in_the_way_is_refused(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "kept").write_text("1")
    with pytest.raises(DiskFullError, match="cannot be written"):
        write_text(tmp_path / "d", "x")
    (tmp_path / "file").write_text("1")
    for target in (tmp_path / "file" / "x.txt", tmp_path / "file" / "deep" / "x.txt"):
        with pytest.raises(DiskFullError, match="cannot be written"):
            write_text(target, "x")
    assert names(tmp_path) == ["d", "file"] and names(tmp_path / "d") == ["kept"]


def _write_into(folder, results):
    """Tries to write as a user who may not, even when the tests run as root."""
    if os.geteuid() == 0:
        os.setuid(NOBODY)
    for action in (lambda: write_text(folder / "x", ""), lambda: writing_directory(folder / "d").__enter__()):
        try:
            action()
            results.put("written")
        except DiskFullError as error:
            results.put(str(error))


def test_a_read_only_folder_is_refused():
    # Not below tmp_path, whose parents other users may not enter.
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o555)
        context = multiprocessing.get_context("fork")
        results = context.SimpleQueue()
        process = context.Process(target=_write_into, args=(folder, results))
        process.start()
        process.join(30)
        for name in ("x", "d"):
            assert results.get() == f"{folder / name}: cannot be written: Permission denied; nothing was changed there"
        assert names(folder) == []
    finally:
        folder.rmdir()


@pytest.mark.parametrize("kind", ["file", "folder", "empty folder"])
def test_a_folder_is_never_written_over_something(tmp_path, kind):
    target = tmp_path / "d"
    if kind == "file":
        target.write_text("old")
    else:
        target.mkdir()
        if kind == "folder":
            (target / "old").write_text("")
    before = target.stat().st_ino
    with pytest.raises(DiskFullError, match="exists already"), writing_directory(target):
        raise AssertionError("the block must not run")
    assert target.stat().st_ino == before and names(tmp_path) == ["d"]


def test_of_two_writers_of_a_folder_one_wins_and_the_other_raises(tmp_path):
    with pytest.raises(DiskFullError, match="cannot be written"), writing_directory(tmp_path / "d") as slow:
        (slow / "who").write_text("slow")
        with writing_directory(tmp_path / "d") as fast:
            (fast / "who").write_text("fast")
    assert names(tmp_path) == ["d"] and (tmp_path / "d" / "who").read_text() == "fast"


def test_concurrent_writers_never_leave_a_torn_file(tmp_path):
    target = tmp_path / "x.txt"
    texts = [letter * 20_000 for letter in "abcdefgh"]
    write_text(target, texts[0])
    seen, stop = set(), threading.Event()

    def read():
        while not stop.is_set():
            seen.add(target.read_text())

    def write(text):
        for _ in range(10):
            write_text(target, text)

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(text,)) for text in texts]
    reader.start()
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    reader.join()
    assert seen <= set(texts)
    assert target.read_text() in texts and names(tmp_path) == ["x.txt"]


def test_temporary_names_say_what_is_being_written(tmp_path):
    with writing_directory(tmp_path / "scenes") as folder, writing_file(tmp_path / "row.json") as file:
        assert folder.name.startswith(".writing-scenes-") and file.name.startswith(".writing-row.json-")
    write_text(tmp_path / ("x" * 240 + ".txt"), "a long name")


def test_too_little_room_on_the_disk_is_refused_before_anything_is_written(tmp_path):
    check_free_space(tmp_path / "new" / "scenes", num_bytes=10)
    with pytest.raises(DiskFullError, match=r"scenes: needs 1e\+06 GB, but the disk has .* GB left"):
        check_free_space(tmp_path / "new" / "scenes", num_bytes=10**15)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rooms", "; did you mean 'rooms_free_camera', 'rooms_ring_camera', 'captioned_rooms'?"),
        ("ROOMS_RING", "; did you mean 'rooms_ring_camera', 'rooms_free_camera'?"),
        ("vea", "; did you mean 'vae'?"),
        ("xyzzy", "; known are captioned_rooms, rooms_free_camera, rooms_ring_camera, vae"),
    ],
)
def test_the_nearest_names_are_suggested(name, expected):
    known = ["rooms_ring_camera", "rooms_free_camera", "captioned_rooms", "vae"]
    assert did_you_mean(name, known) == expected
    assert did_you_mean(name, []) == ""
