"""Files are written whole or not at all, and nothing but regular files is replaced."""

import errno
import os
import socket
import stat
import threading
from pathlib import Path

import pytest
from codeckit.primitives import files
from codeckit.primitives.files import is_same_file, new_file, write_atomically

unprivileged = pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not stop root")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path, data=b"new"):
    write_atomically(path, data)


def write_in_a_block(path, data=b"new"):
    with new_file(path) as temporary:
        Path(temporary).write_bytes(data)


both = pytest.mark.parametrize("write", [write, write_in_a_block])


@both
@pytest.mark.parametrize(
    "name",
    [
        "a" * 255,
        "あ" * 85,
        ".hidden",
        "-o",
        " two  words ",
        "a\nb",
        os.fsdecode(b"\xff\xfe.bin"),
        "new/deeper/file",
        "ä..",
    ],
)
def test_names(write, name):
    write(name)
    assert Path(name).read_bytes() == b"new"
    assert len(os.listdir(Path(name).parent)) == 1


@both
def test_links_are_followed_and_stay(write, here):
    os.makedirs("far/away")
    Path("far/target").write_bytes(b"old")
    os.symlink("far/target", "link")
    os.symlink("link", "second")
    os.symlink("away/../missing", "far/dangling")
    os.symlink(here / "far", "folder")
    for name, target in {"second": "far/target", "far/dangling": "far/missing", "folder/x": "far/x"}.items():
        write(name)
        assert Path(target).read_bytes() == b"new"
        assert not os.path.islink(target)
    assert all(map(os.path.islink, ("link", "second", "far/dangling", "folder")))


@both
def test_link_loops(write):
    os.symlink("a", "b")
    os.symlink("b", "a")
    with pytest.raises(OSError, match="'a'") as raised:
        write("a")
    assert raised.value.errno == errno.ELOOP and sorted(os.listdir()) == ["a", "b"]


@both
def test_fifos_are_written_through(write):
    os.mkfifo("pipe")
    os.symlink("pipe", "link")
    got = []
    reader = threading.Thread(target=lambda: got.append(Path("pipe").read_bytes()), daemon=True)
    reader.start()
    write("link", b"x" * 100_000)
    reader.join(10)
    assert got == [b"x" * 100_000]
    assert stat.S_ISFIFO(os.lstat("pipe").st_mode) and os.path.islink("link")


@both
def test_sockets_are_written_through(write):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        server.listen()
        got = []

        def accept():
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as file:
                got.append(file.read())

        reader = threading.Thread(target=accept, daemon=True)
        reader.start()
        write("socket")
        reader.join(10)
    assert got == [b"new"] and stat.S_ISSOCK(os.lstat("socket").st_mode)


@both
def test_descriptors_are_written_where_they_stand(write):
    """As `{ echo head; codeckit …/dev/stdout; echo tail; } > file` does."""
    with open("file", "wb", buffering=0) as file:
        file.write(b"head ")
        write(f"/dev/fd/{file.fileno()}")
        file.write(b" tail")
    assert Path("file").read_bytes() == b"head new tail"
    with pytest.raises(OSError, match="/dev/fd/999"):
        write("/dev/fd/999")


@both
def test_permissions(write):
    before = os.umask(0o077)
    try:
        write("private")
        os.umask(0o002)
        write("shared")
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat("private").st_mode) == 0o600
    assert stat.S_IMODE(os.stat("shared").st_mode) == 0o664
    for mode in (0o600, 0o640, 0o755):
        os.chmod("shared", mode)
        write("shared")
        assert stat.S_IMODE(os.stat("shared").st_mode) == mode


def test_what_replaces_a_private_file_is_never_public():
    Path("private").touch()
    os.chmod("private", 0o600)
    with new_file("private") as temporary:
        assert stat.S_IMODE(os.stat(temporary).st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_owners_stay():
    write("file")
    os.chown("file", 12345, 23456)
    write("file")
    assert (os.stat("file").st_uid, os.stat("file").st_gid) == (12345, 23456)


@both
def test_other_hard_links_keep_the_old_content(write):
    Path("one").write_bytes(b"old")
    os.link("one", "other")
    write("one")
    assert (Path("one").read_bytes(), Path("other").read_bytes()) == (b"new", b"old")


@both
@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("", errno.ENOENT),
        ("folder", errno.EISDIR),
        ("folder/", errno.EISDIR),
        ("missing/", errno.EISDIR),
        ("file/below", errno.ENOTDIR),
        ("file/far/below", errno.ENOTDIR),
        ("a" * 256, errno.ENAMETOOLONG),
    ],
)
def test_errors_name_what_was_asked_for(write, name, number):
    os.mkdir("folder")
    Path("file").write_bytes(b"old")
    with pytest.raises(OSError) as raised:
        write(name)
    assert (raised.value.errno, raised.value.filename) == (number, name)
    assert sorted(os.listdir()) == ["file", "folder"] and os.listdir("folder") == []


@both
@unprivileged
def test_missing_permission(write):
    os.mkdir("closed", 0o500)
    Path("kept").write_bytes(b"old")
    os.chmod("kept", 0o400)
    for name in ("closed/file", "kept"):
        with pytest.raises(PermissionError) as raised:
            write(name)
        assert raised.value.filename == name
    assert Path("kept").read_bytes() == b"old"


@pytest.mark.parametrize("failing", ["write", "replace"])
def test_a_full_disk(monkeypatch, failing):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    Path("file").write_bytes(b"old")
    monkeypatch.setattr(*((Path, "write_bytes") if failing == "write" else (files.os, "replace")), full)
    for name in ("file", "new/file"):
        with pytest.raises(OSError, match=f"No space left on device: '{name}'"):
            write_atomically(name, b"new")
    assert os.listdir() == ["file"] and Path("file").read_bytes() == b"old"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError("no"), OSError(errno.ENOENT, "gone", "another")])
def test_a_block_that_fails_leaves_nothing(error):
    with pytest.raises(type(error) if isinstance(error, Exception) else error) as raised:
        with new_file("deep/er/file") as temporary:
            Path(temporary).write_bytes(b"half")
            raise error
    assert os.listdir() == []
    assert "another" in str(raised.value) or not isinstance(error, OSError)  # another file's error stays as it is


def test_a_reader_sees_the_old_content_until_the_end():
    Path("file").write_bytes(b"old")
    with new_file("file") as temporary:
        Path(temporary).write_bytes(b"half")
        assert Path("file").read_bytes() == b"old"
    assert Path("file").read_bytes() == b"half"


def test_the_same_file():
    Path("a").touch()
    Path("b").touch()
    os.mkfifo("pipe")
    os.link("a", "hard")
    os.symlink("a", "soft")
    assert all(is_same_file("a", other) for other in ("./a", "hard", "soft", os.path.abspath("a")))
    assert not any(is_same_file("a", other) for other in ("b", "missing", "."))
    assert not is_same_file("pipe", "pipe")
