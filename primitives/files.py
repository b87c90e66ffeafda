"""Writing files: a reader never sees half of one, and what is no regular file is never replaced.

What stands at the path decides how it is written:

===============================  =====================================================================================
nothing, or a regular file       under a temporary name beside it, which takes its place when all is written
a symbolic link                  the link stays; the file that it stands for is written as above, or made
a device, a FIFO, a socket, or   written through
an open descriptor (/dev/stdout)
a folder                         refused
===============================  =====================================================================================

A new file has the permissions that the umask leaves. A file that is replaced hands its permissions on and, where the
system allows it, its owner. It is replaced as a name: other hard links keep the old content. A file that may not be
written is not replaced, though its folder would allow it.

Errors of the system name the path that was asked for, never a temporary one.
"""

import contextlib
import errno
import os
import secrets
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

#: Symbolic links that are followed one after the other, as many as Linux follows.
_MOST_LINKS = 40

#: Errors of writing that say no path.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_atomically(path, content: str | bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part of it.

    Folders that are missing are made. Devices, FIFOs and sockets are written through.

    Raises:
        OSError: it cannot be written; nothing has changed then.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_atomically(f"{folder}/new/a.txt", "text")
    ...     os.listdir(f"{folder}/new")
    ['a.txt']
    """
    data = content.encode() if isinstance(content, str) else content
    with _naming(path):
        target = _target(path)
        if not target.is_replaced:
            with target.opened() as file:
                file.write(data)
            return
    with new_file(path) as temporary:
        Path(temporary).write_bytes(data)


@contextlib.contextmanager
def new_file(path) -> Iterator[str]:
    """A temporary file, which takes the place of `path` when the block ends well and vanishes when it fails.

    The block gets its path as a string, and may open or overwrite it as it likes.

    Raises:
        OSError: `path` cannot be written.
    """
    with _naming(path):
        target = _target(path)
    if not target.is_replaced:
        with tempfile.TemporaryDirectory() as folder:
            temporary = os.path.join(folder, "file")
            yield temporary
            with _naming(path), open(temporary, "rb") as written, target.opened() as file:
                shutil.copyfileobj(written, file)
        return
    folder = os.path.dirname(target.path)
    temporary = os.path.join(folder, f".{secrets.token_hex(8)}.part")  # short: the name may be as long as is legal
    made: list[str] = []
    try:
        with _naming(path):
            _make_folders(folder, made)
            # Nobody else reads what is to replace a private file, even while it is written.
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
            os.close(os.open(temporary, flags, 0o666 if target.status is None else 0o600))
        with _naming(path, temporary):
            yield temporary
        with _naming(path):
            if target.status is not None:
                _hand_on(target.status, temporary)
            os.replace(temporary, target.path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        for each in reversed(made):
            with contextlib.suppress(OSError):
                os.rmdir(each)
        raise


def is_same_file(one, other) -> bool:
    """Whether two paths stand for one regular file, by links of either kind or another spelling.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_atomically(f"{folder}/a", "text")
    ...     os.link(f"{folder}/a", f"{folder}/b")
    ...     is_same_file(f"{folder}/a", f"{folder}/b"), is_same_file(f"{folder}/a", f"{folder}/c")
    (True, False)
    """
    found = identity(one)
    return found is not None and found == identity(other)


def identity(path) -> tuple[int, int] | None:
    """What makes a regular file the same under all of its names; None where there is no regular file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None


@dataclass(frozen=True)
class _Target:
    """Where a path leads.

    Attributes:
        path: the path at the end of all links.
        status: of what stands there; None for nothing.
        descriptor: the number of the open file of this process that the path is a name of, or None.
    """

    path: str
    status: os.stat_result | None = None
    descriptor: int | None = None

    @property
    def is_replaced(self) -> bool:
        """Whether a new file takes its place; it is written through otherwise."""
        return self.descriptor is None and (self.status is None or stat.S_ISREG(self.status.st_mode))

    @contextlib.contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """What is written through, as a file."""
        if self.descriptor is not None:
            with open(os.dup(self.descriptor), "wb") as file:  # not by its name, which would begin at its start
                yield file
        elif self.status is not None and stat.S_ISSOCK(self.status.st_mode):
            with socket.socket(socket.AF_UNIX) as end:
                end.connect(self.path)
                with end.makefile("wb") as file:
                    yield file
        else:
            with open(self.path, "wb") as file:
                yield file


def _target(path) -> _Target:
    path = os.fsdecode(path)
    if not path:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    for _ in range(_MOST_LINKS):
        folder, name = os.path.split(path)
        folder = os.path.realpath(folder)
        if name.isdigit() and folder in ("/dev/fd", f"/proc/{os.getpid()}/fd"):
            return _Target(path, descriptor=int(name))
        # What /proc shows as links of other processes can be opened, but leads nowhere by its text.
        if not os.path.islink(path) or folder.startswith("/proc/"):
            break
        path = os.path.join(folder, os.readlink(path))
    else:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    try:
        status = os.stat(path)
    except FileNotFoundError:
        status = None
    if not name or (status is not None and stat.S_ISDIR(status.st_mode)):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if status is not None and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return _Target(path, status)


def _make_folders(folder: str, made: list[str]) -> None:
    """Make a folder and those above it; those that were missing are appended to `made`, from the top down."""
    if not folder or os.path.isdir(folder):
        return
    _make_folders(os.path.dirname(folder), made)
    with contextlib.suppress(FileExistsError):  # somebody else was faster, or it is a file: what follows tells
        os.mkdir(folder)
        made.append(folder)


def _hand_on(status: os.stat_result, path: str) -> None:
    """Owner and permissions of a file that is replaced."""
    with contextlib.suppress(OSError):
        os.chown(path, status.st_uid, status.st_gid)
    os.chmod(path, status.st_mode & 0o777)


@contextlib.contextmanager
def _naming(path, temporary: str | None = None) -> Iterator[None]:
    """Errors of the system inside name `path`; with `temporary`, only those that are about that file."""
    try:
        yield
    except OSError as error:
        about_it = error.filename == temporary or (error.filename is None and error.errno in _FULL)
        if error.errno is None or (temporary is not None and not about_it):
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
