"""Standard input and output, and how the command line says things."""

import contextlib
import errno
import io
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..primitives.errors import StreamError
from ..primitives.files import is_same_file, write_atomically

#: The name that stands for standard input, and for standard output.
STANDARD = "-"


# --- words ---


def prepare() -> None:
    """Lets every name be printed, also one that the terminal's encoding does not have."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def one_line(text: Any) -> str:
    r"""A text with what is no printable character escaped: names of files may hold anything.

    >>> one_line("two\nlines")
    'two\\nlines'
    """
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in str(text).strip()
    )


def complain(text: Any) -> None:
    """One line on stderr, above a progress bar if there is one."""
    from tqdm import tqdm

    with contextlib.suppress(OSError):
        tqdm.write(one_line(text), file=sys.stderr)


def say(text: Any, output: str = "") -> None:
    """Lines about a result on stdout; on stderr where stdout is the `output` that takes the result."""
    if _is_stdout(output):
        print(text, file=sys.stderr)
        return
    with _naming_stdout():
        print(text)


def told(name: str, text: str) -> None:
    """A line about a result that was written."""
    say(one_line(f"{shown(name, 'stdout')}: {text}"), name)


def print_table(rows: list[tuple[str, ...]]) -> None:
    """Rows in columns, heading first."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def progress(items: Iterable[Any], total: int) -> Iterator[Any]:
    """A progress bar on a terminal, if there is more than one item."""
    from tqdm import tqdm

    hidden: Any = None if total > 1 else True  # None: shown on a terminal alone
    return iter(tqdm(items, total=total, unit="file", disable=hidden))


def flush() -> None:
    """Writes what Python holds back of stdout, so that errors come while somebody can tell of them."""
    with _naming_stdout():
        if sys.stdout is not None:
            sys.stdout.flush()


@contextlib.contextmanager
def _naming_stdout() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "stdout") from error


def close() -> None:
    """Lets the interpreter end in silence when stdout takes nothing more."""
    try:
        flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# --- files ---


def _is_stdout(name: str) -> bool:
    if name == STANDARD:
        return True
    try:
        return bool(name) and os.path.samestat(os.stat(name), os.fstat(1))  # also a file that the shell sends it to
    except OSError:
        return False


def _is_regular(name) -> bool:
    """Whether a regular file or a folder has that name, or nothing: no FIFO, socket or device."""
    try:
        mode = os.stat(name).st_mode
    except OSError:
        return True
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def is_piped(name: str) -> bool:
    """Whether a name stands for something that can be read or written once, from its start to its end."""
    return name == STANDARD or not _is_regular(name)


def shown(name: str, standard: str = "stdin") -> str:
    """What a file is called in messages."""
    return standard if name == STANDARD else name


def read(name: str) -> bytes:
    """The bytes of a file, or of standard input.

    Raises:
        StreamError: there are none.
    """
    if name == STANDARD and sys.stdin is None:
        raise StreamError("stdin is closed")
    data = sys.stdin.buffer.read() if name == STANDARD else Path(name).read_bytes()
    if not data:
        raise StreamError(f"{shown(name)} is empty")
    return data


def write(name: str, data: bytes) -> None:
    """Write a file, or to standard output, which must not be a terminal."""
    if name != STANDARD:
        write_atomically(name, data)
        return
    if sys.stdout is None:
        raise StreamError("stdout is closed")
    if sys.stdout.isatty():
        raise ValueError("a terminal cannot show the result; name a file, or send stdout to one")
    flush()
    with _naming_stdout():
        sys.stdout.buffer.write(data)
    flush()


def check_output(source: str, output: str) -> None:
    """Refuse an output that is the input itself.

    Raises:
        ValueError: both names stand for one file.
    """
    one = "/dev/stdin" if source == STANDARD else source
    other = "/dev/stdout" if output == STANDARD else output
    if is_same_file(one, other):
        raise ValueError(f"{output!r} is the input itself; give the result another name")


def check_folder(source: str, output: str) -> None:
    """Refuse an output that cannot be the folder for several files.

    Raises:
        ValueError: it is standard output.
        NotADirectoryError: something else has that name.
    """
    if output == STANDARD:
        raise ValueError(f"what comes of {shown(source)} are several files; name a folder for them, not stdout")
    if os.path.lexists(output) and not os.path.isdir(output):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), output)


def is_folder(name: str) -> bool:
    """Whether a name stands for a folder, or for one that is to be made."""
    return name != STANDARD and (os.path.isdir(name) or name.endswith(os.sep))


def placed(output: str, name: str) -> str:
    """The file to write: `output`, or that name in it if it is a folder."""
    return os.path.join(output, name) if is_folder(output) else output
