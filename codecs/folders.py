"""Folders of files: each file is done or told of, none stops the others, and none is written over another.

A run takes the files that are not hidden (no name on the way to them begins with a dot), in the order of their names.
Their list is made before the first file is written, so the results may go into the same folder. A result that would
take the place of an input, or of another result of the run, is not written and counts as failed: inputs whose names
differ in case alone can meet so, where a file system makes no difference.
"""

import contextlib
import os
import queue
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..primitives.files import identity, write_atomically


@dataclass(frozen=True)
class Failure:
    """A file that was not done.

    Attributes:
        path: the file.
        error: why, in words.
    """

    path: Path
    error: str

    def __str__(self):
        return f"{self.path}: {self.error}"


def files(folder, *, recursive: bool = False, without=None) -> list[Path]:
    """The files of a folder that are not hidden, sorted.

    Args:
        folder: its path.
        recursive: take those of the folders in it, too.
        without: a folder that is not searched, if it lies in `folder`.

    Raises:
        OSError: a folder cannot be read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("b/c.png", "b/.c.png", ".d/e.png", "a.png"):
    ...         write_atomically(f"{folder}/{name}", b"")
    ...     [path.relative_to(folder).as_posix() for path in files(folder, recursive=True)]
    ['a.png', 'b/c.png']
    """
    found: list[Path] = []
    for each in sorted(os.scandir(folder), key=lambda each: each.name):
        if each.name.startswith("."):
            continue
        if not each.is_dir():
            found.append(Path(each.path))
        elif recursive and not each.is_symlink() and not _is_folder(each.path, without):
            try:
                found += files(each.path, recursive=True, without=without)
            except OSError:
                found.append(Path(each.path))  # `check_regular` tells why
    return found


def _is_folder(path, other) -> bool:
    return other is not None and os.path.isdir(other) and os.path.samefile(path, other)


def stems(paths: Iterable[Path]) -> dict[Path, str]:
    """The names of files without their endings; those that would be alike so keep theirs.

    Only names decide, not what the files hold. Upper and lower case count as alike.

    >>> list(stems(map(Path, ["x.jpg", "x.webp", "y.jpg"])).values())
    ['x.jpg', 'x.webp', 'y']
    """
    names = {path: path.stem for path in paths}
    while True:
        count = Counter(name.casefold() for name in names.values())
        alike = [path for path, name in names.items() if count[name.casefold()] > 1 and name != path.name]
        if not alike:
            return names
        names |= {path: path.name for path in alike}


@dataclass
class Run:
    """What happens to the files of a folder.

    Attributes:
        inputs: the files.
        failures: what was not done, in order.
        report: called with each failure as it happens.
    """

    inputs: list[Path]
    report: Callable[[Failure], Any] = lambda failure: None
    failures: list[Failure] = field(default_factory=list)
    _taken: dict[tuple[int, int] | None, Path] = field(init=False, repr=False)

    def __post_init__(self):
        self._taken = {identity(path): path for path in self.inputs}

    def sift(self, check: Callable[[Path], Any]) -> "Run":
        """Leave out the inputs for which `check` raises an error; they count as failed."""
        sound = []
        for path in self.inputs:
            try:
                check(path)
                sound.append(path)
            except Exception as error:
                self._fail(path, error)
        self.inputs = sound
        return self

    def _fail(self, path: Path, error: Exception) -> None:
        failure = Failure(path, described(error, path))
        self.failures.append(failure)
        self.report(failure)

    def done(self, results: Iterable[Any], finish: Callable[[Path, Any], Any]) -> Iterator[Any]:
        """What `finish` makes of each input and its result.

        Args:
            results: one an input, in their order; an exception for one that failed.
            finish: called with input and result; it may raise an error, too.
        """
        for path, result in zip(self.inputs, results, strict=True):
            try:
                if isinstance(result, Exception):
                    raise result
                made = finish(path, result)
            except Exception as error:
                self._fail(path, error)
            else:
                yield made

    def write(self, path, data: bytes) -> None:
        """Write the result of an input.

        Raises:
            ValueError: it would take the place of an input or of another result.
            OSError: it cannot be written.
        """
        held = identity(path)
        if held is not None and held in self._taken:
            raise ValueError(f"its result {path} would take the place of {self._taken[held]}")
        write_atomically(path, data)
        self._taken[identity(path)] = Path(path)


def check_regular(path) -> None:
    """Refuse what cannot be read as a file: FIFOs, sockets and devices, which could block or never end.

    Raises:
        ValueError: the path is such a thing.
        OSError: there is nothing, such as at the end of a broken link; or it is a folder that cannot be read.
    """
    if os.path.isdir(path):
        os.scandir(path).close()
    os.stat(path)
    if not os.path.isfile(path):
        raise ValueError("not a regular file")


def described(error: Exception, path) -> str:
    """An error about a file, without the file's name in front.

    >>> described(ValueError("a.png: too large"), "a.png")
    'too large'
    """
    if isinstance(error, OSError) and error.strerror and error.filename in (None, str(path), path):
        return error.strerror
    text = str(error).removeprefix(f"{path}: ") or type(error).__name__
    return text if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {text}"


def in_threads(function: Callable[[Any], Any], items: Iterable[Any], workers: int) -> Iterator[Any]:
    """`map` in threads, results in order. A process that is interrupted need not wait for what they are doing.

    >>> list(in_threads(abs, [-1, 2, -3], 2))
    [1, 2, 3]
    """
    jobs: queue.SimpleQueue = queue.SimpleQueue()
    results: deque[Future] = deque()
    for item in items:
        results.append(Future())
        jobs.put((results[-1], item))

    def work():
        while True:
            try:
                future, item = jobs.get_nowait()
            except queue.Empty:
                return
            try:
                future.set_result(function(item))
            except BaseException as error:
                future.set_exception(error)

    for _ in range(workers):
        threading.Thread(target=work, daemon=True).start()
    try:
        while results:
            yield results.popleft().result()
    finally:
        results.clear()
        with contextlib.suppress(queue.Empty):
            while True:
                jobs.get_nowait()
