"""Writing files so that a reader never sees half of one."""

import contextlib
import os
import tempfile
from pathlib import Path


def write_atomically(path, content: str | bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part of it."""
    data = content.encode() if isinstance(content, str) else content
    with new_file(path) as temporary:
        Path(temporary).write_bytes(data)


@contextlib.contextmanager
def new_file(path):
    """A temporary path beside `path`, which takes its place when the block ends well and vanishes when it fails."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        yield temporary
        os.chmod(temporary, 0o644)  # mkstemp gives its files to their owner alone
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
